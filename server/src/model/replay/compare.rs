//! What differs between a recorded conversation and the one at hand.
//!
//! Two runs that say the same differ in ids, in spend, and in how long commands took; none of it is a
//! divergence. All else is, also what a command printed: the first difference is where to look.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::model::replay::{Divergence, Exchange};
use crate::model::{Item, ToolSpec};
use crate::secret::Redactor;

/// Longest part of a value that a divergence shows.
const SHOWN_CHARS: usize = 200;

/// Characters before the first difference that are shown with it.
const CHARS_BEFORE: usize = 40;

/// A span of time as test runners and shells print it, e.g. `0.02s`, `in 3 ms`, `1m2.5s`.
static SPAN: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"\b(?:\d+(?:\.\d+)? ?(?:ns|µs|us|ms|s|sec|secs|seconds|m|min)\b ?)+").ok());

/// Returns the first difference between what was recorded and what is asked. The fingerprint comes last: what
/// it covers is the server's, and where only that changed the conversation says more.
pub(super) fn divergence(
    number: usize,
    exchange: &Exchange,
    recorded: &[Item],
    fixed: &str,
    now: &[Item],
    redactor: &Redactor,
) -> Option<Divergence> {
    let found = |what: String, recorded: String, now: String| {
        Some(Divergence {
            exchange: number,
            what,
            recorded,
            now,
        })
    };
    for (index, (was, is)) in recorded.iter().zip(now).enumerate() {
        let (was, is) = (comparable(was, redactor), comparable(is, redactor));
        if was != is {
            let (was, is) = around_difference(&was, &is);
            return found(format!("item {}", index + 1), was, is);
        }
    }
    if recorded.len() != now.len() {
        return found(
            "number of items".into(),
            recorded.len().to_string(),
            now.len().to_string(),
        );
    }
    if exchange.fixed != fixed {
        return found(
            "system prompt or tools".into(),
            exchange.fixed.clone(),
            fixed.to_owned(),
        );
    }
    None
}

/// Returns an item as text without what differs between two runs that say the same.
fn comparable(item: &Item, redactor: &Redactor) -> String {
    let mut value = serde_json::to_value(item).unwrap_or_default();
    strip(&mut value, redactor);
    value.to_string()
}

fn strip(value: &mut Value, redactor: &Redactor) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !matches!(name.as_str(), "id" | "call_id" | "raw" | "usage"));
            fields.values_mut().for_each(|field| strip(field, redactor));
        }
        Value::Array(values) => values.iter_mut().for_each(|value| strip(value, redactor)),
        Value::String(text) => {
            let masked = redactor.mask(text);
            let plain = SPAN
                .as_ref()
                .map_or(masked.clone(), |span| span.replace_all(&masked, "…s "));
            *text = plain.into_owned();
        }
        _ => {}
    }
}

fn around_difference(left: &str, right: &str) -> (String, String) {
    let same = left
        .chars()
        .zip(right.chars())
        .take_while(|(left, right)| left == right)
        .count();
    let from = same.saturating_sub(CHARS_BEFORE);
    let shown = |text: &str| text.chars().skip(from).take(SHOWN_CHARS).collect();
    (shown(left), shown(right))
}

/// Returns a fingerprint of what is the same in every request of a Task.
pub(super) fn fixed_fingerprint(system: &str, tools: &[ToolSpec]) -> String {
    let mut hash = Sha256::new();
    hash.update(system);
    for tool in tools {
        for part in [tool.name, tool.description, tool.schema] {
            hash.update([0]);
            hash.update(part);
        }
    }
    hash.finalize()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(text: &str) -> Item {
        Item::User { text: text.into() }
    }

    #[test]
    fn spans_of_time_are_no_difference_and_other_numbers_are() {
        let redactor = Redactor::default();
        let same = |left: &str, right: &str| comparable(&user(left), &redactor) == comparable(&user(right), &redactor);
        for (left, right) in [
            ("ok. finished in 0.00s", "ok. finished in 1.25s"),
            ("ok  \tproject\t0.004s", "ok  \tproject\t12.104s"),
            ("3 passed in 0.02 seconds", "3 passed in 0.4 seconds"),
            ("exit 0 after 31 ms", "exit 0 after 4 ms"),
            ("took 1m 2.5s", "took 2m 1s"),
        ] {
            assert!(same(left, right), "{left}");
        }
        for (left, right) in [
            ("3 passed", "4 passed"),
            ("exit 1", "exit 0"),
            ("v1.2", "v1.3"),
            ("3 stones", "4 stones"),
        ] {
            assert!(!same(left, right), "{left}");
        }
    }
}
