//! The Task as it stands: the fold of its log, and what a later run needs to go on.
//!
//! `TaskRecord::apply` is the only way the public part changes, so a stored Task can't disagree
//! with its events. `RunProgress` is private to the server and written beside the events in the
//! same transaction.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::task::address::RepositoryAddress;
use crate::task::budget::Usage;
use crate::task::event::{Ending, Event, EventPayload};
use crate::task::id::{ObjectId, PrincipalId, SandboxId, Sequence, TaskId, Timestamp};
use crate::task::result::{Evidence, Finding, PreservedWork, PullRequest};
use crate::task::spec::TaskSpec;
use crate::task::state::State;

/// A Task as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// Its id.
    pub id: TaskId,
    /// Whose it is.
    pub principal: PrincipalId,
    /// Who asked for it, for people.
    pub requester: String,
    /// What was asked for.
    pub spec: TaskSpec,
    /// The Task that this one goes on from.
    pub continues: Option<TaskId>,
    /// Where it stands.
    pub state: State,
    /// How it ended; `Some` exactly when the state is terminal.
    pub ending: Option<Ending>,
    /// Spend so far.
    pub usage: Usage,
    /// When it was accepted.
    pub create_time: Timestamp,
    /// When the first turn began.
    pub start_time: Option<Timestamp>,
    /// When a terminal state was reached.
    pub end_time: Option<Timestamp>,
    /// Work kept when it did not succeed.
    pub preserved_work: Option<PreservedWork>,
    /// Last durable event.
    pub last_sequence: Sequence,
    /// Oldest event still kept; greater than `last_sequence` when all were trimmed.
    pub oldest_sequence: Sequence,
    /// True once a cancel was accepted.
    pub cancel_requested: bool,
    /// What a reviewer should look at.
    pub findings: Vec<Finding>,
    /// What a later run needs.
    pub progress: RunProgress,
}

/// An event that does not follow from the Task's state; a defect, never caused by input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IllegalEvent {
    /// The log would have a gap or a repeat.
    #[error("event {given} does not follow {last}")]
    Sequence {
        /// What was given.
        given: Sequence,
        /// What was there.
        last: Sequence,
    },
    /// The state machine has no such move.
    #[error("a task can't go from {} to {}", from.as_str(), to.as_str())]
    Transition {
        /// Where it stands.
        from: State,
        /// Where it was to go.
        to: State,
    },
    /// Nothing follows the end.
    #[error("a finished task takes no more events")]
    Finished,
}

impl TaskRecord {
    /// Makes the record of a Task that was just accepted, before its first event is applied.
    pub fn accepted(
        id: TaskId,
        principal: PrincipalId,
        requester: String,
        spec: TaskSpec,
        continues: Option<TaskId>,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            principal,
            requester,
            spec,
            continues,
            state: State::Queued,
            ending: None,
            usage: Usage {
                cost_micro_usd: Some(0),
                ..Usage::default()
            },
            create_time: now,
            start_time: None,
            end_time: None,
            preserved_work: None,
            last_sequence: Sequence::ZERO,
            oldest_sequence: Sequence(1),
            cancel_requested: false,
            findings: Vec::new(),
            progress: RunProgress::default(),
        }
    }

    /// Folds one event into the record.
    pub fn apply(&mut self, event: &Event) -> Result<(), IllegalEvent> {
        if self.state.is_terminal() {
            return Err(IllegalEvent::Finished);
        }
        if event.sequence != self.last_sequence.next() {
            return Err(IllegalEvent::Sequence {
                given: event.sequence,
                last: self.last_sequence,
            });
        }
        match &event.payload {
            EventPayload::StateChanged { state } => self.enter(*state, event)?,
            EventPayload::TaskFinished {
                ending,
                preserved_work,
                findings,
            } => {
                self.enter(ending.state(), event)?;
                self.ending = Some(ending.clone());
                self.preserved_work = preserved_work.clone();
                self.findings = findings.clone();
                self.end_time = Some(event.time);
            }
            EventPayload::UsageUpdated { usage } => self.usage = *usage,
            EventPayload::CancelRequested { .. } => self.cancel_requested = true,
            _ => {}
        }
        self.last_sequence = event.sequence;
        Ok(())
    }

    /// Returns the sandbox whose work tree the next run enters. None before the first answer, when it may be half
    /// made, and none once the change is being published.
    pub fn sandbox_to_enter(&self) -> Option<SandboxId> {
        let is_in_use = self.usage.turns > 0 && self.progress.publication.is_none();
        self.progress.sandbox.filter(|_| is_in_use)
    }

    fn enter(&mut self, next: State, event: &Event) -> Result<(), IllegalEvent> {
        let first = event.sequence == Sequence(1) && next == State::Queued;
        if !first && !self.state.can_become(next) {
            return Err(IllegalEvent::Transition {
                from: self.state,
                to: next,
            });
        }
        if next == State::Running && self.start_time.is_none() {
            self.start_time = Some(event.time);
        }
        self.state = next;
        Ok(())
    }
}

