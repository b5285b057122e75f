//! What a conversation with a model is made of, whatever its provider.
//!
//! It knows no protocol: an answer's own form goes along as raw JSON. Apart from the port because the parsers
//! of answers need nothing else, and are fuzzed without the server.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// One item of a conversation. Items are only ever added, until compaction starts a new conversation.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    /// Text from a person or from the orchestrator.
    User {
        /// The text.
        text: String,
    },
    /// The model's answer.
    Assistant(Answer),
    /// Results of all tool calls of the answer before it, in the order of the calls.
    ToolResults {
        /// One for each call.
        results: Vec<ToolResult>,
    },
}

/// A whole answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// All text parts, joined.
    pub text: String,
    /// Tool calls, in order. Empty unless the answer is whole.
    pub tool_calls: Vec<ToolCall>,
    /// Why it ended.
    pub stop: StopReason,
    /// Tokens of this request.
    pub usage: TokenUsage,
    /// `{provider}/{model}` that answered.
    pub model: String,
    /// The answer as its own protocol wants it back: thinking, signatures, encrypted reasoning unchanged.
    pub raw: Option<RawAnswer>,
}

/// An answer in its protocol's own form.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RawAnswer {
    /// Which protocol: `anthropic`, `chat`, `responses`.
    pub protocol: String,
    /// E.g. the content array of an Anthropic message.
    pub json: Box<RawValue>,
}

/// A call by the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The provider's id; not unique over a Task at some providers.
    pub id: String,
    /// Name of the tool; may be unknown.
    pub name: String,
    /// Arguments as the model wrote them; may be broken JSON.
    pub arguments: String,
}

/// What a tool call gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolResult {
    /// Id of the call.
    pub call_id: String,
    /// Text for the model.
    pub content: String,
    /// Whether the call failed.
    pub is_error: bool,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The model said all it wanted.
    EndTurn,
    /// The model wants its tool calls run.
    ToolUse,
    /// The output limit was reached; tool calls were dropped.
    MaxTokens,
    /// The provider paused; send the answer back to go on.
    Pause,
    /// The model refused.
    Refusal,
}

/// Tokens of one request, normalised: the parts do not overlap, but reasoning is a part of output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenUsage {
    /// Prompt tokens that no cache served.
    pub input_uncached: u64,
    /// Prompt tokens served from the cache.
    pub cache_read: u64,
    /// Prompt tokens written to the cache.
    pub cache_write: u64,
    /// Tokens produced.
    pub output: u64,
    /// The part of `output` spent on reasoning.
    pub reasoning: u64,
}

/// A part of an answer that is still being written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delta {
    /// Text to append.
    Text(String),
    /// Reasoning to append; shown nowhere, but progress.
    Reasoning(String),
}
