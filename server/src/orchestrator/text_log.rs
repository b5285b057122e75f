//! The artifact `log`: a Task's events as text, a line each, made when it is read.
//!
//! Nothing is kept but the piece that was asked for, however long the log is.

use crate::orchestrator::{CallResult, Parts, internal};
use crate::store::{ArtifactChunk, visit_events};
use crate::task::event::{Ending, Event, EventPayload, ToolOutcome};
use crate::task::id::Sequence;
use crate::task::record::TaskRecord;
use crate::task::result::{Evidence, ResultKind, Verdict};

/// Returns a piece of the Task's log as text, made from its events.
pub(super) async fn read_log(parts: &Parts, record: &TaskRecord, offset: u64, limit: u32) -> CallResult<ArtifactChunk> {
    let mut window = Window {
        from: usize::try_from(offset).map_err(internal)?,
        limit: limit as usize,
        ..Window::default()
    };
    let before = Sequence(record.oldest_sequence.0.saturating_sub(1));
    visit_events(parts.store.as_ref(), record.id, before, |event| {
        window.push(log_line(event).as_bytes());
    })
    .await?;
    Ok(ArtifactChunk {
        data: window.kept.into(),
        size: window.size as u64,
    })
}

/// The part of a text that a caller asked for; no more of it is kept.
#[derive(Default)]
struct Window {
    from: usize,
    limit: usize,
    size: usize,
    kept: Vec<u8>,
}

impl Window {
    fn push(&mut self, line: &[u8]) {
        let skipped = self.from.saturating_sub(self.size).min(line.len());
        let room = self.limit.saturating_sub(self.kept.len());
        self.kept.extend(line.iter().skip(skipped).take(room));
        self.size += line.len();
    }
}

fn log_line(event: &Event) -> String {
    let time = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(event.time.0) * 1000).map_or_else(
        |_| String::new(),
        |time| {
            let ((year, month, day), (hour, minute, second, micro)) = (time.to_calendar_date(), time.to_hms_micro());
            let month = u8::from(month);
            // Six digits of the second always, so that columns stand under each other.
            format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micro:06}Z")
        },
    );
    format!("{time} {:>5} {}\n", event.sequence, describe(&event.payload))
}

/// Says an event in one line; line ends in it are shown as `\n`.
fn describe(payload: &EventPayload) -> String {
    use EventPayload as E;
    let text = match payload {
        E::StateChanged { state } => format!("state {}", state.as_str()),
        E::AssistantMessage { turn, text, model } => format!("turn {turn} {model}: {}", text.text),
        E::ToolCallStarted {
            call_id,
            tool,
            arguments_json,
            ..
        } => format!("call {call_id} {tool} {}", arguments_json.text),
        E::ToolCallFinished {
            call_id,
            outcome,
            exit_code,
            duration,
            ..
        } => {
            let exit = exit_code.map_or_else(String::new, |code| format!(", exit {code}"));
            let outcome = outcome_word(*outcome);
            format!("call {call_id} {outcome}{exit} after {} ms", duration.as_millis())
        }
        E::RetryScheduled {
            component,
            attempt,
            delay,
            message,
        } => {
            format!(
                "{component} failed (attempt {attempt}), next in {} ms: {message}",
                delay.as_millis()
            )
        }
        E::UsageUpdated { usage } => format!(
            "usage {} in, {} out, {} turns",
            usage.input_tokens, usage.output_tokens, usage.turns
        ),
        E::TaskFinished { ending, .. } => match ending {
            Ending::Succeeded(result) => format!("succeeded: {}", kind_word(result.kind)),
            Ending::Failed(failure) => format!("failed: {}: {}", failure.reason.as_str(), failure.message),
            Ending::Cancelled => "cancelled".to_owned(),
        },
        E::Progress { percent, step } => format!("progress {percent} % {step}"),
        E::PlanUpdated { steps } => format!("plan of {} steps", steps.len()),
        E::FilesChanged { files, .. } => {
            format!(
                "changed {}",
                files
                    .iter()
                    .map(|file| file.path.as_str())
                    .collect::<Vec<_>>()
                    .join(", ")
            )
        }
        E::CheckpointSaved { commit } => format!("checkpoint {commit}"),
        E::VerificationStarted { command, baseline, .. } => format!("verify {}: {command}", side(*baseline)),
        E::VerificationFinished { evidence, .. } => {
            let exit = evidence
                .exit_code
                .map_or_else(String::new, |code| format!(", exit {code}"));
            let (side, verdict) = (side(evidence.baseline), verdict_word(evidence));
            format!("verify {side}: {} {verdict}{exit}", evidence.command)
        }
        E::PullRequestOpened { pull_request } => format!("pull request {}", pull_request.url),
        E::ContextCompacted {
            tokens_before,
            tokens_after,
        } => format!("compacted {tokens_before} to {tokens_after} tokens"),
        E::Warning { message } => format!("warning {message}"),
        E::CancelRequested { requester, reason } => format!("cancel requested by {requester}: {reason}"),
        E::PolicyDenied {
            policy,
            subject,
            message,
        } => format!("denied by {policy}: {subject}: {message}"),
        E::UserMessage { text } => format!("message: {text}"),
        E::RunResumed { cause, run } => format!("run {run} resumed: {cause}"),
    };
    text.replace('\n', "\\n").replace('\r', "\\r")
}

fn side(baseline: bool) -> &'static str {
    if baseline { "base" } else { "change" }
}

fn outcome_word(outcome: ToolOutcome) -> &'static str {
    match outcome {
        ToolOutcome::Ok => "done",
        ToolOutcome::Rejected => "rejected",
        ToolOutcome::TimedOut => "timed out",
        ToolOutcome::Cancelled => "cancelled",
        ToolOutcome::Interrupted => "interrupted",
    }
}

fn verdict_word(evidence: &Evidence) -> &'static str {
    match evidence.verdict {
        Verdict::Passed => "green",
        Verdict::FailedOnBaseToo if evidence.baseline => "red",
        Verdict::FailedOnBaseToo => "red, as on the base",
        Verdict::NewlyRed => "newly red",
        Verdict::NotRun => "not run",
    }
}

fn kind_word(kind: ResultKind) -> &'static str {
    match kind {
        ResultKind::PullRequest => "pull request",
        ResultKind::Patch => "patch",
        ResultKind::NoChange => "no change needed",
        ResultKind::Branch => "branch",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_keeps_what_was_asked_for_and_counts_the_rest() {
        let lines = ["one\n", "two\n", "three\n"];
        for from in 0..16 {
            for limit in 0..16 {
                let mut window = Window {
                    from,
                    limit,
                    ..Window::default()
                };
                lines.iter().for_each(|line| window.push(line.as_bytes()));
                let whole = lines.concat();
                let expected: Vec<u8> = whole.bytes().skip(from).take(limit).collect();
                assert_eq!((window.kept, window.size), (expected, whole.len()), "{from} {limit}");
            }
        }
    }
}
