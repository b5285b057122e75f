//! The model port: one conversation in, one streamed answer out.
//!
//! A provider is a wire protocol at an address. It does not retry (`retry` does, in one place), does
//! not know what a tool does, and returns an answer only when the protocol's own end was seen: a
//! truncated answer is an error, so that none of its tool calls can run.

use async_trait::async_trait;

pub use error::{ModelError, Retry};
pub use message::{Answer, Delta, Item, RawAnswer, StopReason, TokenUsage, ToolCall, ToolResult};

pub mod address;
pub mod anthropic;
pub mod catalog;
mod classify;
mod conversation;
mod error;
pub mod http;
#[cfg(test)]
mod mangled;
mod message;
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
