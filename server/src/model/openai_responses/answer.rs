//! The answer of Responses, from its events.
//!
//! Items are kept as bytes and go back unchanged. The final response has the last word on them, as in
//! the official client (OpenAI seals reasoning anew there); where it leaves items out, as some servers
//! do, each `response.output_item.done` counts. Deltas are shown and otherwise ignored; ids may change
//! between an item's start and its end.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::model::classify::Fault;
use crate::model::openai_chat::ReasoningReturn;
use crate::model::openai_responses::PROTOCOL;
use crate::model::sse::SseEvent;
use crate::model::stream::{AnswerParser, AnswerSize, Step};
use crate::model::{Answer, Delta, ModelError, RawAnswer, StopReason, TokenUsage, ToolCall};

/// An item as the provider sent it, and what we read of it.
#[derive(Clone, Debug)]
struct OutputItem {
    /// Where it stands in the response; where it came when the server does not say.
    index: u64,
    json: String,
    value: Value,
}

/// Collects a response.
#[derive(Clone, Debug, Default)]
pub(super) struct ResponseParser {
    items: Vec<OutputItem>,
    status: Option<String>,
    incomplete_reason: String,
    usage: TokenUsage,
    size: AnswerSize,
}

#[derive(Deserialize)]
struct ItemEvent {
    item: Box<RawValue>,
    output_index: Option<u64>,
}

#[derive(Deserialize)]
struct ResponseEvent {
    response: Box<RawValue>,
}

#[derive(Deserialize)]
struct Response {
    status: Option<String>,
    #[serde(default)]
    output: Option<Vec<Box<RawValue>>>,
    #[serde(default)]
    usage: Value,
    #[serde(default)]
    error: Value,
    #[serde(default)]
    incomplete_details: Value,
}

#[derive(Deserialize)]
struct Kind {
    r#type: Option<String>,
}

impl OutputItem {
    fn new(index: u64, json: &RawValue) -> Result<Self, ModelError> {
        Ok(Self {
            index,
            json: json.get().to_owned(),
            value: read(json.get())?,
        })
    }

    fn text(&self, name: &str) -> &str {
        self.value.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// Returns the texts of a message's parts of this type.
    fn parts(&self, kind: &str, field: &str) -> String {
        let parts = self
            .value
            .get("content")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let parts = parts.filter(|part| part.get("type").and_then(Value::as_str) == Some(kind));
        parts
            .filter_map(|part| part.get(field).and_then(Value::as_str))
            .collect()
    }

    fn goes_back(&self, was_cut: bool, reasoning_return: ReasoningReturn) -> bool {
        match self.text("type") {
            "function_call" | "custom_tool_call" => !was_cut,
            "reasoning" => {
                let is_sealed = self.value.get("encrypted_content").is_some_and(Value::is_string);
                let is_whole = !was_cut || self.text("status") != "incomplete";
                is_whole
                    && match reasoning_return {
                        ReasoningReturn::Never => false,
                        // Without its encrypted form a reasoning item is a reference to what was not stored.
                        ReasoningReturn::Sealed => is_sealed,
                        ReasoningReturn::Plain => true,
                    }
            }
            "message" => !self.parts("output_text", "text").is_empty() || !self.parts("refusal", "refusal").is_empty(),
            _ => !was_cut,
        }
    }

    fn call(&self) -> Option<ToolCall> {
        let arguments = match self.text("type") {
            "function_call" if self.text("arguments").trim().is_empty() => "{}",
            "function_call" => self.text("arguments"),
            "custom_tool_call" => self.text("input"),
            _ => return None,
        };
        Some(ToolCall {
            id: self.text("call_id").to_owned(),
            name: self.text("name").to_owned(),
            arguments: arguments.to_owned(),
        })
    }
}

fn read<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, ModelError> {
    serde_json::from_str(json).map_err(|error| ModelError::Protocol {
        message: format!("an event is not what it should be: {error}"),
    })
}

impl AnswerParser for ResponseParser {
    fn event(&mut self, event: &SseEvent, on_delta: &mut (dyn FnMut(Delta) + Send)) -> Result<Step, ModelError> {
        let data = event.data.trim();
        if data.is_empty() || data == "[DONE]" {
            return Ok(Step::Idle);
        }
        let kind = kind(event)?;
        let delta = || -> Result<String, ModelError> {
            let value: Value = read(data)?;
            Ok(value
                .get("delta")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned())
        };
        match kind.as_str() {
            "error" => {
                let value: Value = read(data)?;
                let nested = value.get("error").filter(|error| error.is_object());
                return Err(Fault::of_value(nested.unwrap_or(&value)).in_stream());
            }
            "response.output_text.delta" | "response.refusal.delta" => on_delta(Delta::Text(delta()?)),
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                on_delta(Delta::Reasoning(delta()?));
            }
            "response.output_item.done" => {
                let ItemEvent { item, output_index } = read(data)?;
                let index = output_index.unwrap_or(self.items.len() as u64);
                self.items.push(OutputItem::new(index, &item)?);
            }
            "response.completed" | "response.incomplete" | "response.failed" | "response.done" => {
                let ResponseEvent { response } = read(data)?;
                self.end(&response)?;
                return Ok(Step::Done);
            }
            other if !other.ends_with(".delta") && other != "response.output_item.added" => return Ok(Step::Idle),
            _ => {}
        }
        self.size.add(data.len())?;
        Ok(Step::Progress)
    }

