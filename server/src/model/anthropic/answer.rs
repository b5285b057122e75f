//! The answer of the Messages API, from its events.
//!
//! Blocks are kept as the provider sent them, unknown kinds and fields included, so that they can go
//! back unchanged. What can't go back is left out of the raw form: a tool call that was cut (it will
//! have no result), thinking that was cut (it has no signature), and text of nothing but spaces
//! (the provider sends it and refuses it).

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::model::anthropic::PROTOCOL;
use crate::model::classify::Fault;
use crate::model::conversation::{object_text, write_field};
use crate::model::sse::SseEvent;
use crate::model::stream::{AnswerParser, AnswerSize, Step};
use crate::model::{Answer, Delta, ModelError, RawAnswer, StopReason, TokenUsage, ToolCall};

/// A block of the answer.
#[derive(Clone, Debug, Default)]
struct Block {
    fields: Map<String, Value>,
    partial_input: String,
}

/// Collects a message.
#[derive(Clone, Debug, Default)]
pub(super) struct MessageParser {
    blocks: BTreeMap<u64, Block>,
    usage: Map<String, Value>,
    stop_reason: Option<String>,
    stopped: bool,
    size: AnswerSize,
}

impl Block {
    fn kind(&self) -> &str {
        self.fields.get("type").and_then(Value::as_str).unwrap_or_default()
    }

