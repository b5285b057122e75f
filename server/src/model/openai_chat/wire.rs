//! The request of Chat Completions.
//!
//! Every message in the wire form begins with a comma, because the system prompt is the first
//! message and belongs to the head. Texts of users that follow each other become one message: the
//! templates of many open models refuse two in a row.

use crate::model::conversation::{Listener, Piece, pieces, schema_json, write_field, write_json};
use crate::model::openai_chat::{ChatOptions, MaxTokensField, PROTOCOL, SystemRole, UsageRequest};
use crate::model::transcript::{Encoded, Encoder, Tail, Wire};
use crate::model::{Item, ToolSpec};

/// Writes conversations for one model of one provider.
pub(super) struct ChatEncoder<'a> {
    key: String,
    full_model: &'a str,
    model: &'a str,
    options: &'a ChatOptions,
}

impl<'a> ChatEncoder<'a> {
    pub(super) fn new(full_model: &'a str, model: &'a str, options: &'a ChatOptions) -> Self {
        Self {
            key: format!("{PROTOCOL} {full_model}"),
            full_model,
            model,
            options,
        }
    }
}

impl Encoder for ChatEncoder<'_> {
    fn key(&self) -> &str {
        &self.key
    }

    fn head(&self, system: &str, tools: &[ToolSpec], out: &mut Vec<u8>) {
        out.push(b'{');
        write_field(out, "model", self.model);
        for (name, value) in &self.options.extra_body {
            write_field(out, name, value);
        }
        if !tools.is_empty() {
            out.extend_from_slice(b",\"tools\":[");
            for (index, tool) in tools.iter().enumerate() {
                out.extend_from_slice(if index == 0 { b"" } else { b"," });
                out.extend_from_slice(b"{\"type\":\"function\",\"function\":{");
                write_field(out, "name", tool.name);
                write_field(out, "description", tool.description);
                match schema_json(tool.schema) {
                    Some(schema) => write_field(out, "parameters", schema),
                    None => write_field(out, "parameters", &serde_json::json!({ "type": "object" })),
                }
                out.extend_from_slice(b"}}");
            }
            out.push(b']');
        }
        out.extend_from_slice(b",\"messages\":[");
        if !system.trim().is_empty() {
            out.extend_from_slice(match self.options.system_role {
                SystemRole::System => b"{\"role\":\"system\"",
                SystemRole::Developer => b"{\"role\":\"developer\"",
            });
            write_field(out, "content", system);
            out.push(b'}');
        }
    }

    fn item(&self, before: &[Item], item: &Item, wire: &mut Wire) {
        let listener = Listener {
            protocol: PROTOCOL,
            model: self.full_model,
        };
        for piece in pieces(listener, before, item) {
            match piece {
                Piece::User(text) => write_user(wire, &text),
                Piece::Results(results) => {
                    for result in results {
                        begin_message(wire);
                        wire.bytes.extend_from_slice(b"{\"role\":\"tool\"");
                        write_field(&mut wire.bytes, "tool_call_id", &result.id);
                        write_field(&mut wire.bytes, "content", result.content);
                        wire.bytes.push(b'}');
                    }
                }
                Piece::Own(json) => {
                    begin_message(wire);
                    wire.bytes.extend_from_slice(json.as_bytes());
                }
                Piece::Told { text, calls } => {
                    begin_message(wire);
                    wire.bytes.extend_from_slice(b"{\"role\":\"assistant\"");
                    write_field(&mut wire.bytes, "content", &Some(text).filter(|text| !text.is_empty()));
                    if !calls.is_empty() {
                        let calls = calls.iter().map(|call| {
                            let function = serde_json::json!({ "name": call.name, "arguments": call.arguments });
                            serde_json::json!({ "id": call.id, "type": "function", "function": function })
                        });
                        write_field(&mut wire.bytes, "tool_calls", &calls.collect::<Vec<_>>());
                    }
                    wire.bytes.push(b'}');
                }
            }
        }
    }
}

/// Closes a user's message that is open and begins another message.
fn begin_message(wire: &mut Wire) {
    if wire.tail == Tail::User {
        wire.bytes.extend_from_slice(b"\"}");
    }
    wire.bytes.push(b',');
    wire.tail = Tail::Closed;
}

/// Adds a text to the user's message that is open, or opens one; its content lacks the closing quote.
fn write_user(wire: &mut Wire, text: &str) {
    let opening: &[u8] = if wire.tail == Tail::User {
        b"\\n\\n"
    } else {
        begin_message(wire);
        b"{\"role\":\"user\",\"content\":\""
    };
    wire.bytes.extend_from_slice(opening);
    let mut quoted = Vec::with_capacity(text.len() + 2);
    write_json(&mut quoted, text);
    wire.bytes
        .extend_from_slice(quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default());
    wire.tail = Tail::User;
}