    fn is_last(&self, event: &SseEvent) -> bool {
        let ends = [
            "response.completed",
            "response.incomplete",
            "response.failed",
            "response.done",
        ];
        kind(event).is_ok_and(|kind| ends.contains(&kind.as_str()))
    }

    fn whole(&mut self, body: &str, on_delta: &mut (dyn FnMut(Delta) + Send)) -> Result<(), ModelError> {
        let response: Box<RawValue> = read(body)?;
        self.end(&response)?;
        for item in &self.items {
            on_delta(Delta::Text(item.parts("output_text", "text")));
        }
        Ok(())
    }

    fn is_finished(&self) -> bool {
        self.status.is_some()
    }
}

fn kind(event: &SseEvent) -> Result<String, ModelError> {
    let Kind { r#type } = read(event.data.trim())?;
    Ok(r#type.unwrap_or_else(|| event.event.clone()))
}

impl ResponseParser {
    fn end(&mut self, response: &RawValue) -> Result<(), ModelError> {
        let response: Response = read(response.get())?;
        let status = response.status.as_deref().unwrap_or_default();
        match status {
            "completed" | "incomplete" => {}
            _ if response.error.is_object() => return Err(Fault::of_value(&response.error).in_stream()),
            "failed" | "cancelled" => {
                return Err(ModelError::Overloaded {
                    message: format!("the response has the status `{status}`"),
                    retry_after: None,
                });
            }
            _ => {
                return Err(ModelError::Protocol {
                    message: format!("the response ended with the status `{status}`"),
                });
            }
        }
        let output = (0..).zip(response.output.unwrap_or_default());
        let output: Result<Vec<_>, _> = output.map(|(index, item)| OutputItem::new(index, &item)).collect();
        let output = output?;
        self.items.sort_by_key(|item| item.index);
        if self.items.is_empty() || same_items(&self.items, &output) {
            self.items = output;
        }
        self.status = Some(status.to_owned());
        let reason = response.incomplete_details.get("reason").and_then(Value::as_str);
        self.incomplete_reason = reason.unwrap_or_default().to_owned();
        self.usage = usage(&response.usage);
        Ok(())
    }

    /// Returns the answer; the stream has been whole.
    pub(super) fn into_answer(mut self, model: String, reasoning_return: ReasoningReturn) -> Answer {
        let was_cut = self.status.as_deref() != Some("completed")
            || self
                .items
                .iter()
                .any(|item| item.call().is_some() && item.text("status") == "incomplete");
        let mut tool_calls = Vec::new();
        if !was_cut {
            for item in &mut self.items {
                let Some(mut call) = item.call() else { continue };
                if call.id.is_empty() || tool_calls.iter().any(|other: &ToolCall| other.id == call.id) {
                    call.id = format!("call_{}", Uuid::new_v4().simple());
                    if let Some(fields) = item.value.as_object_mut() {
                        fields.insert("call_id".to_owned(), Value::from(call.id.as_str()));
                    }
                    item.json = item.value.to_string();
                }
                tool_calls.push(call);
            }
        }
        let refusal: String = self.items.iter().map(|item| item.parts("refusal", "refusal")).collect();
        let texts = self
            .items
            .iter()
            .map(|item| item.parts("output_text", "text") + &item.parts("refusal", "refusal"));
        let stop = match self.incomplete_reason.as_str() {
            "content_filter" => StopReason::Refusal,
            _ if was_cut => StopReason::MaxTokens,
            _ if !tool_calls.is_empty() => StopReason::ToolUse,
            _ if !refusal.is_empty() => StopReason::Refusal,
            _ => StopReason::EndTurn,
        };
        let kept = self
            .items
            .iter()
            .filter(|item| item.goes_back(was_cut, reasoning_return));
        let kept: Vec<&str> = kept.map(|item| item.json.as_str()).collect();
        let json = RawValue::from_string(format!("[{}]", kept.join(",")));
        Answer {
            text: texts.collect(),
            tool_calls,
            stop,
            usage: self.usage,
            model,
            raw: json.ok().map(|json| RawAnswer {
                protocol: PROTOCOL.to_owned(),
                json,
            }),
        }
    }
}

/// Returns whether two lists tell of the same items: the same kinds with the same calls.
fn same_items(ours: &[OutputItem], theirs: &[OutputItem]) -> bool {
    let same = |(ours, theirs): (&OutputItem, &OutputItem)| {
        ours.text("type") == theirs.text("type") && ours.call() == theirs.call()
    };
    ours.len() == theirs.len() && ours.iter().zip(theirs).all(same)
}

/// Returns figures whose parts do not overlap: cached tokens are in `input_tokens` here.
fn usage(usage: &Value) -> TokenUsage {
    let number = |pointer: &str| usage.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    let cache_read = number("/input_tokens_details/cached_tokens");
    let cache_write = number("/input_tokens_details/cache_write_tokens");
    TokenUsage {
        input_uncached: number("/input_tokens")
            .saturating_sub(cache_read)
            .saturating_sub(cache_write),
        cache_read,
        cache_write,
        output: number("/output_tokens"),
        reasoning: number("/output_tokens_details/reasoning_tokens"),
    }
}

#[cfg(test)]
mod tests;
