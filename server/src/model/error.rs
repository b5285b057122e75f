//! What a provider can fail with, and whether to try again.

use std::time::Duration;

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
