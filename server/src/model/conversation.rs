//! What a conversation is on the wire, whichever the protocol.
//!
//! It owns the rules that all three protocols share: every call has exactly one result and every
//! result its call, an answer goes back in its own form only to the model that gave it, and nothing
//! empty is sent. Answers of other models are told anew from text and calls, with ids of our own,
//! because theirs may repeat or hold characters that the receiver refuses.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::model::{Answer, Item, ToolCall, ToolResult};

/// Who is spoken to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listener<'a> {
    /// Protocol, as in `RawAnswer::protocol`.
    pub(crate) protocol: &'static str,
    /// `{provider}/{model}`.
    pub(crate) model: &'a str,
}

/// A part of a conversation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// Text for the model.
    User(Cow<'a, str>),
    /// The listener's own answer, unchanged.
    Own(&'a str),
    /// An answer told anew.
    Told { text: &'a str, calls: Vec<ToldCall<'a>> },
    /// A result for every call of the answer before it.
    Results(Vec<PairedResult<'a>>),
}

/// A call told anew.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ToldCall<'a> {
    pub(crate) id: String,
    pub(crate) name: &'a str,
    pub(crate) arguments: Cow<'a, str>,
}

/// A result with the id by which the listener knows its call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PairedResult<'a> {
    pub(crate) id: Cow<'a, str>,
    pub(crate) content: &'a str,
    pub(crate) is_error: bool,
}

const NO_RESULT: &str = "The call was interrupted; there is no result.";
const NO_OUTPUT: &str = "(no output)";
const NO_TEXT: &str = "(no text)";

/// Returns what is sent for an item that follows `before`.
pub(crate) fn pieces<'a>(listener: Listener<'_>, before: &'a [Item], item: &'a Item) -> Vec<Piece<'a>> {
    let open = match before.split_last() {
        Some((Item::Assistant(answer), earlier)) if !answer.tool_calls.is_empty() => Some((answer, earlier.len())),
        _ => None,
    };
    let mut pieces = Vec::new();
    let results: &[ToolResult] = match item {
        Item::ToolResults { results } => results,
        _ => &[],
    };
    let mut used = vec![false; results.len()];
    if let Some((answer, index)) = open {
        let own = own_form(listener, answer).is_some();
        let paired = answer.tool_calls.iter().enumerate().map(|(position, call)| {
            let found = find_result(results, &used, position, call);
            let result = found.and_then(|at| {
                if let Some(used) = used.get_mut(at) {
                    *used = true;
                }
                results.get(at)
            });
            PairedResult {
                id: if own {
                    Cow::Borrowed(call.id.as_str())
                } else {
                    Cow::Owned(told_id(index, position))
                },
                content: result.map_or(NO_RESULT, |result| or_else(&result.content, NO_OUTPUT)),
                is_error: result.is_none_or(|result| result.is_error),
            }
        });
        pieces.push(Piece::Results(paired.collect()));
    }
    for (result, used) in results.iter().zip(used) {
        if !used {
            pieces.push(Piece::User(Cow::Owned(format!(
                "Result of an earlier call:\n{}",
                result.content
            ))));
        }
    }
    match item {
        Item::User { text } => pieces.push(Piece::User(Cow::Borrowed(or_else(text, NO_TEXT)))),
        Item::Assistant(answer) => pieces.extend(told_or_own(listener, before.len(), answer)),
        Item::ToolResults { .. } => {}
    }
    pieces
}

fn told_or_own<'a>(listener: Listener<'_>, index: usize, answer: &'a Answer) -> Option<Piece<'a>> {
    if let Some(json) = own_form(listener, answer) {
        return Some(Piece::Own(json));
    }
    let calls = answer.tool_calls.iter().enumerate().map(|(position, call)| ToldCall {
        id: told_id(index, position),
        name: &call.name,
        arguments: object_text(&call.arguments),
    });
    let calls: Vec<_> = calls.collect();
    let text = if answer.text.trim().is_empty() {
        ""
    } else {
        &answer.text
    };
    (!text.is_empty() || !calls.is_empty()).then_some(Piece::Told { text, calls })
}

fn own_form<'a>(listener: Listener<'_>, answer: &'a Answer) -> Option<&'a str> {
    let raw = answer.raw.as_ref()?;
    (raw.protocol == listener.protocol && answer.model == listener.model).then(|| raw.json.get())
}

/// Results stand in the order of the calls; ids decide only where the order does not hold.
fn find_result(results: &[ToolResult], used: &[bool], position: usize, call: &ToolCall) -> Option<usize> {
    let fits =
        |at: usize| used.get(at) == Some(&false) && results.get(at).is_some_and(|result| result.call_id == call.id);
    if fits(position) {
        return Some(position);
    }
    (0..results.len()).find(|at| fits(*at))
}

fn told_id(item: usize, position: usize) -> String {
    format!("call_{item}_{position}")
}

fn or_else<'a>(text: &'a str, instead: &'static str) -> &'a str {
    if text.trim().is_empty() { instead } else { text }
}

