//! A conversation as short text, made without a model: for a summary when the conversation itself no
//! longer fits, and in place of a summary when no model can write one.

use crate::model::Item;
use crate::task::text_cut::{head, head_and_tail};

const USER_CHARS: usize = 2000;
const ANSWER_CHARS: usize = 1000;
const ARGUMENT_CHARS: usize = 300;
const RESULT_CHARS: usize = 300;

/// Renders items, one after the other, and cuts the whole in the middle.
pub(super) fn digest(items: &[Item], max_chars: usize) -> String {
    let parts: Vec<String> = items.iter().map(render).collect();
    head_and_tail(&parts.join("\n"), max_chars)
}

fn render(item: &Item) -> String {
    match item {
        Item::User { text } => format!("USER: {}", head(text, USER_CHARS)),
        Item::Assistant(answer) => {
            let mut text = format!("YOU: {}", head(&answer.text, ANSWER_CHARS));
            for call in &answer.tool_calls {
                text.push_str(&format!(
                    "\nCALL {}: {}",
                    call.name,
                    head(&call.arguments, ARGUMENT_CHARS)
                ));
            }
            text
        }
        Item::ToolResults { results } => {
            let shown = results.iter().map(|result| {
                let kind = if result.is_error { "ERROR" } else { "RESULT" };
                format!("{kind}: {}", head_and_tail(&result.content, RESULT_CHARS))
            });
            shown.collect::<Vec<_>>().join("\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ToolResult;

    #[test]
    fn each_item_is_cut_and_then_the_whole() {
        let result = ToolResult {
            call_id: "1".into(),
            content: "y".repeat(1000),
            is_error: true,
        };
        let items = [
            Item::User { text: "do it".into() },
            Item::ToolResults { results: vec![result] },
        ];
        let text = digest(&items, 10_000);
        assert!(text.starts_with("USER: do it\nERROR: yyy"), "{text}");
        assert!(text.contains("700 characters left out"), "{text}");
        assert!(digest(&items, 100).chars().count() < 150);
    }
}
