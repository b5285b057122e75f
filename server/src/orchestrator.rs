//! The orchestrator: takes Tasks in, gives them run slots, drives each through its phases, and
//! answers what callers ask about them.
//!
//! The edge talks to this module alone. A caller's Task outlives the caller's stream: a stream is a
//! cursor over the log and nothing else.

use std::pin::Pin;
use std::sync::Arc;

use tokio_stream::Stream;
use uuid::Uuid;

use crate::store::feed::{FeedContent, FeedItem};
use crate::store::{
    ArtifactChunk, NewMessage, NewTask, Posted, QueueScope, RequestKey, StoreError, Submission, TaskQuery,
};
use crate::task::budget::Limits;
use crate::task::id::{ArtifactId, PrincipalId, Sequence, TaskId, Timestamp};
use crate::task::record::TaskRecord;
use crate::task::spec::{SpecPolicy, TaskSpec, Violation, check_message};
use crate::task::state::State;

mod access;
pub mod analyse;
mod baseline;
mod checkout;
mod fetch;
mod finish;
mod housekeeping;
mod parts;
mod prepare;
mod publish;
mod pull_request;
mod rebase;
mod recording;
mod run;
mod run_log;
mod scheduler;
mod stated;
mod text_log;
mod verify;
mod work;
mod workbench;
pub mod workspace;

pub use parts::{OrchestratorConfig, Parts};

use access::{may_use_repository, request_key};

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

/// Bytes of an artifact given at once.
const ARTIFACT_CHUNK_BYTES: u32 = 64 * 1024;

/// Takes Tasks in and answers about them. Clones share one state.
#[derive(Clone)]
pub struct Orchestrator {
    parts: Arc<Parts>,
    scheduler: scheduler::Scheduler,
}

impl Orchestrator {
    /// Makes an orchestrator; nothing runs before `start`.
    pub fn new(parts: Parts) -> Self {
        let parts = Arc::new(parts);
        let scheduler = scheduler::Scheduler::new(Arc::clone(&parts));
        Self { parts, scheduler }
    }

    /// Starts to give run slots, first to Tasks that an earlier server left behind, and to keep house.
    pub fn start(&self) {
        self.scheduler.start();
        let parts = Arc::clone(&self.parts);
        self.parts.jobs.spawn("housekeeping", async move {
            housekeeping::keep_house(&parts).await;
        });
    }

    /// Refuses new Tasks, brings every run to a durable point and returns when all have stopped.
    pub async fn drain(&self) {
        self.scheduler.drain().await;
    }

    /// Returns what a request is checked against.
    pub fn spec_policy(&self) -> &SpecPolicy {
        &self.parts.policy
    }

    /// Accepts a Task; it is on disk when this returns. A repeated request id joins the first Task.
    pub async fn submit(&self, caller: &Caller, spec: TaskSpec, request_id: Option<Uuid>) -> CallResult<TaskRecord> {
        let request = request_id
            .map(|id| request_key(id, &spec))
            .transpose()
            .map_err(internal)?;
        self.accept(caller, spec, request, None).await
    }

    async fn accept(
        &self,
        caller: &Caller,
        spec: TaskSpec,
        request: Option<RequestKey>,
        continues: Option<TaskId>,
    ) -> CallResult<TaskRecord> {
        if self.scheduler.is_draining() {
            return Err(OrchestratorError::Draining);
        }
        if !may_use_repository(caller, &spec.repository.to_string()) {
            return Err(OrchestratorError::RepositoryDenied);
        }
        recording::check_models(&self.parts, caller, &spec).await?;
        let task = NewTask {
            id: TaskId::random(),
            principal: caller.principal.clone(),
            requester: caller.requester.clone(),
            spec,
            request,
            continues,
            now: Timestamp::now(),
        };
        match self.parts.store.submit(task, self.parts.config.queue_limits()).await? {
            Submission::Created(record) => {
                self.scheduler.wake();
                Ok(record)
            }
            Submission::Joined(record) => Ok(record),
        }
    }

    /// Returns a Task of the caller's.
    pub async fn task(&self, caller: &Caller, id: TaskId) -> CallResult<TaskRecord> {
        let record = self.parts.store.task(id).await?;
        record
            .filter(|record| record.principal == caller.principal)
            .ok_or(OrchestratorError::TaskNotFound)
    }

    /// Lists the caller's Tasks, newest first.
    pub async fn list(&self, caller: &Caller, request: ListRequest) -> CallResult<Vec<TaskRecord>> {
        let ListRequest { states, limit, after } = request;
        let query = TaskQuery {
            principal: caller.principal.clone(),
            states,
            limit,
            after,
        };
        Ok(self.parts.store.list(query).await?)
    }

