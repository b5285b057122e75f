//! What happens to a Task. Durable events are numbered and stored before anyone sees them; live
//! ones are a courtesy for people who watch and may be lost.
//!
//! The shapes follow the contract one to one, so that the conversion can destructure them without
//! leaving a field out. Texts here are already masked and cut to `MAX_EVENT_TEXT_BYTES`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::task::budget::Usage;
use crate::task::failure::Failure;
use crate::task::id::{ArtifactId, CallId, ObjectId, Sequence, Timestamp};
use crate::task::result::{Evidence, Finding, PreservedWork, PullRequest, TaskResult, Verdict};
use crate::task::state::State;

/// Longest text inside one event; the whole is an artifact.
pub const MAX_EVENT_TEXT_BYTES: usize = 64 * 1024;

/// A durable event as stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Position in the log.
    pub sequence: Sequence,
    /// When it was recorded.
    pub time: Timestamp,
    /// What happened.
    pub payload: EventPayload,
}

/// What happened, durably.
#[expect(
    clippy::large_enum_variant,
    reason = "the large ones are rare; a box would be in every conversion"
)]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum EventPayload {
    /// The Task entered a state.
    StateChanged {
        /// The state entered.
        state: State,
    },
    /// The model finished a message.
    AssistantMessage {
        /// Which turn, from 1.
        turn: u32,
        /// Markdown.
        text: CutText,
        /// `{provider}/{model}` that answered.
        model: String,
    },
    /// A tool call is about to run.
    ToolCallStarted {
        /// Which turn, from 1.
        turn: u32,
        /// Joins start, output and end.
        call_id: CallId,
        /// Name of the tool.
        tool: String,
        /// Arguments as JSON.
        arguments_json: CutText,
    },
    /// A tool call ended.
    ToolCallFinished {
        /// Joins start, output and end.
        call_id: CallId,
        /// How it ended.
        outcome: ToolOutcome,
        /// Exit status, for a tool that ran a command.
        exit_code: Option<i32>,
        /// What the model was shown.
        output: CutText,
        /// Wall time.
        duration: Duration,
        /// Name of the tool.
        tool: String,
        /// The command line, for a tool that ran one.
        command: String,
    },
    /// A call outside the server failed and will be tried again.
    RetryScheduled {
        /// What failed: `model`, `forge`.
        component: String,
        /// The attempt that failed, from 1.
        attempt: u32,
        /// How long until the next.
        delay: Duration,
        /// Why, for a person.
        message: String,
    },
    /// Spend after a turn.
    UsageUpdated {
        /// Totals.
        usage: Usage,
    },
    /// The Task is terminal; nothing follows.
    TaskFinished {
        /// How it ended.
        ending: Ending,
        /// Work kept when it did not succeed.
        preserved_work: Option<PreservedWork>,
        /// What a reviewer should look at.
        findings: Vec<Finding>,
    },
    /// How far along the Task is; never goes back.
    Progress {
        /// 0 to 100.
        percent: u32,
        /// The step being taken.
        step: String,
    },
    /// The agent's plan was made or changed.
    PlanUpdated {
        /// All steps, in order.
        steps: Vec<PlanStep>,
    },
    /// Files changed since the last such event.
    FilesChanged {
        /// The files.
        files: Vec<FileChange>,
        /// Unified diff.
        diff: CutText,
    },
    /// The change so far was saved outside the sandbox.
    CheckpointSaved {
        /// Commit in the server's own repository.
        commit: ObjectId,
    },
    /// A command of the repository's own is about to run.
    VerificationStarted {
        /// Joins start, output and end.
        call_id: CallId,
        /// The command line.
        command: String,
        /// True on the base.
        baseline: bool,
    },
    /// Such a command ended.
    VerificationFinished {
        /// Joins start, output and end.
        call_id: CallId,
        /// The recorded fact.
        evidence: Evidence,
        /// Tail of the output.
        output: CutText,
        /// Which round, from 1.
        round: u32,
    },
    /// The pull request exists.
    PullRequestOpened {
        /// The pull request.
        pull_request: PullRequest,
    },
    /// The conversation was shortened.
    ContextCompacted {
        /// Tokens before, estimated.
        tokens_before: u64,
        /// Tokens after, estimated.
        tokens_after: u64,
    },
    /// Something a person should know; the Task goes on.
    Warning {
        /// One sentence.
        message: String,
    },
    /// A caller asked for the Task to stop.
    CancelRequested {
        /// Who asked.
        requester: String,
        /// Why, in their words.
        reason: String,
    },
    /// Something was refused.
    PolicyDenied {
        /// Which policy: `egress`, `protected_path`, `secret`…
        policy: String,
        /// What was refused; never a secret's value.
        subject: String,
        /// Why, for a person.
        message: String,
    },
    /// A person sent a message into the Task.
    UserMessage {
        /// The text.
        text: String,
    },
    /// The Task goes on after a restart of the server or the loss of its sandbox.
    RunResumed {
        /// Why it had to.
        cause: String,
        /// The run that goes on, from 2.
        run: u32,
    },
}

