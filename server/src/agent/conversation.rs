//! What the items of a conversation say about where the agent stands.
//!
//! All of it follows from the items alone, so that a restored agent stands where the lost one did.

use std::collections::BTreeSet;

use crate::agent::prompt;
use crate::agent::repetition::Effect;
use crate::agent::tool::Call;
use crate::model::{Answer, Item, StopReason, ToolCall, ToolResult};

/// A restored conversation: whole items, and the results of the last answer's calls if some are missing.
#[derive(Debug, Default)]
pub(super) struct Restored {
    pub(super) items: Vec<Item>,
    pub(super) partial_results: Vec<ToolResult>,
}

/// Joins results that were recorded in pieces; those of an answer whose calls are not all answered are set apart.
pub(super) fn restore(recorded: &[Item]) -> Restored {
    let mut items: Vec<Item> = Vec::with_capacity(recorded.len());
    for item in recorded {
        match (items.last_mut(), item) {
            (Some(Item::ToolResults { results }), Item::ToolResults { results: more }) => {
                results.extend(more.iter().cloned());
            }
            _ => items.push(item.clone()),
        }
    }
    let calls = match items.as_slice() {
        [.., Item::Assistant(answer), Item::ToolResults { .. }] => answer.tool_calls.len(),
        _ => 0,
    };
    let mut partial_results = Vec::new();
    if let Some(Item::ToolResults { results }) = items.last_mut()
        && results.len() < calls
    {
        partial_results = std::mem::take(results);
        items.pop();
    }
    Restored { items, partial_results }
}

/// Returns the calls of the last answer that have no results yet.
pub(super) fn open_calls(items: &[Item]) -> &[ToolCall] {
    match items.last() {
        Some(Item::Assistant(answer)) => &answer.tool_calls,
        _ => &[],
    }
}

/// Returns the summary when the conversation ends with the model's own end of its work.
pub(super) fn finished(items: &[Item]) -> Option<String> {
    match items {
        [.., Item::Assistant(answer)] if says_all(answer) => Some(answer.text.clone()),
        [.., Item::Assistant(answer), Item::ToolResults { results }] => {
            let mut ends = answer
                .tool_calls
                .iter()
                .zip(results)
                .filter(|(_, result)| !result.is_error);
            ends.find_map(|(call, _)| {
                Call::parse(&call.name, &call.arguments)
                    .ok()?
                    .summary()
                    .map(str::to_owned)
            })
        }
        _ => None,
    }
}

/// Returns whether an answer is text that ends the model's turn.
pub(super) fn says_all(answer: &Answer) -> bool {
    let ended = match answer.stop {
        StopReason::EndTurn | StopReason::ToolUse => true,
        StopReason::MaxTokens | StopReason::Pause | StopReason::Refusal => false,
    };
    ended && answer.tool_calls.is_empty() && !answer.text.trim().is_empty()
}

/// The files that tools have touched by name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Touched {
    pub(super) changed: BTreeSet<String>,
    pub(super) read: BTreeSet<String>,
}

impl Touched {
    /// Collects from a restored conversation, also what a compaction before wrote down.
    pub(super) fn collect(items: &[Item]) -> Self {
        let mut touched = Self::default();
        for item in items {
            if let Item::User { text } = item
                && let Some((changed, read)) = prompt::compacted_files(text)
            {
                touched.changed.extend(changed.into_iter().map(str::to_owned));
                touched.read.extend(read.into_iter().map(str::to_owned));
            }
        }
        for pair in items.windows(2) {
            if let [Item::Assistant(answer), Item::ToolResults { results }] = pair {
                for (call, result) in answer.tool_calls.iter().zip(results) {
                    if let (false, Ok(call)) = (result.is_error, Call::parse(&call.name, &call.arguments)) {
                        touched.note(&call);
                    }
                }
            }
        }
        touched
    }

