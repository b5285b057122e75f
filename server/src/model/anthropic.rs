//! Anthropic's Messages API, and addresses that speak it.
//!
//! Cache markers are put into the request beside the wire form, never into it: they move with the
//! conversation, and the bytes that the cache is keyed by must not change. There are four, the most
//! allowed: the last tool, the system prompt, the end of the last user message, and the end of the
//! one before it, because the provider looks back only 20 blocks and one turn may add more.

mod answer;
mod wire;

use async_trait::async_trait;
use http::HeaderValue;
use serde_json::{Map, Value};

use crate::model::address::Address;
use crate::model::http::{Exchange, Transport};
use crate::model::pricing::KnownModels;
use crate::model::{Answer, Delta, ModelError, ModelProvider, ModelRequest};
use answer::MessageParser;
use wire::MessagesEncoder;

/// Name of the protocol in `RawAnswer`.
pub(crate) const PROTOCOL: &str = "anthropic";

/// How long the provider is asked to keep the prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptCache {
    /// No markers, for addresses that refuse them.
    Off,
    /// Five minutes from the last use.
    #[default]
    FiveMinutes,
    /// An hour from the last use, at a higher price for what is written.
    OneHour,
}

impl PromptCache {
    fn marker(self) -> &'static str {
        match self {
            Self::Off => "",
            Self::FiveMinutes => r#","cache_control":{"type":"ephemeral"}"#,
            Self::OneHour => r#","cache_control":{"type":"ephemeral","ttl":"1h"}"#,
        }
    }
}

/// What can be set of the protocol.
#[derive(Clone, Debug)]
pub struct AnthropicOptions {
    /// Most tokens to produce when a request does not say; what is known of the model when `None`.
    pub max_output_tokens: Option<u32>,
    /// The same for a model that nothing is known of: the protocol requires a number.
    pub unknown_max_output_tokens: u32,
    /// What is known of models.
    pub known: KnownModels,
    /// Whether and how long prompts are cached.
    pub prompt_cache: PromptCache,
    /// Fields added to every request, e.g. `thinking`.
    pub extra_body: Map<String, Value>,
}

impl AnthropicOptions {
    fn max_output_tokens_of(&self, full_model: &str) -> u32 {
        let known = self.known.find(full_model).and_then(|known| known.max_output_tokens);
        self.max_output_tokens
            .or(known)
            .unwrap_or(self.unknown_max_output_tokens)
    }
}

/// Speaks the Messages API to one address.
#[derive(Debug)]
pub struct Anthropic {
    name: String,
    address: Address,
    options: AnthropicOptions,
    transport: Transport,
}

impl Anthropic {
    /// Makes a provider of this name.
    pub fn new(name: impl Into<String>, mut address: Address, options: AnthropicOptions, transport: Transport) -> Self {
        address
            .headers
            .entry("anthropic-version")
            .or_insert(HeaderValue::from_static("2023-06-01"));
        Self {
            name: name.into(),
            address,
            options,
            transport,
        }
    }
}

#[async_trait]
impl ModelProvider for Anthropic {
    fn name(&self) -> &str {
        &self.name
    }

    async fn answer(
        &self,
        request: ModelRequest<'_>,
        on_delta: &mut (dyn FnMut(Delta) + Send),
    ) -> Result<Answer, ModelError> {
        let full_model = format!("{}/{}", self.name, request.model);
        let encoder = MessagesEncoder::new(&full_model, request.model, &self.options);
        let encoded = request.transcript.encode(&encoder, request.system, request.tools);
        let max_tokens = request
            .max_output_tokens
            .unwrap_or_else(|| self.options.max_output_tokens_of(&full_model));
        let body = wire::body(&encoded, self.options.prompt_cache, max_tokens);
        let mut parser = MessageParser::default();
        let exchange = Exchange {
            url: &self.address.endpoint("/v1/messages", request.model),
            headers: &self.address.headers,
            body,
            clocks: self.address.clocks,
        };
        self.transport.exchange(exchange, &mut parser, on_delta).await?;
        parser.into_answer(full_model)
    }
}
