//! Wake-ups of those who follow a Task: one `watch` channel for each Task that someone follows.
//!
//! A channel is made on demand and forgotten when its Task is over or nobody listens. A listener
//! that comes after the end of a Task makes a channel that no append will ever clear away, so the
//! map is swept whenever it has doubled.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::task::id::{Sequence, TaskId};

const SMALLEST_SWEEP: usize = 64;

/// What a committed write means for those who follow its Task.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    /// The log grew.
    Grown(Sequence),
    /// The log grew for the last time.
    Ended(Sequence),
    /// The Task is gone, or part of its log is.
    Gone,
}

/// The channels of all Tasks that someone follows.
#[derive(Default)]
pub(super) struct Wakes {
    channels: Mutex<Channels>,
}

#[derive(Default)]
struct Channels {
    senders: HashMap<TaskId, watch::Sender<Sequence>>,
    sweep_at: usize,
}

impl Wakes {
    /// Returns a receiver that sees every change from now on.
    pub(super) fn subscribe(&self, task: TaskId) -> watch::Receiver<Sequence> {
        let mut channels = self.lock();
        if channels.senders.len() >= channels.sweep_at.max(SMALLEST_SWEEP) {
            channels.senders.retain(|_, sender| sender.receiver_count() > 0);
            channels.sweep_at = channels.senders.len() * 2;
        }
        let sender = channels.senders.entry(task);
        sender.or_insert_with(|| watch::Sender::new(Sequence::ZERO)).subscribe()
    }

    /// Tells of a change that is on disk.
    pub(super) fn publish(&self, task: TaskId, change: Change) {
        let mut channels = self.lock();
        let Some(sender) = channels.senders.get(&task) else {
            return;
        };
        if let Change::Grown(sequence) | Change::Ended(sequence) = change {
            sender.send_replace(sequence);
        }
        // A receiver that has not seen the last value still gets it; after that it hears the channel is closed.
        if !matches!(change, Change::Grown(_)) || sender.receiver_count() == 0 {
            channels.senders.remove(&task);
        }
    }

    /// Lets all listeners know that nothing will be told any more.
    pub(super) fn close(&self) {
        self.lock().senders.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Channels> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(wakes: &Wakes) -> usize {
        wakes.lock().senders.len()
    }

    #[tokio::test]
    async fn a_listener_sees_the_last_value_and_then_the_end() {
        let wakes = Wakes::default();
        let task = TaskId::random();
        let mut receiver = wakes.subscribe(task);
        wakes.publish(task, Change::Grown(Sequence(2)));
        wakes.publish(task, Change::Ended(Sequence(3)));
        receiver.changed().await.unwrap();
        assert_eq!(*receiver.borrow_and_update(), Sequence(3));
        assert!(receiver.changed().await.is_err());
        assert_eq!(count(&wakes), 0);
    }

    #[test]
    fn a_task_that_nobody_follows_any_more_is_forgotten_at_its_next_event() {
        let wakes = Wakes::default();
        let task = TaskId::random();
        let kept = wakes.subscribe(task);
        drop(wakes.subscribe(task));
        wakes.publish(task, Change::Grown(Sequence(1)));
        assert_eq!(count(&wakes), 1);
        drop(kept);
        wakes.publish(task, Change::Grown(Sequence(2)));
        assert_eq!(count(&wakes), 0);
    }

    #[test]
    fn listeners_of_finished_tasks_leave_no_pile() {
        let wakes = Wakes::default();
        let kept: Vec<_> = (0..100).map(|_| wakes.subscribe(TaskId::random())).collect();
        for _ in 0..10_000 {
            drop(wakes.subscribe(TaskId::random()));
        }
        assert!(count(&wakes) <= 2 * kept.len() + SMALLEST_SWEEP, "{}", count(&wakes));
    }
}
