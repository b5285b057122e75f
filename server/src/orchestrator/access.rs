//! Small rules behind the orchestrator's calls: who may use which repository, what makes two
//! requests the same, and texts made from what is stored.

use bytes::Bytes;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::forge::Access;
use crate::orchestrator::{CallResult, Caller, OrchestratorError, Parts, internal};
use crate::store::{ArtifactChunk, RequestKey};
use crate::task::event::{Ending, Event, EventPayload};
use crate::task::id::Sequence;
use crate::task::record::TaskRecord;
use crate::task::result::PreservedWork;

/// Returns whether a caller may use a repository; `*` in a rule stands for any run of characters but `/`.
pub(super) fn may_use_repository(caller: &Caller, address: &str) -> bool {
    let Some(rules) = &caller.repositories else { return true };
    let address = address.to_ascii_lowercase();
    rules
        .iter()
        .any(|rule| rule == "*" || matches(&rule.to_ascii_lowercase(), &address))
}

fn matches(rule: &str, address: &str) -> bool {
    let (rule_parts, parts): (Vec<_>, Vec<_>) = (rule.split('/').collect(), address.split('/').collect());
    rule_parts.len() == parts.len()
        && rule_parts
            .iter()
            .zip(parts)
            .all(|(rule, part)| matches_part(rule, part))
}

fn matches_part(rule: &str, part: &str) -> bool {
    match rule.split_once('*') {
        None => rule == part,
        Some((head, tail)) => {
            let Some(rest) = part.strip_prefix(head) else {
                return false;
            };
            (0..=rest.len())
                .filter_map(|at| rest.get(at..))
                .any(|rest| matches_part(tail, rest))
        }
    }
}

/// Makes the key of an idempotent request: equal for equal requests.
pub(super) fn request_key(id: Uuid, request: &impl Serialize) -> Result<RequestKey, serde_json::Error> {
    let hash = Sha256::digest(serde_json::to_vec(request)?).into();
    Ok(RequestKey { id, hash })
}

/// Returns the number of the pull request that a Task ended with.
pub(super) fn pull_request_number(ending: &Ending, preserved: Option<&PreservedWork>) -> Option<u64> {
    let opened = match ending {
        Ending::Succeeded(result) => result.pull_request.as_ref(),
        Ending::Failed(_) | Ending::Cancelled => None,
    };
    opened
        .or_else(|| preserved.and_then(|work| work.pull_request.as_ref()))
        .map(|pull_request| pull_request.number)
}

/// Fetches the review comments of a Task's pull request as one delimited text.
pub(super) async fn fetch_review_comments(parts: &Parts, record: &TaskRecord, number: u64) -> CallResult<String> {
    let precondition = |error: crate::forge::ForgeError| OrchestratorError::Precondition {
        message: error.to_string(),
    };
    let forge = parts
        .forge(&record.spec.repository)
        .ok_or(OrchestratorError::RepositoryDenied)?;
    let repository = forge
        .repository(&record.spec.repository, &record.spec.revision, Access::Read)
        .await
        .map_err(precondition)?;
    let comments = forge.review_comments(&repository, number).await.map_err(precondition)?;
    if comments.is_empty() {
        return Err(OrchestratorError::Precondition {
            message: "the pull request has no unresolved review comments".into(),
        });
    }
    let source = |comment: &crate::forge::UntrustedText| crate::agent::prompt::SourcedText {
        origin: comment.origin.clone(),
        text: comment.text.clone(),
    };
    let texts = comments
        .iter()
        .map(|comment| crate::agent::prompt::untrusted(&source(comment)));
    Ok(format!(
        "Review comments of the pull request, to be answered one by one:\n\n{}",
        texts.collect::<Vec<_>>().join("\n\n")
    ))
}

/// Returns a piece of the Task's log as text, made from its events.
pub(super) async fn read_log(parts: &Parts, record: &TaskRecord, offset: u64, limit: u32) -> CallResult<ArtifactChunk> {
    let mut text = String::new();
    let mut after = Sequence(record.oldest_sequence.0.saturating_sub(1));
    while after < record.last_sequence {
        let page = parts.store.events(record.id, after, 500).await?;
        let Some(last) = page.events.last() else { break };
        after = last.sequence;
        page.events.iter().for_each(|event| text.push_str(&log_line(event)));
    }
    let from = usize::try_from(offset).map_err(internal)?.min(text.len());
    let to = from.saturating_add(limit as usize).min(text.len());
    let data = Bytes::copy_from_slice(text.as_bytes().get(from..to).unwrap_or_default());
    Ok(ArtifactChunk {
        data,
        size: text.len() as u64,
    })
}

fn log_line(event: &Event) -> String {
    let time = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(event.time.0) * 1000)
        .ok()
        .and_then(|time| time.format(&time::format_description::well_known::Rfc3339).ok())
        .unwrap_or_default();
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
            format!(
                "call {call_id} {outcome:?} exit {exit_code:?} after {} ms",
                duration.as_millis()
            )
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
            Ending::Succeeded(result) => format!("succeeded: {:?}", result.kind),
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
            format!(
                "verify {}: {} exit {:?} {:?}",
                side(evidence.baseline),
                evidence.command,
                evidence.exit_code,
                evidence.verdict
            )
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::id::PrincipalId;

    #[test]
    fn repository_rules_match_whole_parts() {
        let caller = |rules: &[&str]| Caller {
            principal: PrincipalId::new("p"),
            requester: String::new(),
            repositories: Some(rules.iter().map(|&rule| rule.to_owned()).collect()),
        };
        let address = "https://github.com/Octo/hello";
        for (rules, expected) in [
            (&["https://github.com/octo/*"][..], true),
            (&["https://github.com/*/hello"], true),
            (&["https://github.com/oct*o/he*"], true),
            (&["*"], true),
            (&["https://github.com/*"], false),
            (&["https://github.com/octo/hell"], false),
            (&[], false),
        ] {
            assert_eq!(may_use_repository(&caller(rules), address), expected, "{rules:?}");
        }
    }
}
