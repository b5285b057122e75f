//! The request of Responses.

use std::collections::HashSet;

use serde::Deserialize;

use crate::model::conversation::{Listener, Piece, pieces, schema_json, write_field};
use crate::model::openai_responses::{PROTOCOL, ResponsesOptions};
use crate::model::transcript::{Encoded, Encoder, Tail, Wire};
use crate::model::{Item, ToolSpec};

/// Writes conversations for one model of one provider.
pub(super) struct ResponsesEncoder<'a> {
    key: String,
    full_model: &'a str,
    model: &'a str,
    options: &'a ResponsesOptions,
}

impl<'a> ResponsesEncoder<'a> {
    pub(super) fn new(full_model: &'a str, model: &'a str, options: &'a ResponsesOptions) -> Self {
        Self {
            key: format!("{PROTOCOL} {full_model}"),
            full_model,
            model,
            options,
        }
    }
}

impl Encoder for ResponsesEncoder<'_> {
    fn key(&self) -> &str {
        &self.key
    }

    fn head(&self, system: &str, tools: &[ToolSpec], out: &mut Vec<u8>) {
        out.push(b'{');
        write_field(out, "model", self.model);
        write_field(out, "store", &false);
        if self.options.asks_for_encrypted_reasoning(self.model) {
            write_field(out, "include", &["reasoning.encrypted_content"]);
        }
        for (name, value) in &self.options.extra_body {
            write_field(out, name, value);
        }
        if !tools.is_empty() {
            out.extend_from_slice(b",\"tools\":[");
            for (index, tool) in tools.iter().enumerate() {
                out.extend_from_slice(if index == 0 { b"" } else { b"," });
                out.extend_from_slice(b"{\"type\":\"function\"");
                write_field(out, "name", tool.name);
                write_field(out, "description", tool.description);
                match schema_json(tool.schema) {
                    Some(schema) => write_field(out, "parameters", schema),
                    None => write_field(out, "parameters", &serde_json::json!({ "type": "object" })),
                }
                // Strict schemas may have no optional fields; ours do.
                write_field(out, "strict", &false);
                out.push(b'}');
            }
            out.push(b']');
        }
        if !system.trim().is_empty() {
            write_field(out, "instructions", system);
        }
        out.extend_from_slice(b",\"input\":[");
    }

    fn item(&self, before: &[Item], item: &Item, wire: &mut Wire) {
        let listener = Listener {
            protocol: PROTOCOL,
            model: self.full_model,
        };
        for piece in pieces(listener, before, item) {
            match piece {
                Piece::User(text) => {
                    if wire.tail == Tail::User {
                        wire.bytes.push(b',');
                    } else {
                        begin_item(wire);
                        wire.bytes
                            .extend_from_slice(b"{\"type\":\"message\",\"role\":\"user\",\"content\":[");
                    }
                    wire.bytes.extend_from_slice(b"{\"type\":\"input_text\"");
                    write_field(&mut wire.bytes, "text", &text);
                    wire.bytes.push(b'}');
                    wire.tail = Tail::User;
                }
                Piece::Results(results) => {
                    let custom = custom_calls(before.last());
                    for result in results {
                        begin_item(wire);
                        wire.bytes.extend_from_slice(if custom.contains(result.id.as_ref()) {
                            b"{\"type\":\"custom_tool_call_output\"".as_slice()
                        } else {
                            b"{\"type\":\"function_call_output\""
                        });
                        write_field(&mut wire.bytes, "call_id", &result.id);
                        write_field(&mut wire.bytes, "output", result.content);
                        wire.bytes.push(b'}');
                    }
                }
                Piece::Own(json) => {
                    let items = json.trim().trim_start_matches('[').trim_end_matches(']').trim();
                    if !items.is_empty() {
                        begin_item(wire);
                        wire.bytes.extend_from_slice(items.as_bytes());
                    }
                }
                Piece::Told { text, calls } => {
                    if !text.is_empty() {
                        begin_item(wire);
                        wire.bytes.extend_from_slice(
                            b"{\"type\":\"message\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\"",
                        );
                        write_field(&mut wire.bytes, "text", text);
                        wire.bytes.extend_from_slice(b"}]}");
                    }
                    for call in calls {
                        begin_item(wire);
                        wire.bytes.extend_from_slice(b"{\"type\":\"function_call\"");
                        write_field(&mut wire.bytes, "call_id", &call.id);
                        write_field(&mut wire.bytes, "name", call.name);
                        write_field(&mut wire.bytes, "arguments", &call.arguments);
                        wire.bytes.push(b'}');
                    }
                }
            }
        }
    }
}

/// Closes a user's message that is open and begins another item.
fn begin_item(wire: &mut Wire) {
    let opening: &[u8] = match wire.tail {
        Tail::Empty => b"",
        Tail::User => b"]},",
        Tail::Assistant | Tail::Closed => b",",
    };
    wire.bytes.extend_from_slice(opening);
    wire.tail = Tail::Closed;
}

