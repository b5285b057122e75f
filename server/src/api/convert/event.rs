//! Events.

use backspace_sdk::v1;
use v1::task_event::Payload;

use crate::api::convert::{cut, moment, name, result, task};
use crate::task::event::{
    CutText, Event, EventPayload, FileChange, FileStatus, LivePayload, OutputStream, PlanStep, PlanStepState,
    ToolOutcome,
};
use crate::task::id::{ArtifactId, TaskId, Timestamp};
use crate::task::record::TaskRecord;
use crate::task::result::Evidence;

/// Converts a durable event. `finished` is the Task as it ended, for the event that carries it.
pub(crate) fn durable(id: TaskId, event: Event, finished: Option<&TaskRecord>) -> v1::TaskEvent {
    let Event {
        sequence,
        time,
        payload,
    } = event;
    v1::TaskEvent {
        sequence: sequence.0,
        event_time: Some(moment::timestamp(time)),
        payload: Some(durable_payload(id, payload, finished)),
    }
}

/// Converts a live event.
pub(crate) fn live(time: Timestamp, payload: LivePayload) -> v1::TaskEvent {
    let payload = match payload {
        LivePayload::AssistantDelta {
            turn,
            text,
            offset,
            attempt,
        } => Payload::AssistantDelta(v1::AssistantDelta {
            turn,
            text,
            offset,
            attempt,
        }),
        LivePayload::ToolOutputDelta {
            call_id,
            stream,
            data,
            offset,
        } => Payload::ToolOutputDelta(v1::ToolOutputDelta {
            call_id: call_id.to_string(),
            offset,
            chunk: Some(match stream {
                OutputStream::Stdout => v1::tool_output_delta::Chunk::Stdout(data.into()),
                OutputStream::Stderr => v1::tool_output_delta::Chunk::Stderr(data.into()),
            }),
        }),
    };
    v1::TaskEvent {
        sequence: 0,
        event_time: Some(moment::timestamp(time)),
        payload: Some(payload),
    }
}

fn durable_payload(id: TaskId, payload: EventPayload, finished: Option<&TaskRecord>) -> Payload {
    match payload {
        EventPayload::StateChanged { state } => Payload::StateChanged(v1::StateChanged {
            state: task::state(state).into(),
        }),
        EventPayload::AssistantMessage { turn, text, model } => {
            let (text, text_truncated, artifact) = cut_text(id, text);
            Payload::AssistantMessage(v1::AssistantMessage {
                turn,
                text,
                model,
                text_truncated,
                artifact,
            })
        }
        EventPayload::ToolCallStarted {
            turn,
            call_id,
            tool,
            arguments_json,
        } => {
            let (arguments_json, arguments_truncated, artifact) = cut_text(id, arguments_json);
            Payload::ToolCallStarted(v1::ToolCallStarted {
                turn,
                call_id: call_id.to_string(),
                tool,
                arguments_json,
                arguments_truncated,
                artifact,
            })
        }
        EventPayload::ToolCallFinished {
            call_id,
            outcome,
            exit_code,
            output,
            duration,
            tool,
            command,
        } => {
            let (output, output_truncated, artifact) = cut_text(id, output);
            Payload::ToolCallFinished(v1::ToolCallFinished {
                call_id: call_id.to_string(),
                outcome: tool_outcome(outcome).into(),
                exit_code,
                output,
                output_truncated,
                duration: Some(moment::duration(duration)),
                tool,
                command,
                artifact,
            })
        }
        EventPayload::RetryScheduled {
            component,
            attempt,
            delay,
            message,
        } => Payload::RetryScheduled(v1::RetryScheduled {
            component,
            attempt,
            delay: Some(moment::duration(delay)),
            message,
        }),
        EventPayload::UsageUpdated { usage } => Payload::UsageUpdated(v1::UsageUpdated {
            usage: Some(task::usage(&usage)),
        }),
        // The contract's event carries the whole Task, of which these are a part.
        EventPayload::TaskFinished {
            ending: _,
            preserved_work: _,
            findings: _,
        } => Payload::TaskFinished(v1::TaskFinished {
            task: finished.map(|record| cut::to_event_size(task::task(record))),
        }),
        EventPayload::Progress { percent, step } => Payload::Progress(v1::Progress { percent, step }),
        EventPayload::PlanUpdated { steps } => Payload::PlanUpdated(v1::PlanUpdated {
            steps: steps.into_iter().map(plan_step).collect(),
        }),
        EventPayload::FilesChanged { files, diff } => {
            // The whole diff is the artifact `patch`; the message has no field for it.
            let (diff, diff_truncated, _) = cut_text(id, diff);
            Payload::FilesChanged(v1::FilesChanged {
                files: files.into_iter().map(file_change).collect(),
                diff,
                diff_truncated,
            })
        }
        EventPayload::CheckpointSaved { commit } => Payload::CheckpointSaved(v1::CheckpointSaved {
            commit: commit.to_string(),
        }),
        EventPayload::VerificationStarted {
            call_id,
            command,
            baseline,
        } => Payload::VerificationStarted(v1::VerificationStarted {
            call_id: call_id.to_string(),
            command,
            baseline,
        }),
        EventPayload::VerificationFinished {
            call_id,
            evidence,
            output,
            round,
        } => Payload::VerificationFinished(verification(id, call_id.to_string(), evidence, output, round)),
        EventPayload::PullRequestOpened { pull_request } => Payload::PullRequestOpened(v1::PullRequestOpened {
            pull_request: Some(result::pull_request(&pull_request)),
        }),
        EventPayload::ContextCompacted {
            tokens_before,
            tokens_after,
        } => Payload::ContextCompacted(v1::ContextCompacted {
            tokens_before,
            tokens_after,
        }),
        EventPayload::Warning { message } => Payload::Warning(v1::Warning { message }),
        EventPayload::CancelRequested { requester, reason } => {
            Payload::CancelRequested(v1::CancelRequested { requester, reason })
        }
        EventPayload::PolicyDenied {
            policy,
            subject,
            message,
        } => Payload::PolicyDenied(v1::PolicyDenied {
            policy,
            subject,
            message,
        }),
        EventPayload::UserMessage { text } => Payload::UserMessage(v1::UserMessage { text }),
        EventPayload::RunResumed { cause, run } => Payload::RunResumed(v1::RunResumed { cause, run }),
    }
}

