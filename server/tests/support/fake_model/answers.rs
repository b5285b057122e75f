//! Answers of the three protocols, as streams.

use serde_json::{Value, json};

use super::Reply;

/// A tool call: id, name, arguments.
pub(crate) type Call<'a> = (&'a str, &'a str, Value);

fn sse(events: &[Value]) -> String {
    let event = |value: &Value| match value.get("type").and_then(Value::as_str) {
        Some(kind) => format!("event: {kind}\ndata: {value}\n\n"),
        None => format!("data: {value}\n\n"),
    };
    events.iter().map(event).collect()
}

impl Reply {
    /// The text `hello` in this protocol.
    pub(crate) fn hello(protocol: &str) -> Self {
        match protocol {
            "anthropic" => Self::anthropic_text("hello"),
            "chat" => Self::chat("hello", &[]),
            _ => Self::responses_calls("hello", &[]),
        }
    }

    /// A message of Anthropic's; `blocks` come whole.
    pub(crate) fn anthropic(blocks: &[Value], stop_reason: &str) -> Self {
        let mut events = vec![
            json!({ "type": "message_start", "message": { "id": "msg_1", "type": "message", "role": "assistant",
            "content": [], "usage": { "input_tokens": 10, "output_tokens": 1 } } }),
        ];
        for (index, block) in blocks.iter().enumerate() {
            let mut start = block.clone();
            let mut deltas = vec![];
            if let Some(input) = block.get("input") {
                start["input"] = json!({});
                deltas.push(json!({ "type": "input_json_delta", "partial_json": input.to_string() }));
            } else if block["type"] == "text" {
                start["text"] = json!("");
                deltas.push(json!({ "type": "text_delta", "text": block["text"] }));
            } else if block["type"] == "thinking" {
                start["thinking"] = json!("");
                start["signature"] = json!("");
                deltas.push(json!({ "type": "thinking_delta", "thinking": block["thinking"] }));
                deltas.push(json!({ "type": "signature_delta", "signature": block["signature"] }));
            }
            events.push(json!({ "type": "content_block_start", "index": index, "content_block": start }));
            events.extend(
                deltas
                    .iter()
                    .map(|delta| json!({ "type": "content_block_delta", "index": index, "delta": delta })),
            );
            events.push(json!({ "type": "content_block_stop", "index": index }));
        }
        events.push(json!({ "type": "message_delta", "delta": { "stop_reason": stop_reason, "stop_sequence": null }, "usage": { "output_tokens": 5 } }));
        events.push(json!({ "type": "message_stop" }));
        Self::stream(sse(&events))
    }

    /// A text of Anthropic's.
    pub(crate) fn anthropic_text(text: &str) -> Self {
        Self::anthropic(&[json!({ "type": "text", "text": text })], "end_turn")
    }

    /// Calls of Anthropic's after a text.
    pub(crate) fn anthropic_calls(text: &str, calls: &[Call<'_>]) -> Self {
        let mut blocks = vec![json!({ "type": "text", "text": text })];
        blocks.extend(
            calls
                .iter()
                .map(|(id, name, input)| json!({ "type": "tool_use", "id": id, "name": name, "input": input })),
        );
        Self::anthropic(&blocks, "tool_use")
    }

    /// A completion of Chat Completions: text, calls, and figures.
    pub(crate) fn chat(text: &str, calls: &[Call<'_>]) -> Self {
        let chunk = |delta: Value, finish: Value| json!({ "id": "c", "object": "chat.completion.chunk", "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] });
        let mut chunks = vec![chunk(json!({ "role": "assistant", "content": text }), Value::Null)];
        for (index, (id, name, arguments)) in calls.iter().enumerate() {
            let call = json!({ "index": index, "id": id, "type": "function", "function": { "name": name, "arguments": arguments.to_string() } });
            chunks.push(chunk(json!({ "tool_calls": [call] }), Value::Null));
        }
        let finish = if calls.is_empty() { "stop" } else { "tool_calls" };
        chunks.push(chunk(json!({}), json!(finish)));
        chunks.push(json!({ "choices": [], "usage": { "prompt_tokens": 10, "completion_tokens": 5 } }));
        Self::stream(sse(&chunks) + "data: [DONE]\n\n")
    }

    /// A response of Responses, with these items.
    pub(crate) fn responses(items: &[Value]) -> Self {
        let mut events =
            vec![json!({ "type": "response.created", "response": { "id": "resp_1", "status": "in_progress" } })];
        for (index, item) in items.iter().enumerate() {
            events.push(json!({ "type": "response.output_item.added", "output_index": index, "item": { "type": item["type"] } }));
            if let Some(text) = item.pointer("/content/0/text") {
                events.push(json!({ "type": "response.output_text.delta", "output_index": index, "delta": text }));
            }
            events.push(json!({ "type": "response.output_item.done", "output_index": index, "item": item }));
        }
        events.push(
            json!({ "type": "response.completed", "response": { "id": "resp_1", "status": "completed", "output": items,
            "usage": { "input_tokens": 10, "output_tokens": 5 } } }),
        );
        Self::stream(sse(&events))
    }

    /// A text and calls of Responses, after sealed reasoning.
    pub(crate) fn responses_calls(text: &str, calls: &[Call<'_>]) -> Self {
        let mut items = vec![
            json!({ "type": "reasoning", "id": format!("rs_{text}"), "summary": [], "encrypted_content": format!("sealed {text}") }),
        ];
        items.push(
            json!({ "type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
            "content": [{ "type": "output_text", "text": text, "annotations": [] }] }),
        );
        items.extend(calls.iter().map(|(id, name, arguments)| {
            json!({ "type": "function_call", "id": format!("fc_{id}"), "call_id": id, "name": name, "arguments": arguments.to_string(), "status": "completed" })
        }));
        Self::responses(&items)
    }
}
