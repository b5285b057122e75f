//! What callers ask and are told: the types of the orchestrator's calls, and how they fail.

use std::pin::Pin;

use tokio_stream::Stream;
use uuid::Uuid;

use crate::store::feed::FeedItem;
use crate::store::{QueueScope, StoreError};
use crate::task::budget::Limits;
use crate::task::id::{PrincipalId, Sequence, TaskId, Timestamp};
use crate::task::spec::Violation;
use crate::task::state::State;

/// An authenticated caller and what it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Whose Tasks it sees.
    pub principal: PrincipalId,
    /// Who it is, for people; also the co-author of commits when it has the form `Name <address>`.
    pub requester: String,
    /// Canonical addresses it may use, with `*` for any part of one; everything when `None`.
    pub repositories: Option<Vec<String>>,
}

/// Which events a watcher wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// Durable and live ones.
    All,
    /// Only what is stored.
    DurableOnly,
}

/// A stream of a Task's events that ends after the last one.
pub type EventStream = Pin<Box<dyn Stream<Item = Result<FeedItem, StoreError>> + Send>>;

/// Which Tasks to list.
#[derive(Clone, Debug, Default)]
pub struct ListRequest {
    /// In these states; all when empty.
    pub states: Vec<State>,
    /// At most so many.
    pub limit: u32,
    /// Those after this one in the order of the list.
    pub after: Option<(Timestamp, TaskId)>,
}

/// A message into a Task.
#[derive(Clone, Debug, Default)]
pub struct MessageRequest {
    /// The text; may be empty when review comments are asked for.
    pub text: String,
    /// Adds the unresolved review comments of the Task's pull request.
    pub include_review_comments: bool,
    /// Makes the call idempotent.
    pub request_id: Option<Uuid>,
}

/// What this server is and can do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServerInfo {
    /// Version.
    pub version: String,
    /// Models as `{provider}/{model}`.
    pub models: Vec<String>,
    /// Model used when a Task names none.
    pub default_model: Option<String>,
    /// Sandbox backends.
    pub sandbox_backends: Vec<SandboxBackendInfo>,
    /// Forges.
    pub forges: Vec<String>,
    /// What is missing and what follows from it.
    pub degraded: Vec<String>,
    /// Highest limits.
    pub max_limits: Limits,
}

/// A sandbox backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SandboxBackendInfo {
    /// `docker` or `local`.
    pub name: String,
    /// True for the one in use.
    pub active: bool,
    /// What it enforces.
    pub enforced: Vec<String>,
    /// What it cannot enforce here, and why.
    pub not_enforced: Vec<String>,
}

/// Why a call was not done.
#[derive(Debug, thiserror::Error)]
pub enum OrchestratorError {
    /// The request is wrong; every violation is listed.
    #[error("the request is not valid")]
    Invalid(Vec<Violation>),
    /// No such Task, or not the caller's.
    #[error("no such task")]
    TaskNotFound,
    /// No such artifact.
    #[error("the task has no artifact of that name")]
    ArtifactNotFound,
    /// The caller may not use this repository with the server's credential.
    #[error("this caller may not use that repository")]
    RepositoryDenied,
    /// No model can be used.
    #[error("{message}")]
    NoModel {
        /// What is missing and what to set.
        message: String,
    },
    /// The request id stood in another request.
    #[error("the request id was used before with a different request")]
    RequestConflict,
    /// A queue is full.
    #[error("too many tasks are waiting; try again later")]
    QueueFull(QueueScope),
    /// The cursor is past the end, or older than what is kept.
    #[error("no event after {after}: the log holds {oldest} to {last}")]
    OutOfRange {
        /// The cursor.
        after: Sequence,
        /// Oldest event kept.
        oldest: Sequence,
        /// Last event.
        last: Sequence,
    },
    /// The Task's state does not allow it.
    #[error("{message}")]
    Precondition {
        /// What the state is and what to do.
        message: String,
    },
    /// The server is stopping; another try reaches its successor.
    #[error("the server is stopping")]
    Draining,
    /// No space, or the disk is failing.
    #[error("the server can't store anything now")]
    StoreUnavailable(#[source] StoreError),
    /// Anything else.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What a call gives.
pub type CallResult<T> = Result<T, OrchestratorError>;

pub(super) fn internal(error: impl std::error::Error + Send + Sync + 'static) -> OrchestratorError {
    OrchestratorError::Internal(Box::new(error))
}

impl From<StoreError> for OrchestratorError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::TaskNotFound,
            StoreError::RequestConflict => Self::RequestConflict,
            StoreError::QueueFull { scope } => Self::QueueFull(scope),
            StoreError::OutOfRange { after, oldest, last } => Self::OutOfRange { after, oldest, last },
            StoreError::StillLive => Self::Precondition {
                message: "the task is still live; cancel it and wait for its end first".into(),
            },
            StoreError::Unavailable { .. } => Self::StoreUnavailable(error),
            StoreError::LeaseLost
            | StoreError::MessageWaiting
            | StoreError::Illegal(_)
            | StoreError::Internal { .. } => Self::Internal(Box::new(error)),
        }
    }
}
