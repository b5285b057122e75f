//! Events that are one sentence.

use backspace_sdk::v1::task_event::Payload;

use super::span_of;
use crate::escape;
use crate::measure;
use crate::paint::{Look, Paint};

/// Returns the sentence of an event that is one.
pub(super) fn remark(payload: &Payload, paint: Paint) -> Option<String> {
    let (look, text) = match payload {
        Payload::RetryScheduled(retry) => (
            Look::Yellow,
            format!(
                "↻ {} failed, try {}, again in {}: {}",
                escape::line(&retry.component),
                retry.attempt,
                measure::span(span_of(retry.delay.as_ref())),
                escape::line(&retry.message)
            ),
        ),
        Payload::PullRequestOpened(opened) => {
            let url = opened
                .pull_request
                .as_ref()
                .map(|request| escape::line(&request.url))
                .unwrap_or_default();
            (Look::Green, format!("⇡ pull request {url}"))
        }
        Payload::ContextCompacted(compacted) => (
            Look::Dim,
            format!(
                "the conversation was shortened from about {} to {} tokens",
                measure::count(compacted.tokens_before),
                measure::count(compacted.tokens_after)
            ),
        ),
        Payload::Warning(warning) => (Look::Yellow, format!("⚠ {}", escape::line(&warning.message))),
        Payload::CancelRequested(cancel) => {
            let reason = match cancel.reason.as_str() {
                "" => String::new(),
                reason => format!(": {}", escape::line(reason)),
            };
            (
                Look::Yellow,
                format!(
                    "■ {} asked for the task to stop{reason}",
                    escape::line(&cancel.requester)
                ),
            )
        }
        Payload::PolicyDenied(denied) => (
            Look::Red,
            format!(
                "⊘ refused ({}): {} — {}",
                escape::line(&denied.policy),
                escape::line(&denied.subject),
                escape::line(&denied.message)
            ),
        ),
        Payload::UserMessage(message) => (Look::Cyan, format!("✉ message: {}", escape::line(&message.text))),
        Payload::RunResumed(resumed) => (
            Look::Yellow,
            format!("↺ run {} goes on: {}", resumed.run, escape::line(&resumed.cause)),
        ),
        _ => return None,
    };
    Some(paint.text(look, &text))
}
