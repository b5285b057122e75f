//! Why a Task failed, in words that a program may branch on.

use serde::{Deserialize, Serialize};

/// Causes of failure; the same words are `google.rpc.ErrorInfo.reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The forge refused, or does not know the repository or revision.
    RepositoryUnavailable,
    /// No sandbox could be made, or it was lost.
    SandboxUnavailable,
    /// The provider kept failing after retries.
    ModelUnavailable,
    /// The provider refused the request; a retry will not help.
    ModelRefused,
    /// A bound in the limits was reached.
    LimitReached,
    /// The change was made and could not be published.
    PublicationFailed,
    /// A defect of the server.
    Internal,
    /// A policy refused the change.
    PolicyDenied,
    /// The agent could not do it: no progress, or checks that stay red.
    AgentGaveUp,
    /// The repository's own set-up failed.
    SetupFailed,
    /// The provider broke its own protocol.
    ModelProtocolError,
    /// The Task took the server down more than once.
    CrashedRepeatedly,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 12] = [
        Self::RepositoryUnavailable,
        Self::SandboxUnavailable,
        Self::ModelUnavailable,
        Self::ModelRefused,
        Self::LimitReached,
        Self::PublicationFailed,
        Self::Internal,
        Self::PolicyDenied,
        Self::AgentGaveUp,
        Self::SetupFailed,
        Self::ModelProtocolError,
        Self::CrashedRepeatedly,
    ];

    /// Returns the word of the contract without its enum prefix, e.g. `LIMIT_REACHED`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RepositoryUnavailable => "REPOSITORY_UNAVAILABLE",
            Self::SandboxUnavailable => "SANDBOX_UNAVAILABLE",
            Self::ModelUnavailable => "MODEL_UNAVAILABLE",
            Self::ModelRefused => "MODEL_REFUSED",
            Self::LimitReached => "LIMIT_REACHED",
            Self::PublicationFailed => "PUBLICATION_FAILED",
            Self::Internal => "INTERNAL",
            Self::PolicyDenied => "POLICY_DENIED",
            Self::AgentGaveUp => "AGENT_GAVE_UP",
            Self::SetupFailed => "SETUP_FAILED",
            Self::ModelProtocolError => "MODEL_PROTOCOL_ERROR",
            Self::CrashedRepeatedly => "CRASHED_REPEATEDLY",
        }
    }
}

/// Why a Task failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Machine-readable cause.
    pub reason: Reason,
    /// One sentence for a person; no secrets.
    pub message: String,
    /// Whether running the same spec again may succeed.
    pub retryable: bool,
}

impl Failure {
    /// Makes a failure that running again will not cure.
    pub fn lasting(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            retryable: false,
        }
    }

    /// Makes a failure that running again may cure.
    pub fn passing(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            retryable: true,
        }
    }
}
