//! Who may write to which Task.
//!
//! In memory and on the monotonic clock: the folder lock proves that no lease of another process is
//! alive. Only the fencing number is on disk. An expired lease stays good until another run claims
//! the Task, because nobody else has written meanwhile. Changes can be undone with the transaction
//! that they belong to.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::store::Lease;
use crate::task::id::{Epoch, PrincipalId, ServerId, TaskId};

/// All leases of this process.
#[derive(Default)]
pub(super) struct Leases {
    held: HashMap<TaskId, Held>,
    undo: Vec<(TaskId, Option<Held>)>,
}

#[derive(Clone)]
struct Held {
    epoch: Epoch,
    principal: PrincipalId,
    server: ServerId,
    /// `None` is too far away to matter.
    until: Option<Instant>,
}

/// A point to which changes can be undone.
#[derive(Clone, Copy)]
pub(super) struct Mark(usize);

impl Leases {
    /// Returns whether this lease is the last one given out and was not given back.
    pub(super) fn is_valid(&self, lease: Lease) -> bool {
        self.held.get(&lease.task).is_some_and(|held| held.epoch == lease.epoch)
    }

    /// Returns whether anyone holds the Task, in time or not.
    pub(super) fn is_held(&self, task: TaskId) -> bool {
        self.held.contains_key(&task)
    }

    /// Returns whether a run holds the Task and its time has not passed.
    pub(super) fn is_live(&self, task: TaskId, now: Instant) -> bool {
        self.held.get(&task).is_some_and(|held| held.is_live(now))
    }

    /// Counts the Tasks of each principal that live runs hold.
    pub(super) fn live_by_principal(&self, now: Instant) -> HashMap<PrincipalId, u64> {
        let mut counts = HashMap::new();
        for held in self.held.values().filter(|held| held.is_live(now)) {
            *counts.entry(held.principal.clone()).or_insert(0) += 1;
        }
        counts
    }

    /// Gives a lease out, voiding the one before.
    pub(super) fn grant(&mut self, lease: Lease, principal: PrincipalId, server: ServerId, time: Duration) {
        let held = Held {
            epoch: lease.epoch,
            principal,
            server,
            until: Instant::now().checked_add(time),
        };
        if let Some(before) = self.held.get(&lease.task) {
            tracing::warn!(
                task.id = %lease.task,
                holder = %before.server,
                "a run did not renew its lease in time; another run takes the task over"
            );
        }
        self.replace(lease.task, Some(held));
    }

    /// Prolongs a valid lease.
    pub(super) fn renew(&mut self, task: TaskId, time: Duration) {
        let renewed = self.held.get(&task).map(|held| Held {
            until: Instant::now().checked_add(time),
            ..held.clone()
        });
        self.replace(task, renewed);
    }

    /// Takes a lease back.
    pub(super) fn end(&mut self, task: TaskId) {
        self.replace(task, None);
    }

    /// Returns the point that a later `undo` goes back to.
    pub(super) fn mark(&self) -> Mark {
        Mark(self.undo.len())
    }

    /// Undoes what was changed since the mark.
    pub(super) fn undo(&mut self, mark: Mark) {
        while self.undo.len() > mark.0 {
            match self.undo.pop() {
                Some((task, Some(held))) => self.held.insert(task, held),
                Some((task, None)) => self.held.remove(&task),
                None => return,
            };
        }
    }

    /// Undoes everything since the last `keep`.
    pub(super) fn undo_all(&mut self) {
        self.undo(Mark(0));
    }

    /// Makes all changes so far final.
    pub(super) fn keep(&mut self) {
        self.undo.clear();
    }

    fn replace(&mut self, task: TaskId, held: Option<Held>) {
        let before = match held {
            Some(held) => self.held.insert(task, held),
            None => self.held.remove(&task),
        };
        self.undo.push((task, before));
    }
}

impl Held {
    fn is_live(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(task: TaskId, epoch: u64) -> Lease {
        Lease {
            task,
            epoch: Epoch(epoch),
        }
    }

    #[test]
    fn undo_goes_back_to_the_mark_and_no_further() {
        let mut leases = Leases::default();
        let (server, principal) = (ServerId::random(), PrincipalId::new("a"));
        let (first, second) = (TaskId::random(), TaskId::random());
        leases.grant(lease(first, 1), principal.clone(), server, Duration::MAX);
        leases.keep();
        leases.end(first);
        let mark = leases.mark();
        leases.grant(lease(first, 2), principal.clone(), server, Duration::MAX);
        leases.grant(lease(second, 1), principal, server, Duration::MAX);
        leases.undo(mark);
        assert!(!leases.is_held(first) && !leases.is_held(second));
        leases.undo_all();
        assert!(leases.is_valid(lease(first, 1)));
    }

    #[test]
    fn an_expired_lease_is_not_live_but_good_until_another_claim() {
        let mut leases = Leases::default();
        let (server, principal, task) = (ServerId::random(), PrincipalId::new("a"), TaskId::random());
        leases.grant(lease(task, 1), principal.clone(), server, Duration::ZERO);
        assert!(!leases.is_live(task, Instant::now()));
        assert!(leases.is_valid(lease(task, 1)));
        leases.renew(task, Duration::MAX);
        assert!(leases.is_live(task, Instant::now()));
        leases.grant(lease(task, 2), principal, server, Duration::MAX);
        assert!(!leases.is_valid(lease(task, 1)));
    }
}