    fn text(&self, name: &str) -> &str {
        self.fields.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    fn append(&mut self, name: &str, part: &str) {
        match self.fields.get_mut(name) {
            Some(Value::String(text)) => text.push_str(part),
            _ => {
                self.fields.insert(name.to_owned(), Value::from(part));
            }
        }
    }

    /// Returns the arguments of a call as the model wrote them.
    fn arguments(&self) -> String {
        if !self.partial_input.trim().is_empty() {
            return self.partial_input.clone();
        }
        match self.fields.get("input") {
            Some(input) if !input.is_null() => input.to_string(),
            _ => "{}".to_owned(),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        for (name, value) in &self.fields {
            if name != "input" {
                write_field(out, name, value);
            }
        }
        if self.kind().ends_with("tool_use") {
            out.extend_from_slice(b",\"input\":");
            out.extend_from_slice(object_text(&self.arguments()).as_bytes());
        } else if let Some(input) = self.fields.get("input") {
            write_field(out, "input", input);
        }
        out.push(b'}');
    }

    /// Returns whether the provider would take the block back.
    fn goes_back(&self, was_cut: bool) -> bool {
        match self.kind() {
            "text" => !self.text("text").trim().is_empty() || self.fields.get("citations").is_some_and(Value::is_array),
            "tool_use" | "server_tool_use" => !was_cut,
            "thinking" => !was_cut || !self.text("signature").is_empty(),
            _ => true,
        }
    }
}

impl AnswerParser for MessageParser {
    fn event(&mut self, event: &SseEvent, on_delta: &mut (dyn FnMut(Delta) + Send)) -> Result<Step, ModelError> {
        if event.data.trim().is_empty() {
            return Ok(Step::Idle);
        }
        let mut value: Value = serde_json::from_str(&event.data).map_err(|error| ModelError::Protocol {
            message: format!("an event `{}` is not JSON: {error}", event.event),
        })?;
        let kind = value
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or(&event.event)
            .to_owned();
        let index = value.get("index").and_then(Value::as_u64).unwrap_or_default();
        match kind.as_str() {
            "error" => {
                return Err(Fault::of_value(value.get("error").unwrap_or(&value)).in_stream());
            }
            "message_start" => {
                self.add_usage(value.pointer("/message/usage"));
            }
            "content_block_start" => {
                if let Some(Value::Object(fields)) = value.get_mut("content_block").map(Value::take) {
                    self.size.add(event.data.len())?;
                    self.start_block(index, fields, on_delta);
                    return Ok(Step::Progress);
                }
            }
            "content_block_delta" => {
                self.size.add(event.data.len())?;
                if let Some(Value::Object(delta)) = value.get_mut("delta").map(Value::take) {
                    self.delta(index, delta, on_delta);
                }
                return Ok(Step::Progress);
            }
            "message_delta" => {
                if let Some(reason) = value.pointer("/delta/stop_reason").and_then(Value::as_str) {
                    self.stop_reason = Some(reason.to_owned());
                }
                self.add_usage(value.get("usage"));
            }
            "message_stop" => {
                self.stopped = true;
                return Ok(Step::Done);
            }
            _ => {} // ping, content_block_stop, and what is not known yet
        }
        Ok(Step::Idle)
    }

    fn is_last(&self, event: &SseEvent) -> bool {
        serde_json::from_str::<Value>(&event.data)
            .is_ok_and(|value| value.get("type").and_then(Value::as_str).unwrap_or(&event.event) == "message_stop")
    }

    fn whole(&mut self, body: &str, on_delta: &mut (dyn FnMut(Delta) + Send)) -> Result<(), ModelError> {
        let not_a_message = || ModelError::Protocol {
            message: "the response is neither a stream nor a message".into(),
        };
        let mut message: Value = serde_json::from_str(body).map_err(|_| not_a_message())?;
        let Some(Value::Array(blocks)) = message.get_mut("content").map(Value::take) else {
            return Err(not_a_message());
        };
        for (index, block) in (0..).zip(blocks) {
            if let Value::Object(fields) = block {
                self.start_block(index, fields, on_delta);
            }
        }
        self.add_usage(message.get("usage"));
        self.stop_reason = message.get("stop_reason").and_then(Value::as_str).map(str::to_owned);
        self.stopped = self.stop_reason.is_some();
        if self.stopped {
            Ok(())
        } else {
            Err(ModelError::Truncated)
        }
    }

    fn is_finished(&self) -> bool {
        self.stopped
    }
}

impl MessageParser {
    fn start_block(&mut self, index: u64, fields: Map<String, Value>, on_delta: &mut (dyn FnMut(Delta) + Send)) {
        let block = Block {
            fields,
            partial_input: String::new(),
        };
        match block.kind() {
            "text" if !block.text("text").is_empty() => on_delta(Delta::Text(block.text("text").to_owned())),
            "thinking" if !block.text("thinking").is_empty() => {
                on_delta(Delta::Reasoning(block.text("thinking").to_owned()));
            }
            _ => {}
        }
        self.blocks.insert(index, block);
    }

    fn delta(&mut self, index: u64, mut delta: Map<String, Value>, on_delta: &mut (dyn FnMut(Delta) + Send)) {
        let kind = delta.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut take = |name: &str| match delta.remove(name) {
            Some(Value::String(text)) => text,
            _ => String::new(),
        };
        let block = self.blocks.entry(index).or_default();
        match kind.as_str() {
            "text_delta" => {
                let part = take("text");
                block.fields.entry("type").or_insert_with(|| Value::from("text"));
                block.append("text", &part);
                on_delta(Delta::Text(part));
            }
            "thinking_delta" => {
                let part = take("thinking");
                block.fields.entry("type").or_insert_with(|| Value::from("thinking"));
                block.append("thinking", &part);
                on_delta(Delta::Reasoning(part));
            }
            "input_json_delta" => block.partial_input.push_str(&take("partial_json")),
            "signature_delta" => {
                block
                    .fields
                    .insert("signature".to_owned(), Value::from(take("signature")));
            }
            "compaction_delta" => {
                block.append("content", &take("content"));
                if let Some(encrypted) = delta.remove("encrypted_content").filter(|value| !value.is_null()) {
                    block.fields.insert("encrypted_content".to_owned(), encrypted);
                }
            }
            "citations_delta" => {
                if let Some(citation) = delta.remove("citation") {
                    match block.fields.get_mut("citations") {
                        Some(Value::Array(citations)) => citations.push(citation),
                        _ => {
                            block
                                .fields
                                .insert("citations".to_owned(), Value::Array(vec![citation]));
                        }
                    }
                }
            }
            _ => {}
        }
    }

    /// Figures are totals: a later one replaces an earlier, but the zeros of some gateways replace nothing.
    fn add_usage(&mut self, usage: Option<&Value>) {
        for (name, value) in usage.and_then(Value::as_object).into_iter().flatten() {
            let is_news = !value.is_null() && (value.as_u64() != Some(0) || !self.usage.contains_key(name));
            if is_news {
                self.usage.insert(name.clone(), value.clone());
            }
        }
    }

    fn usage(&self) -> TokenUsage {
        let number = |name: &str| self.usage.get(name).and_then(Value::as_u64).unwrap_or_default();
        let details = self.usage.get("output_tokens_details");
        TokenUsage {
            input_uncached: number("input_tokens"),
            cache_read: number("cache_read_input_tokens"),
            cache_write: number("cache_creation_input_tokens"),
            output: number("output_tokens"),
            reasoning: details
                .and_then(|details| details.get("thinking_tokens"))
                .and_then(Value::as_u64)
                .unwrap_or_default(),
        }
    }

    /// Returns the answer; the stream has been whole.
    pub(super) fn into_answer(mut self, model: String) -> Result<Answer, ModelError> {
        self.blocks.retain(|_, block| !block.kind().is_empty());
        let was_cut = matches!(
            self.stop_reason.as_deref(),
            Some("max_tokens" | "model_context_window_exceeded" | "refusal")
        );
        let mut tool_calls = Vec::new();
        if !was_cut {
            for block in self.blocks.values_mut().filter(|block| block.kind() == "tool_use") {
                let id = block.text("id").to_owned();
                let is_known = tool_calls.iter().any(|call: &ToolCall| call.id == id);
                let id = if id.is_empty() || is_known {
                    format!("toolu_{}", Uuid::new_v4().simple())
                } else {
                    id
                };
                block.fields.insert("id".to_owned(), Value::from(id.as_str()));
                tool_calls.push(ToolCall {
                    id,
                    name: block.text("name").to_owned(),
                    arguments: block.arguments(),
                });
            }
        }
        let stop = match self.stop_reason.as_deref() {
            Some("refusal") => StopReason::Refusal,
            _ if was_cut => StopReason::MaxTokens,
            Some("pause_turn" | "compaction") => StopReason::Pause,
            _ if !tool_calls.is_empty() => StopReason::ToolUse,
            _ => StopReason::EndTurn,
        };
        let texts = self.blocks.values().filter(|block| block.kind() == "text");
        Ok(Answer {
            text: texts.map(|block| block.text("text")).collect(),
            tool_calls,
            stop,
            usage: self.usage(),
            model,
            raw: self.raw(was_cut),
        })
    }

    fn raw(&self, was_cut: bool) -> Option<RawAnswer> {
        let mut json = vec![b'['];
        for block in self.blocks.values().filter(|block| block.goes_back(was_cut)) {
            if json.len() > 1 {
                json.push(b',');
            }
            block.write(&mut json);
        }
        json.push(b']');
        let json = RawValue::from_string(String::from_utf8(json).ok()?).ok()?;
        Some(RawAnswer {
            protocol: PROTOCOL.to_owned(),
            json,
        })
    }
}

#[cfg(test)]
mod tests;
