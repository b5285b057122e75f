//! The model port: one conversation in, one streamed answer out.
//!
//! A provider is a wire protocol at an address. It does not retry (`retry` does, in one place), does
//! not know what a tool does, and returns an answer only when the protocol's own end was seen: a
//! truncated answer is an error, so that none of its tool calls can run.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub mod address;
pub mod anthropic;
pub mod catalog;
mod classify;
mod conversation;
pub mod http;
#[cfg(test)]
mod mangled;
pub mod openai_chat;
pub mod openai_responses;
pub mod pricing;
#[cfg(test)]
mod recorded;
pub mod replay;
pub mod retry;
mod retry_after;
pub mod scripted;
pub mod sse;
pub mod stream;
pub mod transcript;

/// A tool as told to the model.
#[derive(Clone, Debug)]
pub struct ToolSpec {
    /// Name.
    pub name: &'static str,
    /// What it does and when to use it.
    pub description: &'static str,
    /// JSON schema of its arguments, as text.
    pub schema: &'static str,
}

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

/// A request.
pub struct ModelRequest<'a> {
    /// The provider's own name of the model.
    pub model: &'a str,
    /// System prompt.
    pub system: &'a str,
    /// Tools; the same for a whole Task, so that the cached prefix holds.
    pub tools: &'a [ToolSpec],
    /// The conversation; the provider keeps its wire form in it, so that no item is serialized twice.
    pub transcript: &'a mut transcript::Transcript,
    /// Most tokens to produce; the provider's configured value when `None`.
    pub max_output_tokens: Option<u32>,
}

/// A part of an answer that is still being written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delta {
    /// Text to append.
    Text(String),
    /// Reasoning to append; shown nowhere, but progress.
    Reasoning(String),
}

/// What a provider can fail with; what to do about it is in `retry()`.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Too many requests; wait.
    #[error("the provider asks to wait")]
    RateLimited {
        /// How long, when it said so.
        retry_after: Option<Duration>,
    },
    /// The provider is overloaded or failing.
    #[error("the provider is overloaded or failing: {message}")]
    Overloaded {
        /// What it said.
        message: String,
        /// How long to wait, when it said so.
        retry_after: Option<Duration>,
    },
    /// The conversation does not fit the model's window; compaction may help.
    #[error("the conversation is too long for the model: {message}")]
    ContextTooLong {
        /// What it said.
        message: String,
    },
    /// The provider's policy refused the content.
    #[error("the provider refused the request: {message}")]
    Refused {
        /// What it said.
        message: String,
    },
    /// No money or quota left; waiting does not help.
    #[error("the provider's spending limit is reached: {message}")]
    SpendingCap {
        /// What it said.
        message: String,
    },
    /// The key is missing, wrong or may not do this.
    #[error("the provider did not accept the key: {message}")]
    Authentication {
        /// What it said.
        message: String,
    },
    /// The request is wrong as such: unknown model, bad parameter.
    #[error("the provider rejected the request: {message}")]
    Rejected {
        /// What it said.
        message: String,
    },
    /// The answer is not in the protocol, or larger than the limit.
    #[error("the provider broke its protocol: {message}")]
    Protocol {
        /// What was seen.
        message: String,
    },
    /// The stream ended before the protocol's own end.
    #[error("the provider's answer ended early")]
    Truncated,
    /// No connection, or a clock ran out.
    #[error("the provider could not be reached: {message}")]
    Transport {
        /// What happened.
        message: String,
        /// Underlying error.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

/// What to do about a failed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Try again after this long at least, or after the usual backoff.
    After(Option<Duration>),
    /// Trying again will not help.
    Never,
}

impl ModelError {
    /// Returns what to do about it.
    pub fn retry(&self) -> Retry {
        match self {
            Self::RateLimited { retry_after } => Retry::After(*retry_after),
            Self::Overloaded { retry_after, .. } => Retry::After(*retry_after),
            Self::Truncated | Self::Transport { .. } | Self::Protocol { .. } => Retry::After(None),
            Self::ContextTooLong { .. }
            | Self::Refused { .. }
            | Self::SpendingCap { .. }
            | Self::Authentication { .. }
            | Self::Rejected { .. } => Retry::Never,
        }
    }
}

/// Speaks one wire protocol to one address.
///
/// Implementations promise: no retry; `Ok` only after the protocol's own end; the request of turn
/// n+1 starts with the bytes of turn n's messages; dropping the future closes the connection.
#[async_trait]
pub trait ModelProvider: Send + Sync + 'static {
    /// Returns the name that users write before the slash.
    fn name(&self) -> &str;

    /// Sends a request and returns the whole answer; `on_delta` sees parts as they come.
    async fn answer(
        &self,
        request: ModelRequest<'_>,
        on_delta: &mut (dyn FnMut(Delta) + Send),
    ) -> Result<Answer, ModelError>;
}