fn verification(
    id: TaskId,
    call_id: String,
    evidence: Evidence,
    output: CutText,
    round: u32,
) -> v1::VerificationFinished {
    let Evidence {
        command,
        exit_code,
        duration,
        tree,
        baseline,
        timed_out,
        verdict,
    } = evidence;
    // A tail is always a part; the artifact tells where the whole is.
    let (output, _, artifact) = cut_text(id, output);
    v1::VerificationFinished {
        command,
        tree: tree.to_string(),
        exit_code,
        duration: Some(moment::duration(duration)),
        output,
        round,
        call_id,
        baseline,
        timed_out,
        artifact,
        verdict: result::verdict(verdict).into(),
    }
}

fn cut_text(id: TaskId, text: CutText) -> (String, bool, String) {
    let CutText {
        text,
        truncated,
        artifact,
    } = text;
    let named = artifact.map(|artifact: ArtifactId| name::artifact(id, &artifact));
    (text, truncated, named.unwrap_or_default())
}

fn tool_outcome(outcome: ToolOutcome) -> v1::tool_call_finished::Outcome {
    use v1::tool_call_finished::Outcome;
    match outcome {
        ToolOutcome::Ok => Outcome::Ok,
        ToolOutcome::Rejected => Outcome::Rejected,
        ToolOutcome::TimedOut => Outcome::TimedOut,
        ToolOutcome::Cancelled => Outcome::Cancelled,
        ToolOutcome::Interrupted => Outcome::Interrupted,
    }
}

fn plan_step(step: PlanStep) -> v1::plan_updated::Step {
    let PlanStep { title, state } = step;
    let state = match state {
        PlanStepState::Pending => v1::plan_updated::State::Pending,
        PlanStepState::InProgress => v1::plan_updated::State::InProgress,
        PlanStepState::Done => v1::plan_updated::State::Done,
    };
    v1::plan_updated::Step {
        title,
        state: state.into(),
    }
}

fn file_change(change: FileChange) -> v1::files_changed::File {
    let FileChange {
        status,
        path,
        old_path,
        binary,
        added,
        removed,
    } = change;
    let status = match status {
        FileStatus::Added => v1::files_changed::Status::Added,
        FileStatus::Modified => v1::files_changed::Status::Modified,
        FileStatus::Deleted => v1::files_changed::Status::Deleted,
        FileStatus::Renamed => v1::files_changed::Status::Renamed,
    };
    v1::files_changed::File {
        status: status.into(),
        old_path: old_path.unwrap_or_default(),
        binary,
        path,
        added,
        removed,
    }
}
