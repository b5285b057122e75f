//! The answer of Chat Completions, from its chunks.
//!
//! It is whole when a `finish_reason` came; figures may follow, and so may an error, which then
//! counts. Some servers send `[DONE]` without ever giving a reason: that is accepted when something
//! came and all arguments are whole, because a proxy that lost its upstream also ends like that.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::model::classify::Fault;
use crate::model::openai_chat::calls::CallCollector;
use crate::model::openai_chat::{PROTOCOL, ReasoningReturn};
use crate::model::sse::SseEvent;
use crate::model::stream::{AnswerParser, AnswerSize, Step};
use crate::model::{Answer, Delta, ModelError, RawAnswer, StopReason, TokenUsage};

/// Collects a completion.
#[derive(Clone, Debug, Default)]
pub(super) struct ChatParser {
    text: String,
    refusal: String,
    reasoning: String,
    reasoning_details: Vec<Value>,
    calls: CallCollector,
    usage: Option<Value>,
    finish_reason: Option<String>,
    size: AnswerSize,
}

impl AnswerParser for ChatParser {
    fn event(&mut self, event: &SseEvent, on_delta: &mut (dyn FnMut(Delta) + Send)) -> Result<Step, ModelError> {
        let data = event.data.trim();
        if data.is_empty() {
            return Ok(Step::Idle);
        }
        if data == "[DONE]" {
            return self.done();
        }
        let chunk: Value = serde_json::from_str(data).map_err(|error| ModelError::Protocol {
            message: format!("a chunk is not JSON: {error}"),
        })?;
        if let Some(error) = chunk.get("error").filter(|error| !error.is_null()) {
            return Err(Fault::of_value(error).in_stream());
        }
        if event.event == "error" || chunk.get("object").and_then(Value::as_str) == Some("error") {
            return Err(Fault::of_value(&chunk).in_stream());
        }
        let step = self.chunk(&chunk, data.len(), on_delta)?;
        Ok(if self.finish_reason.is_some() {
            Step::Finished
        } else {
            step
        })
    }

    fn is_last(&self, event: &SseEvent) -> bool {
        event.data.trim() == "[DONE]"
    }

    fn whole(&mut self, body: &str, on_delta: &mut (dyn FnMut(Delta) + Send)) -> Result<(), ModelError> {
        let not_a_completion = || ModelError::Protocol {
            message: "the response is neither a stream nor a completion".into(),
        };
        let completion: Value = serde_json::from_str(body).map_err(|_| not_a_completion())?;
        if completion.get("choices").is_none() {
            return Err(not_a_completion());
        }
        self.chunk(&completion, body.len(), on_delta)?;
        if self.is_finished() {
            Ok(())
        } else {
            Err(ModelError::Truncated)
        }
    }

    fn is_finished(&self) -> bool {
        self.finish_reason.is_some()
    }
}

impl ChatParser {
    fn done(&mut self) -> Result<Step, ModelError> {
        if self.finish_reason.is_none() {
            let has_something = !self.text.is_empty() || !self.refusal.is_empty() || !self.calls.is_empty();
            if !has_something || !self.calls.are_whole() {
                return Err(ModelError::Truncated);
            }
            self.finish_reason = Some("stop".to_owned());
        }
        Ok(Step::Done)
    }

    fn chunk(
        &mut self,
        chunk: &Value,
        bytes: usize,
        on_delta: &mut (dyn FnMut(Delta) + Send),
    ) -> Result<Step, ModelError> {
        let usage = chunk.get("usage").filter(|usage| usage.is_object());
        if let Some(usage) = usage.or_else(|| chunk.pointer("/x_groq/usage").filter(|usage| usage.is_object())) {
            self.usage = Some(usage.clone());
        }
        let choices = chunk.get("choices").and_then(Value::as_array);
        let first = |choice: &&Value| choice.get("index").and_then(Value::as_u64).unwrap_or_default() == 0;
        let Some(choice) = choices.into_iter().flatten().find(first) else {
            return Ok(Step::Idle);
        };
        let mut step = Step::Idle;
        let delta = choice.get("delta").or_else(|| choice.get("message"));
        if let Some(Value::Object(delta)) = delta {
            step = self.delta(delta, on_delta);
        }
        if step == Step::Progress {
            self.size.add(bytes)?;
        }
        match choice.get("finish_reason").and_then(Value::as_str) {
            Some("error") => {
                return Err(ModelError::Overloaded {
                    message: "the answer ended with `finish_reason: error`".into(),
                    retry_after: None,
                });
            }
            Some(reason) if !reason.is_empty() => self.finish_reason = Some(reason.to_owned()),
            _ => {}
        }
        Ok(step)
    }

