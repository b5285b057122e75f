//! A tool call in one line: what was called, on what, how it ended, how long it took.

use backspace_sdk::v1;
use backspace_sdk::v1::tool_call_finished::Outcome;

use crate::escape;
use crate::measure;
use crate::paint::{Look, Paint};

/// Where a tool's arguments say what it is about, in this order.
const SUBJECTS: [&str; 6] = ["command", "path", "pattern", "glob", "query", "summary"];
const MAX_SUBJECT_CHARS: usize = 100;
/// Where the result stands, if the subject leaves room.
const RESULT_COLUMN: usize = 58;

/// A call that has begun.
#[derive(Clone, Debug, Default)]
pub(super) struct Call {
    tool: String,
    subject: String,
}

impl Call {
    pub(super) fn started(started: &v1::ToolCallStarted) -> Self {
        Self {
            tool: escape::line(&started.tool),
            subject: subject(&started.arguments_json),
        }
    }

    pub(super) fn in_words(&self) -> String {
        format!("{} {}", self.tool, self.subject)
    }

    /// The line of the finished call. Its own words go before those of the start, which may not have been seen.
    pub(super) fn finished(&self, finished: &v1::ToolCallFinished, paint: Paint) -> String {
        let tool = if finished.tool.is_empty() {
            self.tool.clone()
        } else {
            escape::line(&finished.tool)
        };
        let subject = if finished.command.is_empty() {
            self.subject.clone()
        } else {
            one_line(&finished.command)
        };
        let (mark, look, result) = result(finished);
        let time = measure::span(super::span_of(finished.duration.as_ref()));
        let told = if result.is_empty() {
            time
        } else {
            format!("{result}  {time}")
        };
        let width = tool.chars().count() + 1 + subject.chars().count();
        let gap = " ".repeat(RESULT_COLUMN.saturating_sub(width).max(2));
        format!(
            "  {} {} {subject}{gap}{}",
            paint.text(look, mark),
            paint.text(Look::Cyan, &tool),
            paint.text(if look == Look::Green { Look::Dim } else { look }, &told)
        )
    }
}

fn result(finished: &v1::ToolCallFinished) -> (&'static str, Look, String) {
    let exit = finished
        .exit_code
        .map(|code| format!("exit {code}"))
        .unwrap_or_default();
    match Outcome::try_from(finished.outcome) {
        Ok(Outcome::Ok) if finished.exit_code.is_none_or(|code| code == 0) => ("✓", Look::Green, exit),
        Ok(Outcome::Ok) => ("✗", Look::Red, exit),
        Ok(Outcome::Rejected) => ("!", Look::Yellow, "rejected".to_owned()),
        Ok(Outcome::TimedOut) => ("✗", Look::Red, "timed out".to_owned()),
        Ok(Outcome::Cancelled) => ("■", Look::Yellow, "cancelled".to_owned()),
        Ok(Outcome::Interrupted) => ("■", Look::Yellow, "interrupted".to_owned()),
        Ok(Outcome::Unspecified) | Err(_) => ("·", Look::Dim, exit),
    }
}

/// What a call is about, from its arguments; they may be cut, and then are no JSON.
fn subject(arguments_json: &str) -> String {
    let Ok(serde_json::Value::Object(arguments)) = serde_json::from_str(arguments_json) else {
        return one_line(arguments_json);
    };
    let named = SUBJECTS.iter().find_map(|name| arguments.get(*name)?.as_str());
    match named {
        Some(text) => one_line(text),
        None => String::new(),
    }
}

fn one_line(text: &str) -> String {
    let mut lines = text.trim().lines();
    let first = lines.next().unwrap_or_default();
    let mut shown: String = escape::line(first).chars().take(MAX_SUBJECT_CHARS).collect();
    if lines.next().is_some() || first.chars().count() > MAX_SUBJECT_CHARS {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subject_is_what_a_person_would_ask_for() {
        let table = [
            (r#"{"command":"cargo test","timeout_seconds":5}"#, "cargo test"),
            (r#"{"new":"b","old":"a","path":"src/lib.rs"}"#, "src/lib.rs"),
            (r#"{"pattern":"fn main"}"#, "fn main"),
            (r#"{"todos":[1]}"#, ""),
            (r#"{"command":"cat <<EOF\nbody\nEOF"}"#, "cat <<EOF…"),
            (r#"{"command":"\u001b[2Jls"}"#, "\\x1b[2Jls"),
            (r#"{"command":"cut he"#, r#"{"command":"cut he"#),
        ];
        for (arguments, expected) in table {
            assert_eq!(subject(arguments), expected);
        }
        let long = format!(r#"{{"command":"{}"}}"#, "x".repeat(500));
        assert_eq!(subject(&long).chars().count(), MAX_SUBJECT_CHARS + 1);
    }
}
