//! The request of the Messages API.

use crate::model::anthropic::{AnthropicOptions, PROTOCOL, PromptCache};
use crate::model::conversation::{Listener, Piece, object_text, pieces, schema_json, write_field, write_json};
use crate::model::transcript::{Encoded, Encoder, Tail, Wire};
use crate::model::{Item, ToolSpec};

/// Writes conversations for one model of one provider.
pub(super) struct MessagesEncoder<'a> {
    key: String,
    full_model: &'a str,
    model: &'a str,
    options: &'a AnthropicOptions,
}

impl<'a> MessagesEncoder<'a> {
    pub(super) fn new(full_model: &'a str, model: &'a str, options: &'a AnthropicOptions) -> Self {
        Self {
            key: format!("{PROTOCOL} {full_model}"),
            full_model,
            model,
            options,
        }
    }
}

impl Encoder for MessagesEncoder<'_> {
    fn key(&self) -> &str {
        &self.key
    }

    fn head(&self, system: &str, tools: &[ToolSpec], out: &mut Vec<u8>) {
        let marker = self.options.prompt_cache.marker().as_bytes();
        out.push(b'{');
        write_field(out, "model", self.model);
        for (name, value) in &self.options.extra_body {
            write_field(out, name, value);
        }
        if let Some(last) = tools.len().checked_sub(1) {
            out.extend_from_slice(b",\"tools\":[");
            for (index, tool) in tools.iter().enumerate() {
                out.extend_from_slice(if index == 0 { b"{" } else { b",{" });
                write_field(out, "name", tool.name);
                write_field(out, "description", tool.description);
                match schema_json(tool.schema) {
                    Some(schema) => write_field(out, "input_schema", schema),
                    None => write_field(out, "input_schema", &serde_json::json!({ "type": "object" })),
                }
                if index == last {
                    out.extend_from_slice(marker);
                }
                out.push(b'}');
            }
            out.push(b']');
        }
        if !system.trim().is_empty() {
            out.extend_from_slice(b",\"system\":[{\"type\":\"text\"");
            write_field(out, "text", system);
            out.extend_from_slice(marker);
            out.extend_from_slice(b"}]");
        }
        out.extend_from_slice(b",\"messages\":[");
    }

    fn item(&self, before: &[Item], item: &Item, wire: &mut Wire) {
        let listener = Listener {
            protocol: PROTOCOL,
            model: self.full_model,
        };
        for piece in pieces(listener, before, item) {
            match piece {
                Piece::User(text) => {
                    begin_block(wire, Tail::User);
                    wire.bytes.extend_from_slice(b"{\"type\":\"text\"");
                    write_field(&mut wire.bytes, "text", &text);
                    wire.bytes.push(b'}');
                }
                Piece::Results(results) => {
                    for result in results {
                        begin_block(wire, Tail::User);
                        wire.bytes.extend_from_slice(b"{\"type\":\"tool_result\"");
                        write_field(&mut wire.bytes, "tool_use_id", &result.id);
                        write_field(&mut wire.bytes, "content", result.content);
                        if result.is_error {
                            write_field(&mut wire.bytes, "is_error", &true);
                        }
                        wire.bytes.push(b'}');
                    }
                }
                Piece::Own(json) => {
                    let blocks = json.trim().trim_start_matches('[').trim_end_matches(']').trim();
                    if !blocks.is_empty() {
                        begin_block(wire, Tail::Assistant);
                        wire.bytes.extend_from_slice(blocks.as_bytes());
                    }
                }
                Piece::Told { text, calls } => {
                    if !text.is_empty() {
                        begin_block(wire, Tail::Assistant);
                        wire.bytes.extend_from_slice(b"{\"type\":\"text\"");
                        write_field(&mut wire.bytes, "text", text);
                        wire.bytes.push(b'}');
                    }
                    for call in calls {
                        begin_block(wire, Tail::Assistant);
                        wire.bytes.extend_from_slice(b"{\"type\":\"tool_use\"");
                        write_field(&mut wire.bytes, "id", &call.id);
                        write_field(&mut wire.bytes, "name", call.name);
                        wire.bytes.extend_from_slice(b",\"input\":");
                        wire.bytes.extend_from_slice(object_text(&call.arguments).as_bytes());
                        wire.bytes.push(b'}');
                    }
                }
            }
        }
    }
}

/// Opens a message of this role, or the next block of the one that is open.
fn begin_block(wire: &mut Wire, role: Tail) {
    let opening: &[u8] = match (wire.tail, role) {
        (tail, role) if tail == role => b",",
        (Tail::Empty, Tail::Assistant) => b"{\"role\":\"assistant\",\"content\":[",
        (Tail::Empty, _) => b"{\"role\":\"user\",\"content\":[",
        (_, Tail::Assistant) => b"]},{\"role\":\"assistant\",\"content\":[",
        (_, _) => b"]},{\"role\":\"user\",\"content\":[",
    };
    wire.bytes.extend_from_slice(opening);
    wire.tail = role;
}