/// What a later run of the same Task needs to go on; intent before each side effect, outcome after it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunProgress {
    /// Runs begun so far.
    pub runs: u32,
    /// Runs that ended without a durable stop since the last finished turn; a poison Task is failed by it.
    pub crashes: u32,
    /// True while no run holds the Task because a server stopped in good order.
    pub detached: bool,
    /// The commit the work is based on and the branch it is for; another commit only after a rebase.
    pub base: Option<Base>,
    /// The branch that the work started from and goes back to, when it continues what another Task pushed.
    pub head_branch: Option<String>,
    /// Times the change was put, or tried to be put, on top of what others pushed meanwhile.
    pub rebases: u32,
    /// What a reader of the pull request should know of how it came about, one sentence each.
    pub notes: Vec<String>,
    /// The sandbox that holds the work tree.
    pub sandbox: Option<SandboxId>,
    /// The sandbox, when its folders lie over what set-up commands left, so that none has to run in it.
    pub set_up: Option<SandboxId>,
    /// The turn whose work tree was restored after a loss, until the model was told.
    pub restored_turn: Option<u32>,
    /// The last change saved outside the sandbox.
    pub checkpoint: Option<Checkpoint>,
    /// Turns finished.
    pub turn: u32,
    /// Wall time that earlier runs used after the first turn.
    pub elapsed: Duration,
    /// Wall time of the whole baseline, for the reserve.
    pub baseline_duration: Duration,
    /// Recorded facts: the baseline's, then those of the last verification.
    pub evidence: Vec<Evidence>,
    /// Verification rounds begun.
    pub verification_rounds: u32,
    /// True from the start of a verification until the agent goes on: the work tree differs from the
    /// checkpoint only by what the checks wrote.
    pub checking: bool,
    /// The agent's own summary, once it gave one.
    pub summary: Option<String>,
    /// Why the agent was stopped, when it did not finish by itself.
    pub stopped: Option<crate::task::failure::Failure>,
    /// What a reviewer should look at, once the diff was judged.
    pub findings: Vec<Finding>,
    /// What is being published.
    pub publication: Option<PublicationIntent>,
    /// Last percentage shown.
    pub percent: u32,
}

/// What the work is based on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// The commit.
    pub commit: ObjectId,
    /// Its tree.
    pub tree: ObjectId,
    /// The branch a pull request asks to merge into.
    pub branch: String,
}

/// A change saved outside the sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Commit in the server's own repository.
    pub commit: ObjectId,
    /// Its tree.
    pub tree: ObjectId,
    /// The turn after which it was taken.
    pub turn: u32,
}

/// A publication that was decided; repeating it gives the same commit, branch and pull request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicationIntent {
    /// The fork to push to, when it is not the repository itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push_to: Option<RepositoryAddress>,
    /// Branch to push.
    pub branch: String,
    /// Head that the remote branch is expected to have: `None` when it must not exist.
    pub expected_head: Option<ObjectId>,
    /// Parent of the commit.
    pub parent: ObjectId,
    /// Its tree.
    pub tree: ObjectId,
    /// The commit made by the host.
    pub commit: ObjectId,
    /// True once `ls-remote` has confirmed it.
    pub pushed: bool,
    /// The pull request, once it exists.
    pub pull_request: Option<PullRequest>,
}
