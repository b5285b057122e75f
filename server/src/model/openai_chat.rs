//! OpenAI's Chat Completions, and the many servers that speak something like it.
//!
//! Where servers contradict each other the choice is a setting; where they only differ in habits the
//! parser takes all of them (see `answer` and `calls`).

mod answer;
mod calls;
mod wire;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::model::address::Address;
use crate::model::http::{Exchange, Transport};
use crate::model::{Answer, Delta, ModelError, ModelProvider, ModelRequest};
use answer::ChatParser;
use wire::ChatEncoder;

/// Name of the protocol in `RawAnswer`.
pub(crate) const PROTOCOL: &str = "chat";

/// Which field bears the output limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaxTokensField {
    /// `max_tokens`, which most servers know.
    #[default]
    MaxTokens,
    /// `max_completion_tokens`, which OpenAI's reasoning models want.
    MaxCompletionTokens,
}

/// Whose message the system prompt is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SystemRole {
    /// `system`.
    #[default]
    System,
    /// `developer`, OpenAI's newer name.
    Developer,
}

/// Which reasoning goes back to the server with the answer it belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasoningReturn {
    /// What was made to go back: `reasoning_details` (OpenRouter), encrypted reasoning items (OpenAI).
    #[default]
    Sealed,
    /// Plain reasoning too, as `reasoning_content` or reasoning items; some servers want it, some refuse it.
    Plain,
    /// None.
    Never,
}

/// What can be set of the protocol.
#[derive(Clone, Debug, Default)]
pub struct ChatOptions {
    /// Most tokens to produce when a request does not say; the server's own limit when `None`.
    pub max_output_tokens: Option<u32>,
    /// Which field bears that limit.
    pub max_tokens_field: MaxTokensField,
    /// Whose message the system prompt is.
    pub system_role: SystemRole,
    /// Which reasoning goes back.
    pub reasoning_return: ReasoningReturn,
    /// Whether figures are asked for; some servers refuse the field.
    pub usage: UsageRequest,
    /// Fields added to every request.
    pub extra_body: Map<String, Value>,
}

/// Whether the figures of a request are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageRequest {
    /// By `stream_options.include_usage`.
    #[default]
    Include,
    /// Not; cost and budget then do not count.
    Omit,
}

/// Speaks Chat Completions to one address.
#[derive(Debug)]
pub struct OpenAiChat {
    name: String,
    address: Address,
    options: ChatOptions,
    transport: Transport,
}

impl OpenAiChat {
    /// Makes a provider of this name.
    pub fn new(name: impl Into<String>, address: Address, options: ChatOptions, transport: Transport) -> Self {
        Self {
            name: name.into(),
            address,
            options,
            transport,
        }
    }
}

#[async_trait]
impl ModelProvider for OpenAiChat {
    fn name(&self) -> &str {
        &self.name
    }

    async fn answer(
        &self,
        request: ModelRequest<'_>,
        on_delta: &mut (dyn FnMut(Delta) + Send),
    ) -> Result<Answer, ModelError> {
        let full_model = format!("{}/{}", self.name, request.model);
        let encoder = ChatEncoder::new(&full_model, request.model, &self.options);
        let encoded = request.transcript.encode(&encoder, request.system, request.tools);
        let max_tokens = request.max_output_tokens.or(self.options.max_output_tokens);
        let exchange = Exchange {
            url: &self.address.endpoint("/chat/completions", request.model),
            headers: &self.address.headers,
            body: wire::body(&encoded, &self.options, max_tokens),
            clocks: self.address.clocks,
        };
        let mut parser = ChatParser::default();
        self.transport.exchange(exchange, &mut parser, on_delta).await?;
        Ok(parser.into_answer(full_model, self.options.reasoning_return))
    }
}