/// How a Task ended.
#[expect(clippy::large_enum_variant, reason = "there is one of it in a Task's life")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// With a result.
    Succeeded(TaskResult),
    /// With a failure.
    Failed(Failure),
    /// As a caller asked.
    Cancelled,
}

impl Ending {
    /// Returns the terminal state it means.
    pub fn state(&self) -> State {
        match self {
            Self::Succeeded(_) => State::Succeeded,
            Self::Failed(_) => State::Failed,
            Self::Cancelled => State::Cancelled,
        }
    }
}

/// A text that may be only a part of the whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutText {
    /// What is shown.
    pub text: String,
    /// True when it is not the whole.
    pub truncated: bool,
    /// Where the whole is, when it was kept.
    pub artifact: Option<ArtifactId>,
}

impl CutText {
    /// Wraps a text that is whole and short enough; longer ones are cut at the head's end.
    pub fn new(text: impl Into<String>) -> Self {
        let mut text = text.into();
        let truncated = text.len() > MAX_EVENT_TEXT_BYTES;
        if truncated {
            text.truncate(floor_char_boundary(&text, MAX_EVENT_TEXT_BYTES));
        }
        Self {
            text,
            truncated,
            artifact: None,
        }
    }
}

/// Returns the largest char boundary of `text` that is not after `index`.
pub fn floor_char_boundary(text: &str, index: usize) -> usize {
    let mut end = index.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    end
}

/// How a tool call ended, from the agent's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolOutcome {
    /// The tool did what it was asked.
    Ok,
    /// The tool told the model what was wrong.
    Rejected,
    /// The tool's time limit passed.
    TimedOut,
    /// The Task was cancelled while it ran.
    Cancelled,
    /// The server stopped while it ran.
    Interrupted,
}

/// One step of the agent's plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanStep {
    /// What is to be done.
    pub title: String,
    /// Where it stands.
    pub state: PlanStepState,
}

/// Where a step of the plan stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanStepState {
    /// Not begun.
    Pending,
    /// Being done.
    InProgress,
    /// Done.
    Done,
}

/// One changed file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// What happened to it.
    pub status: FileStatus,
    /// Path from the root of the repository; bytes that are not UTF-8 are escaped.
    pub path: String,
    /// Former path, when renamed.
    pub old_path: Option<String>,
    /// True when it is not text.
    pub binary: bool,
    /// Lines added.
    pub added: u32,
    /// Lines removed.
    pub removed: u32,
}

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileStatus {
    /// It is new.
    Added,
    /// Its content or mode changed.
    Modified,
    /// It is gone.
    Deleted,
    /// It has another name now.
    Renamed,
}

impl EventPayload {
    /// Returns the verdict carried by a finished verification.
    pub fn verdict(&self) -> Option<Verdict> {
        match self {
            Self::VerificationFinished { evidence, .. } => Some(evidence.verdict),
            _ => None,
        }
    }
}

/// Something that is shown while it happens and never stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LivePayload {
    /// Part of a message still being written.
    AssistantDelta {
        /// Which turn, from 1.
        turn: u32,
        /// Text to append.
        text: String,
        /// Where it starts, in bytes of UTF-8.
        offset: u64,
        /// Which attempt at this turn, from 1; a new one replaces the last.
        attempt: u32,
    },
    /// Part of a running command's output.
    ToolOutputDelta {
        /// Joins start, output and end.
        call_id: CallId,
        /// Which stream.
        stream: OutputStream,
        /// The bytes.
        data: bytes::Bytes,
        /// Where they start in their stream.
        offset: u64,
    },
}

/// Which of a command's streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_text_ends_on_a_character() {
        let cut = CutText::new("é".repeat(MAX_EVENT_TEXT_BYTES));
        assert!(cut.truncated);
        assert_eq!(cut.text.len(), MAX_EVENT_TEXT_BYTES);
        let odd = CutText::new(format!("a{}", "é".repeat(MAX_EVENT_TEXT_BYTES)));
        assert_eq!(odd.text.len(), MAX_EVENT_TEXT_BYTES - 1);
        assert_eq!(
            CutText::new("short"),
            CutText {
                text: "short".into(),
                truncated: false,
                artifact: None
            }
        );
    }
}
