//! How full the model's window is.
//!
//! The last answer's own count is the truth; only what was added since is estimated, at three bytes a
//! token, which is on the safe side for code.

use crate::model::Item;

const BYTES_PER_TOKEN: usize = 3;

/// Returns the estimated tokens of the next request.
pub(super) fn tokens(system: &str, items: &[Item]) -> u64 {
    let mut added_bytes = 0;
    for item in items.iter().rev() {
        if let Item::Assistant(answer) = item {
            let usage = &answer.usage;
            let counted = usage.input_uncached + usage.cache_read + usage.cache_write + usage.output;
            if counted > 0 {
                return counted + as_tokens(added_bytes);
            }
        }
        added_bytes += item_bytes(item);
    }
    as_tokens(added_bytes + system.len())
}

/// Returns the estimated tokens of these items alone, for a conversation that no model has seen.
pub(super) fn unseen_tokens(system: &str, items: &[Item]) -> u64 {
    as_tokens(system.len() + items.iter().map(item_bytes).sum::<usize>())
}

fn as_tokens(bytes: usize) -> u64 {
    (bytes / BYTES_PER_TOKEN) as u64
}

fn item_bytes(item: &Item) -> usize {
    match item {
        Item::User { text } => text.len(),
        Item::Assistant(answer) => {
            let calls: usize = answer
                .tool_calls
                .iter()
                .map(|call| call.name.len() + call.arguments.len())
                .sum();
            let raw = answer.raw.as_ref().map_or(0, |raw| raw.json.get().len());
            raw.max(answer.text.len() + calls)
        }
        Item::ToolResults { results } => results.iter().map(|result| result.content.len()).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Answer, StopReason, TokenUsage};

    #[test]
    fn only_what_came_after_the_last_answer_is_estimated() {
        let user = |text: &str| Item::User { text: text.into() };
        assert_eq!(tokens("abc", &[user("abcdef")]), 3);
        let usage = TokenUsage {
            input_uncached: 1000,
            cache_read: 200,
            cache_write: 30,
            output: 4,
            reasoning: 1,
        };
        let answer = Answer {
            text: String::new(),
            tool_calls: vec![],
            stop: StopReason::EndTurn,
            usage,
            model: String::new(),
            raw: None,
        };
        let items = [user(&"x".repeat(9000)), Item::Assistant(answer), user("abcdef")];
        assert_eq!(tokens("abc", &items), 1236);
    }
}