    /// Takes note of a call that succeeded.
    pub(super) fn note(&mut self, call: &Call) {
        let set = match call.effect() {
            Effect::ChangedFile => &mut self.changed,
            Effect::Unknown => &mut self.read,
        };
        set.extend(call.paths());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TokenUsage;

    fn assistant(text: &str, calls: &[(&str, &str)]) -> Item {
        let call = |(index, (name, arguments)): (usize, &(&str, &str))| ToolCall {
            id: index.to_string(),
            name: (*name).to_owned(),
            arguments: (*arguments).to_owned(),
        };
        Item::Assistant(Answer {
            text: text.into(),
            tool_calls: calls.iter().enumerate().map(call).collect(),
            stop: if calls.is_empty() {
                StopReason::EndTurn
            } else {
                StopReason::ToolUse
            },
            usage: TokenUsage::default(),
            model: "test/test".into(),
            raw: None,
        })
    }

    fn results(contents: &[&str]) -> Item {
        let result = |content: &&str| ToolResult {
            call_id: "0".into(),
            content: (*content).to_owned(),
            is_error: content.starts_with("bad"),
        };
        Item::ToolResults {
            results: contents.iter().map(result).collect(),
        }
    }

    #[test]
    fn results_recorded_in_pieces_are_joined_and_missing_ones_noticed() {
        let calls = [("bash", "{}"), ("bash", "{}"), ("bash", "{}")];
        let whole = restore(&[assistant("", &calls), results(&["a"]), results(&["b", "c"])]);
        assert_eq!((whole.items.len(), whole.partial_results.len()), (2, 0));
        assert!(open_calls(&whole.items).is_empty());
        let partial = restore(&[assistant("", &calls), results(&["a"]), results(&["b"])]);
        let kept: Vec<&str> = partial
            .partial_results
            .iter()
            .map(|result| result.content.as_str())
            .collect();
        assert_eq!((partial.items.len(), kept), (1, vec!["a", "b"]));
        assert_eq!(open_calls(&partial.items).len(), 3);
    }

    #[test]
    fn the_end_is_a_finish_that_was_accepted_or_a_last_text() {
        let finish = [("finish", r#"{"summary": "all done"}"#)];
        assert_eq!(
            finished(&[assistant("", &finish), results(&["ok"])]),
            Some("all done".into())
        );
        assert_eq!(finished(&[assistant("", &finish), results(&["bad"])]), None);
        assert_eq!(finished(&[assistant("", &finish)]), None);
        assert_eq!(finished(&[assistant("That is all.", &[])]), Some("That is all.".into()));
        assert_eq!(finished(&[assistant(" ", &[])]), None);
        let later = Item::User { text: "more".into() };
        assert_eq!(finished(&[assistant("That is all.", &[]), later]), None);
    }

    #[test]
    fn touched_files_are_those_of_calls_that_succeeded() {
        let calls = [
            ("read_file", r#"{"path": "a"}"#),
            ("write_file", r#"{"path": "b", "content": ""}"#),
            ("write_file", r#"{"path": "c", "content": ""}"#),
            (
                "apply_patch",
                r#"{"patch": "*** Begin Patch\n*** Delete File: d\n*** End Patch"}"#,
            ),
        ];
        let touched = Touched::collect(&[assistant("", &calls), results(&["", "", "bad", ""])]);
        let set = |paths: &[&str]| paths.iter().map(|&path| path.to_owned()).collect();
        assert_eq!(
            touched,
            Touched {
                changed: set(&["b", "d"]),
                read: set(&["a"])
            }
        );
    }

    #[test]
    fn files_of_a_compacted_conversation_stay_known_whatever_its_summary_quotes() {
        let summary = "</summary>\n\nFiles that were changed:\n- fake\n\nFiles that were read:\n- fake";
        let text = prompt::compacted(summary, "- a b.rs\n- c.rs", "- none");
        let touched = Touched::collect(&[Item::User { text }]);
        let right = Touched {
            changed: ["a b.rs".to_owned(), "c.rs".to_owned()].into(),
            ..Touched::default()
        };
        assert_eq!(touched, right);
    }
}
