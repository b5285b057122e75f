//! OpenAI's Responses, used without state on the provider's side.
//!
//! Nothing is stored there (`store: false`): the whole conversation goes with each request, reasoning
//! as encrypted items that only the provider can read. So a Task survives a change of key or
//! provider, and no conversation stays behind.

mod answer;
mod wire;

use async_trait::async_trait;
use serde_json::{Map, Value};

use crate::model::address::Address;
use crate::model::http::{Exchange, Transport};
use crate::model::openai_chat::ReasoningReturn;
use crate::model::{Answer, Delta, ModelError, ModelProvider, ModelRequest};
use answer::ResponseParser;
use wire::ResponsesEncoder;

/// Name of the protocol in `RawAnswer`.
pub(crate) const PROTOCOL: &str = "responses";

/// What can be set of the protocol.
#[derive(Clone, Debug, Default)]
pub struct ResponsesOptions {
    /// Most tokens to produce when a request does not say; the server's own limit when `None`.
    pub max_output_tokens: Option<u32>,
    /// Whether encrypted reasoning is asked for; by the model's name when `None`, because models that do
    /// not reason refuse to be asked.
    pub encrypted_reasoning: Option<bool>,
    /// Which reasoning goes back.
    pub reasoning_return: ReasoningReturn,
    /// Fields added to every request.
    pub extra_body: Map<String, Value>,
}

impl ResponsesOptions {
    fn asks_for_encrypted_reasoning(&self, model: &str) -> bool {
        let does_not_reason = ["gpt-3", "gpt-4", "chatgpt-"]
            .iter()
            .any(|beginning| model.starts_with(beginning));
        self.encrypted_reasoning.unwrap_or(!does_not_reason)
    }
}

/// Speaks Responses to one address.
#[derive(Debug)]
pub struct OpenAiResponses {
    name: String,
    address: Address,
    options: ResponsesOptions,
    transport: Transport,
}

impl OpenAiResponses {
    /// Makes a provider of this name.
    pub fn new(name: impl Into<String>, address: Address, options: ResponsesOptions, transport: Transport) -> Self {
        Self {
            name: name.into(),
            address,
            options,
            transport,
        }
    }
}

#[async_trait]
impl ModelProvider for OpenAiResponses {
    fn name(&self) -> &str {
        &self.name
    }

    async fn answer(
        &self,
        request: ModelRequest<'_>,
        on_delta: &mut (dyn FnMut(Delta) + Send),
    ) -> Result<Answer, ModelError> {
        let full_model = format!("{}/{}", self.name, request.model);
        let encoder = ResponsesEncoder::new(&full_model, request.model, &self.options);
        let encoded = request.transcript.encode(&encoder, request.system, request.tools);
        let max_tokens = request.max_output_tokens.or(self.options.max_output_tokens);
        let exchange = Exchange {
            url: &self.address.endpoint("/responses", request.model),
            headers: &self.address.headers,
            body: wire::body(&encoded, max_tokens),
            clocks: self.address.clocks,
        };
        let mut parser = ResponseParser::default();
        self.transport.exchange(exchange, &mut parser, on_delta).await?;
        Ok(parser.into_answer(full_model, self.options.reasoning_return))
    }
}