/// Puts a request together.
pub(super) fn body(encoded: &Encoded<'_>, cache: PromptCache, max_tokens: u32) -> Vec<u8> {
    let mut body = Vec::with_capacity(encoded.head.len() + encoded.bytes.len() + 256);
    body.extend_from_slice(encoded.head);
    let mut written = 0;
    for end in marked_ends(encoded) {
        // The marker goes before the bracket that closes the block.
        if let Some(part) = encoded.bytes.get(written..end.saturating_sub(1)) {
            body.extend_from_slice(part);
            body.extend_from_slice(cache.marker().as_bytes());
            written = end.saturating_sub(1);
        }
    }
    body.extend_from_slice(encoded.bytes.get(written..).unwrap_or_default());
    if encoded.tail != Tail::Empty {
        body.extend_from_slice(b"]}");
    }
    body.extend_from_slice(b"],\"max_tokens\":");
    write_json(&mut body, &max_tokens);
    body.extend_from_slice(b",\"stream\":true}");
    body
}

/// Returns where the last two user messages end, in order.
fn marked_ends(encoded: &Encoded<'_>) -> Vec<usize> {
    let mut ends = Vec::with_capacity(2);
    let mut ends_message = true;
    for (item, end) in encoded.items.iter().zip(encoded.ends).rev() {
        let is_user = !matches!(item, Item::Assistant(_));
        if is_user && ends_message && ends.len() < 2 {
            ends.push(*end);
        }
        ends_message = !is_user;
    }
    ends.reverse();
    ends
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::model::transcript::Transcript;
    use crate::model::{Answer, StopReason, TokenUsage, ToolCall, ToolResult};

    const TOOLS: [ToolSpec; 2] = [
        ToolSpec {
            name: "bash",
            description: "Runs a command.",
            schema: r#"{"type":"object","properties":{"z":{"type":"string"},"a":{"type":"string"}}}"#,
        },
        ToolSpec {
            name: "finish",
            description: "Ends.",
            schema: r#"{"type":"object"}"#,
        },
    ];

    fn request(transcript: &mut Transcript, cache: PromptCache) -> Value {
        let options = AnthropicOptions {
            max_output_tokens: None,
            unknown_max_output_tokens: 1,
            known: crate::model::pricing::KnownModels::default(),
            prompt_cache: cache,
            extra_body: Map::from_iter([("temperature".to_owned(), json!(0.5))]),
        };
        let encoder = MessagesEncoder::new("a/m", "m", &options);
        let encoded = transcript.encode(&encoder, "be brief", &TOOLS);
        serde_json::from_slice(&body(&encoded, cache, 100)).unwrap()
    }

    fn user(text: &str) -> Item {
        Item::User { text: text.into() }
    }

    fn told(text: &str, calls: &[&str]) -> Item {
        Item::Assistant(Answer {
            text: text.into(),
            tool_calls: calls
                .iter()
                .map(|id| ToolCall {
                    id: (*id).into(),
                    name: "bash".into(),
                    arguments: "{\"z\":\"1\"}".into(),
                })
                .collect(),
            stop: StopReason::ToolUse,
            usage: TokenUsage::default(),
            model: "other/m".into(),
            raw: None,
        })
    }

    #[test]
    fn a_request_is_what_the_protocol_wants() {
        let mut transcript = Transcript::new(vec![
            user("one"),
            user("two"),
            told("", &["weird id!"]),
            Item::ToolResults {
                results: vec![ToolResult {
                    call_id: "weird id!".into(),
                    content: "no".into(),
                    is_error: true,
                }],
            },
            user("go on"),
        ]);
        let mark = json!({ "type": "ephemeral" });
        let request = request(&mut transcript, PromptCache::FiveMinutes);
        assert_eq!(
            request,
            json!({
                "model": "m",
                "temperature": 0.5,
                "max_tokens": 100,
                "stream": true,
                "system": [{ "type": "text", "text": "be brief", "cache_control": mark }],
                "tools": [
                    { "name": "bash", "description": "Runs a command.", "input_schema":
                        { "type": "object", "properties": { "z": { "type": "string" }, "a": { "type": "string" } } } },
                    { "name": "finish", "description": "Ends.", "input_schema": { "type": "object" }, "cache_control": mark },
                ],
                "messages": [
                    { "role": "user", "content": [
                        { "type": "text", "text": "one" },
                        { "type": "text", "text": "two", "cache_control": mark },
                    ] },
                    { "role": "assistant", "content": [
                        { "type": "tool_use", "id": "call_2_0", "name": "bash", "input": { "z": "1" } },
                    ] },
                    { "role": "user", "content": [
                        { "type": "tool_result", "tool_use_id": "call_2_0", "content": "no", "is_error": true },
                        { "type": "text", "text": "go on", "cache_control": mark },
                    ] },
                ],
            })
        );
    }

    #[test]
    fn markers_follow_the_setting() {
        let count = |cache| {
            let mut transcript =
                Transcript::new(vec![user("one"), told("a", &[]), user("b"), told("c", &[]), user("d")]);
            let text = request(&mut transcript, cache).to_string();
            (text.matches("cache_control").count(), text.matches("\"1h\"").count())
        };
        assert_eq!(count(PromptCache::Off), (0, 0));
        assert_eq!(count(PromptCache::FiveMinutes), (4, 0));
        assert_eq!(count(PromptCache::OneHour), (4, 4));
    }

    #[test]
    fn an_empty_answer_leaves_one_user_message() {
        let mut transcript = Transcript::new(vec![user("one"), told(" ", &[]), user("two")]);
        let request = request(&mut transcript, PromptCache::Off);
        assert_eq!(
            request["messages"],
            json!([{ "role": "user", "content": [{ "type": "text", "text": "one" }, { "type": "text", "text": "two" }] }])
        );
    }
}