    /// Asks a Task to stop.
    pub async fn cancel(&self, caller: &Caller, id: TaskId, reason: String) -> CallResult<TaskRecord> {
        self.task(caller, id).await?;
        let requester = caller.requester.clone();
        let reason = self.parts.redactor.mask(&reason).into_owned();
        let record = self
            .parts
            .store
            .request_cancel(id, requester, reason, Timestamp::now())
            .await?;
        self.scheduler.cancel(id);
        Ok(record)
    }

    /// Sends a message into a Task; returns the Task that will act on it.
    pub async fn message(&self, caller: &Caller, id: TaskId, message: MessageRequest) -> CallResult<TaskRecord> {
        let record = self.task(caller, id).await?;
        let mut text = message.text.clone();
        if message.include_review_comments {
            let comments = self.review_comments(&record).await?;
            text = if text.is_empty() {
                comments
            } else {
                format!("{text}\n\n{comments}")
            };
        } else {
            check_message(&text).map_err(|violation| OrchestratorError::Invalid(vec![violation]))?;
        }
        let request = message
            .request_id
            .map(|request_id| request_key(request_id, &(id, &text)))
            .transpose()
            .map_err(internal)?;
        let new = NewMessage {
            text: text.clone(),
            request,
            principal: caller.principal.clone(),
            now: Timestamp::now(),
        };
        match self.parts.store.post_message(id, new).await? {
            Posted::Accepted(record) => Ok(record),
            Posted::TooLate(record) => {
                let spec = TaskSpec {
                    instruction: text,
                    ..record.spec
                };
                // The same key, so that a repeat of this call joins the Task that the first one made.
                self.accept(caller, spec, request, Some(id)).await
            }
        }
    }

    async fn review_comments(&self, record: &TaskRecord) -> CallResult<String> {
        let number = match &record.ending {
            Some(ending) => access::pull_request_number(ending, record.preserved_work.as_ref()),
            None => None,
        };
        let Some(number) = number else {
            let message = "the task has no pull request whose review comments could be read".to_owned();
            return Err(OrchestratorError::Precondition { message });
        };
        access::fetch_review_comments(&self.parts, record, number).await
    }

    /// Streams a Task's events after a cursor.
    pub async fn watch(&self, caller: &Caller, id: TaskId, after: Sequence, watch: Watch) -> CallResult<EventStream> {
        let record = self.task(caller, id).await?;
        let (oldest, last) = (record.oldest_sequence, record.last_sequence);
        if after > last || after.next() < oldest {
            return Err(OrchestratorError::OutOfRange { after, oldest, last });
        }
        let store = Arc::clone(&self.parts.store);
        let content = match watch {
            Watch::All => FeedContent::All,
            Watch::DurableOnly => FeedContent::Durable,
        };
        Ok(Box::pin(self.parts.feed.watch(store, id, after, content)))
    }

    /// Reads a piece of an artifact; empty data at its end.
    pub async fn read_artifact(
        &self,
        caller: &Caller,
        id: TaskId,
        artifact: &str,
        offset: u64,
    ) -> CallResult<ArtifactChunk> {
        let record = self.task(caller, id).await?;
        if artifact == "log" {
            return text_log::read_log(&self.parts, &record, offset, ARTIFACT_CHUNK_BYTES).await;
        }
        let name = ArtifactId::new(artifact);
        match self
            .parts
            .store
            .read_artifact(id, &name, offset, ARTIFACT_CHUNK_BYTES)
            .await?
        {
            Some(chunk) => Ok(chunk),
            None if matches!(artifact, "patch" | recording::ARTIFACT) => Ok(ArtifactChunk {
                data: bytes::Bytes::new(),
                size: 0,
            }),
            None => Err(OrchestratorError::ArtifactNotFound),
        }
    }

    /// Deletes a terminal Task with all that belongs to it.
    pub async fn delete(&self, caller: &Caller, id: TaskId) -> CallResult<()> {
        match self.task(caller, id).await {
            Ok(_) => {}
            Err(OrchestratorError::TaskNotFound) => return Ok(()),
            Err(error) => return Err(error),
        }
        self.parts.store.delete(id).await?;
        if let Err(error) = self.parts.git.remove_quarantine(id).await {
            tracing::warn!(task.id = %id, error = &error as &dyn std::error::Error, "the objects of a deleted task are left behind");
        }
        for forge in &self.parts.forges {
            if let Err(error) = forge.forget(id).await {
                tracing::warn!(task.id = %id, error = &error as &dyn std::error::Error, "the pull request of a deleted task keeps its words");
            }
        }
        Ok(())
    }

    /// Returns what this server is and can do.
    pub fn server_info(&self) -> ServerInfo {
        self.parts.info.clone()
    }
}

fn internal(error: impl std::error::Error + Send + Sync + 'static) -> OrchestratorError {
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