/// Puts a request together.
pub(super) fn body(encoded: &Encoded<'_>, options: &ChatOptions, max_tokens: Option<u32>) -> Vec<u8> {
    let mut body = Vec::with_capacity(encoded.head.len() + encoded.bytes.len() + 256);
    body.extend_from_slice(encoded.head);
    let has_system = !encoded.head.ends_with(b"[");
    let messages = if has_system {
        encoded.bytes
    } else {
        encoded.bytes.get(1..).unwrap_or_default()
    };
    body.extend_from_slice(messages);
    if encoded.tail == Tail::User {
        body.extend_from_slice(b"\"}");
    }
    body.push(b']');
    if let Some(max_tokens) = max_tokens {
        let field = match options.max_tokens_field {
            MaxTokensField::MaxTokens => "max_tokens",
            MaxTokensField::MaxCompletionTokens => "max_completion_tokens",
        };
        write_field(&mut body, field, &max_tokens);
    }
    write_field(&mut body, "stream", &true);
    if options.usage == UsageRequest::Include {
        write_field(
            &mut body,
            "stream_options",
            &serde_json::json!({ "include_usage": true }),
        );
    }
    body.push(b'}');
    body
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::transcript::Transcript;
    use crate::model::{Answer, StopReason, TokenUsage, ToolCall, ToolResult};

    fn request(items: Vec<Item>, system: &str, options: &ChatOptions, max_tokens: Option<u32>) -> Value {
        let tool = ToolSpec {
            name: "bash",
            description: "Runs a command.",
            schema: r#"{"type":"object"}"#,
        };
        let mut transcript = Transcript::new(items);
        let encoder = ChatEncoder::new("p/m", "m", options);
        let encoded = transcript.encode(&encoder, system, &[tool]);
        serde_json::from_slice(&body(&encoded, options, max_tokens)).unwrap()
    }

    fn user(text: &str) -> Item {
        Item::User { text: text.into() }
    }

    #[test]
    fn a_request_is_what_the_protocol_wants() {
        let answer = Item::Assistant(Answer {
            text: String::new(),
            tool_calls: vec![ToolCall {
                id: "0".into(),
                name: "bash".into(),
                arguments: "{broken".into(),
            }],
            stop: StopReason::ToolUse,
            usage: TokenUsage::default(),
            model: "other/m".into(),
            raw: None,
        });
        let results = Item::ToolResults {
            results: vec![ToolResult {
                call_id: "0".into(),
                content: "no".into(),
                is_error: true,
            }],
        };
        let items = vec![user("one \"quoted\""), user("two"), answer, results, user("go on")];
        let request = request(items, "be brief", &ChatOptions::default(), None);
        assert_eq!(
            request,
            json!({
                "model": "m",
                "stream": true,
                "stream_options": { "include_usage": true },
                "tools": [{ "type": "function", "function":
                    { "name": "bash", "description": "Runs a command.", "parameters": { "type": "object" } } }],
                "messages": [
                    { "role": "system", "content": "be brief" },
                    { "role": "user", "content": "one \"quoted\"\n\ntwo" },
                    { "role": "assistant", "content": null, "tool_calls": [{ "id": "call_2_0", "type": "function",
                        "function": { "name": "bash", "arguments": "{\"malformed_arguments\":\"{broken\"}" } }] },
                    { "role": "tool", "tool_call_id": "call_2_0", "content": "no" },
                    { "role": "user", "content": "go on" },
                ],
            })
        );
    }

    #[test]
    fn settings_change_what_servers_disagree_on() {
        let options = ChatOptions {
            max_tokens_field: MaxTokensField::MaxCompletionTokens,
            system_role: SystemRole::Developer,
            usage: UsageRequest::Omit,
            extra_body: serde_json::Map::from_iter([("reasoning_effort".to_owned(), json!("low"))]),
            ..ChatOptions::default()
        };
        let set = request(vec![user("x")], "s", &options, Some(7));
        assert_eq!(set["max_completion_tokens"], 7);
        assert_eq!(set["messages"][0]["role"], "developer");
        assert_eq!(set["reasoning_effort"], "low");
        assert_eq!(set.get("stream_options"), None);
        let plain = request(vec![user("x")], " ", &ChatOptions::default(), Some(7));
        assert_eq!(plain["max_tokens"], 7);
        assert_eq!(plain["messages"], json!([{ "role": "user", "content": "x" }]));
    }
}