/// Returns the ids of an answer's calls whose arguments are free text; their results have a type of their own.
fn custom_calls(item: Option<&Item>) -> HashSet<String> {
    #[derive(Deserialize)]
    struct Call {
        r#type: String,
        call_id: Option<String>,
    }
    let raw = match item {
        Some(Item::Assistant(answer)) => answer.raw.as_ref(),
        _ => None,
    };
    let json = raw.filter(|raw| raw.protocol == PROTOCOL).map(|raw| raw.json.get());
    let Some(json) = json.filter(|json| json.contains("custom_tool_call")) else {
        return HashSet::new();
    };
    let calls: Vec<Call> = serde_json::from_str(json).unwrap_or_default();
    let custom = calls.into_iter().filter(|call| call.r#type == "custom_tool_call");
    custom.filter_map(|call| call.call_id).collect()
}

/// Puts a request together.
pub(super) fn body(encoded: &Encoded<'_>, max_tokens: Option<u32>) -> Vec<u8> {
    let mut body = Vec::with_capacity(encoded.head.len() + encoded.bytes.len() + 256);
    body.extend_from_slice(encoded.head);
    body.extend_from_slice(encoded.bytes);
    if encoded.tail == Tail::User {
        body.extend_from_slice(b"]}");
    }
    body.push(b']');
    if let Some(max_tokens) = max_tokens {
        write_field(&mut body, "max_output_tokens", &max_tokens);
    }
    write_field(&mut body, "stream", &true);
    body.push(b'}');
    body
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;
    use serde_json::{Value, json};

    use super::*;
    use crate::model::transcript::Transcript;
    use crate::model::{Answer, RawAnswer, StopReason, TokenUsage, ToolCall, ToolResult};

    fn request(items: Vec<Item>, model: &str, max_tokens: Option<u32>) -> Value {
        let tool = ToolSpec {
            name: "bash",
            description: "Runs a command.",
            schema: r#"{"type":"object"}"#,
        };
        let options = ResponsesOptions::default();
        let full_model = format!("p/{model}");
        let encoder = ResponsesEncoder::new(&full_model, model, &options);
        let mut transcript = Transcript::new(items);
        let encoded = transcript.encode(&encoder, "be brief", &[tool]);
        serde_json::from_slice(&body(&encoded, max_tokens)).unwrap()
    }

    fn user(text: &str) -> Item {
        Item::User { text: text.into() }
    }

    fn answer(model: &str, ids: &[&str], raw: Option<Value>) -> Item {
        Item::Assistant(Answer {
            text: "look".into(),
            tool_calls: ids
                .iter()
                .map(|id| ToolCall {
                    id: (*id).into(),
                    name: "bash".into(),
                    arguments: "{}".into(),
                })
                .collect(),
            stop: StopReason::ToolUse,
            usage: TokenUsage::default(),
            model: model.into(),
            raw: raw.map(|raw| RawAnswer {
                protocol: PROTOCOL.into(),
                json: RawValue::from_string(raw.to_string()).unwrap(),
            }),
        })
    }

    fn results(ids: &[&str]) -> Item {
        let results = ids.iter().map(|id| ToolResult {
            call_id: (*id).into(),
            content: format!("result of {id}"),
            is_error: false,
        });
        Item::ToolResults {
            results: results.collect(),
        }
    }

    #[test]
    fn a_request_is_what_the_protocol_wants() {
        let raw = json!([
            { "type": "reasoning", "id": "rs_1", "encrypted_content": "x", "summary": [] },
            { "type": "function_call", "call_id": "a", "name": "bash", "arguments": "{}" },
            { "type": "custom_tool_call", "call_id": "b", "name": "free", "input": "text" },
        ]);
        let items = vec![
            user("one"),
            user("two"),
            answer("p/gpt-5", &["a", "b"], Some(raw.clone())),
            results(&["a", "b"]),
            answer("other/m", &["0"], None),
            results(&["0"]),
            user("go on"),
        ];
        let text = |text: &str| json!({ "type": "input_text", "text": text });
        assert_eq!(
            request(items, "gpt-5", Some(9)),
            json!({
                "model": "gpt-5",
                "store": false,
                "include": ["reasoning.encrypted_content"],
                "stream": true,
                "max_output_tokens": 9,
                "instructions": "be brief",
                "tools": [{ "type": "function", "name": "bash", "description": "Runs a command.",
                    "parameters": { "type": "object" }, "strict": false }],
                "input": [
                    { "type": "message", "role": "user", "content": [text("one"), text("two")] },
                    raw[0], raw[1], raw[2],
                    { "type": "function_call_output", "call_id": "a", "output": "result of a" },
                    { "type": "custom_tool_call_output", "call_id": "b", "output": "result of b" },
                    { "type": "message", "role": "assistant", "content": [{ "type": "output_text", "text": "look" }] },
                    { "type": "function_call", "call_id": "call_4_0", "name": "bash", "arguments": "{}" },
                    { "type": "function_call_output", "call_id": "call_4_0", "output": "result of 0" },
                    { "type": "message", "role": "user", "content": [text("go on")] },
                ],
            })
        );
    }

    #[test]
    fn models_that_do_not_reason_are_not_asked_for_reasoning() {
        for (model, asked) in [
            ("gpt-4.1", false),
            ("gpt-4o-mini", false),
            ("gpt-5.2", true),
            ("o3", true),
        ] {
            let request = request(vec![user("x")], model, None);
            assert_eq!(request.get("include").is_some(), asked, "{model}");
            assert_eq!(request.get("max_output_tokens"), None);
        }
    }
}