    fn delta(&mut self, delta: &Map<String, Value>, on_delta: &mut (dyn FnMut(Delta) + Send)) -> Step {
        let text = |name: &str| delta.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let mut step = Step::Idle;
        if let Some(reasoning) = text("reasoning_content").or_else(|| text("reasoning")) {
            self.reason(reasoning, on_delta);
            step = Step::Progress;
        }
        for detail in delta
            .get("reasoning_details")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            add_detail(&mut self.reasoning_details, detail);
            step = Step::Progress;
        }
        match delta.get("content") {
            Some(Value::String(content)) if !content.is_empty() => {
                self.say(content, on_delta);
                step = Step::Progress;
            }
            Some(Value::Array(parts)) => {
                for part in parts {
                    self.content_part(part, on_delta);
                }
                step = Step::Progress;
            }
            _ => {}
        }
        if let Some(refusal) = text("refusal") {
            self.refusal.push_str(refusal);
            on_delta(Delta::Text(refusal.to_owned()));
            step = Step::Progress;
        }
        for call in delta.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
            self.calls.add(call);
            step = Step::Progress;
        }
        if let Some(call @ Value::Object(_)) = delta.get("function_call") {
            self.calls.add(call);
            step = Step::Progress;
        }
        step
    }

    /// Takes a part of content that is a list, as Mistral's thinking models send it.
    fn content_part(&mut self, part: &Value, on_delta: &mut (dyn FnMut(Delta) + Send)) {
        if let Some(text) = part.get("text").and_then(Value::as_str) {
            self.say(text, on_delta);
        }
        for thought in part.get("thinking").and_then(Value::as_array).into_iter().flatten() {
            if let Some(text) = thought.get("text").and_then(Value::as_str) {
                self.reason(text, on_delta);
            }
        }
    }

    fn say(&mut self, text: &str, on_delta: &mut (dyn FnMut(Delta) + Send)) {
        self.text.push_str(text);
        on_delta(Delta::Text(text.to_owned()));
    }

    fn reason(&mut self, text: &str, on_delta: &mut (dyn FnMut(Delta) + Send)) {
        self.reasoning.push_str(text);
        on_delta(Delta::Reasoning(text.to_owned()));
    }

    /// Returns the answer; the stream has been whole.
    pub(super) fn into_answer(self, model: String, reasoning_return: ReasoningReturn) -> Answer {
        let was_cut = matches!(self.finish_reason.as_deref(), Some("length" | "content_filter"));
        let (tool_calls, raw_calls) = if was_cut { (vec![], vec![]) } else { self.calls.finish() };
        let stop = match self.finish_reason.as_deref() {
            Some("content_filter") => StopReason::Refusal,
            Some("length") => StopReason::MaxTokens,
            _ if !tool_calls.is_empty() => StopReason::ToolUse,
            _ if !self.refusal.is_empty() => StopReason::Refusal,
            _ => StopReason::EndTurn,
        };
        let text = self.text + &self.refusal;
        let mut message = Map::new();
        message.insert("role".to_owned(), Value::from("assistant"));
        let content = Some(text.as_str()).filter(|text| !text.is_empty());
        message.insert("content".to_owned(), Value::from(content));
        if !raw_calls.is_empty() {
            message.insert("tool_calls".to_owned(), Value::Array(raw_calls));
        }
        if reasoning_return != ReasoningReturn::Never && !self.reasoning_details.is_empty() {
            message.insert("reasoning_details".to_owned(), Value::Array(self.reasoning_details));
        }
        if reasoning_return == ReasoningReturn::Plain && !self.reasoning.is_empty() {
            message.insert("reasoning_content".to_owned(), Value::from(self.reasoning));
        }
        let says_something = !text.trim().is_empty() || !tool_calls.is_empty();
        let json = Some(Value::Object(message)).filter(|_| says_something);
        Answer {
            raw: json
                .and_then(|json| RawValue::from_string(json.to_string()).ok())
                .map(|json| RawAnswer {
                    protocol: PROTOCOL.to_owned(),
                    json,
                }),
            text,
            tool_calls,
            stop,
            usage: self.usage.as_ref().map(usage).unwrap_or_default(),
            model,
        }
    }
}

/// Joins a part of `reasoning_details` to the one it continues.
fn add_detail(details: &mut Vec<Value>, part: &Value) {
    let text_field = match part.get("type").and_then(Value::as_str) {
        Some("reasoning.text") => "text",
        Some("reasoning.summary") => "summary",
        _ => "",
    };
    if let (Some(Value::Object(last)), Value::Object(part)) = (details.last_mut(), part)
        && !text_field.is_empty()
        && last.get("type") == part.get("type")
        && last.get("index") == part.get("index")
    {
        let texts =
            [last.get(text_field), part.get(text_field)].map(|text| text.and_then(Value::as_str).unwrap_or_default());
        let joined = Value::from(texts.concat());
        for (name, value) in part.iter().filter(|(_, value)| !value.is_null()) {
            last.insert(name.clone(), value.clone());
        }
        last.insert(text_field.to_owned(), joined);
        return;
    }
    details.push(part.clone());
}

/// Returns figures whose parts do not overlap: cached tokens are in `prompt_tokens` here.
fn usage(usage: &Value) -> TokenUsage {
    let number = |pointer: &str| usage.pointer(pointer).and_then(Value::as_u64);
    let cache_read = number("/prompt_tokens_details/cached_tokens").or_else(|| number("/prompt_cache_hit_tokens"));
    let cache_read = cache_read.unwrap_or_default();
    let cache_write = number("/prompt_tokens_details/cache_write_tokens").unwrap_or_default();
    let prompt = number("/prompt_tokens").unwrap_or_default();
    TokenUsage {
        input_uncached: prompt.saturating_sub(cache_read).saturating_sub(cache_write),
        cache_read,
        cache_write,
        output: number("/completion_tokens").unwrap_or_default(),
        reasoning: number("/completion_tokens_details/reasoning_tokens").unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;