/// Returns arguments as the text of a JSON object, whatever the model wrote: servers parse what is sent back.
pub(crate) fn object_text(arguments: &str) -> Cow<'_, str> {
    let trimmed = arguments.trim();
    if trimmed.is_empty() {
        return Cow::Borrowed("{}");
    }
    if is_object(trimmed) {
        return Cow::Borrowed(trimmed);
    }
    Cow::Owned(serde_json::json!({ "malformed_arguments": arguments }).to_string())
}

/// Returns whether a text is one whole JSON object.
pub(crate) fn is_object(text: &str) -> bool {
    text.starts_with('{') && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// Writes a value as JSON.
pub(crate) fn write_json(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    #[expect(
        clippy::expect_used,
        reason = "strings, values and raw JSON always serialize, and a Vec takes every byte"
    )]
    serde_json::to_writer(out, value).expect("JSON of our own");
}

/// Writes a field of an object, with a comma before it unless the object is still empty.
pub(crate) fn write_field(out: &mut Vec<u8>, name: &str, value: &(impl Serialize + ?Sized)) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    write_json(out, name);
    out.push(b':');
    write_json(out, value);
}

/// Returns a tool's schema as JSON, its properties in their order; `None` when the text is not JSON.
pub(crate) fn schema_json(schema: &str) -> Option<&RawValue> {
    serde_json::from_str(schema).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{RawAnswer, StopReason, TokenUsage};

    const LISTENER: Listener<'static> = Listener {
        protocol: "chat",
        model: "p/m",
    };

    fn answer(model: &str, ids: &[&str]) -> Item {
        Item::Assistant(Answer {
            text: "t".into(),
            tool_calls: ids
                .iter()
                .map(|id| ToolCall {
                    id: (*id).into(),
                    name: "bash".into(),
                    arguments: "{\"a\":1}".into(),
                })
                .collect(),
            stop: StopReason::ToolUse,
            usage: TokenUsage::default(),
            model: model.into(),
            raw: Some(RawAnswer {
                protocol: "chat".into(),
                json: RawValue::from_string("{\"raw\":true}".into()).unwrap(),
            }),
        })
    }

    fn result(id: &str, content: &str) -> ToolResult {
        ToolResult {
            call_id: id.into(),
            content: content.into(),
            is_error: false,
        }
    }

    fn paired<'a>(id: &'a str, content: &'a str, is_error: bool) -> PairedResult<'a> {
        PairedResult {
            id: Cow::Borrowed(id),
            content,
            is_error,
        }
    }

    #[test]
    fn an_answer_goes_back_unchanged_only_to_the_model_that_gave_it() {
        let own = answer("p/m", &["x"]);
        assert_eq!(pieces(LISTENER, &[], &own), [Piece::Own("{\"raw\":true}")]);
        for (listener, model) in [
            (LISTENER, "p/other"),
            (
                Listener {
                    protocol: "responses",
                    ..LISTENER
                },
                "p/m",
            ),
        ] {
            let told = answer(model, &["x"]);
            let calls = vec![ToldCall {
                id: "call_0_0".into(),
                name: "bash",
                arguments: "{\"a\":1}".into(),
            }];
            assert_eq!(pieces(listener, &[], &told), [Piece::Told { text: "t", calls }]);
        }
    }

    #[test]
    fn every_call_has_one_result_and_every_result_its_call() {
        let before = [answer("p/m", &["0", "1", "2"])];
        let item = Item::ToolResults {
            results: vec![result("1", "one"), result("0", "zero"), result("9", "stray")],
        };
        assert_eq!(
            pieces(LISTENER, &before, &item),
            [
                Piece::Results(vec![
                    paired("0", "zero", false),
                    paired("1", "one", false),
                    paired("2", NO_RESULT, true),
                ]),
                Piece::User("Result of an earlier call:\nstray".into()),
            ]
        );
    }

    #[test]
    fn results_of_an_answer_told_anew_bear_the_new_ids() {
        let before = [Item::User { text: "u".into() }, answer("other/m", &["0", "0"])];
        let item = Item::ToolResults {
            results: vec![result("0", "first"), result("0", " ")],
        };
        assert_eq!(
            pieces(LISTENER, &before, &item),
            [Piece::Results(vec![
                paired("call_1_0", "first", false),
                paired("call_1_1", NO_OUTPUT, false),
            ])]
        );
    }

    #[test]
    fn a_message_after_unanswered_calls_closes_them_first() {
        let before = [answer("p/m", &["x"])];
        let item = Item::User { text: "stop".into() };
        assert_eq!(
            pieces(LISTENER, &before, &item),
            [
                Piece::Results(vec![paired("x", NO_RESULT, true)]),
                Piece::User("stop".into())
            ]
        );
    }

    #[test]
    fn arguments_sent_back_are_always_an_object() {
        for (written, sent) in [
            ("", "{}"),
            (" {\"a\":1e999} ", "{\"a\":1e999}"),
            ("{\"a\":", r#"{"malformed_arguments":"{\"a\":"}"#),
            ("[]", r#"{"malformed_arguments":"[]"}"#),
            ("{}{}", r#"{"malformed_arguments":"{}{}"}"#),
        ] {
            assert_eq!(object_text(written), sent, "{written}");
        }
    }
}
