//! The orchestrator: takes Tasks in, gives them run slots, drives each through its phases, and
//! answers what callers ask about them.
//!
//! The edge talks to this module alone. A caller's Task outlives the caller's stream: a stream is a
//! cursor over the log and nothing else.

use std::sync::Arc;

use uuid::Uuid;

use crate::store::feed::FeedContent;
use crate::store::{ArtifactChunk, NewMessage, NewTask, Posted, RequestKey, Submission, TaskQuery};
use crate::task::id::{ArtifactId, Sequence, TaskId, Timestamp};
use crate::task::record::TaskRecord;
use crate::task::spec::{SpecPolicy, TaskSpec, check_message};

mod access;
pub mod analyse;
mod baseline;
mod call;
mod checkout;
mod content_key;
mod fetch;
mod finish;
mod housekeeping;
mod image;
mod markdown;
mod parts;
mod prepare;
mod publish;
mod pull_request;
mod rebase;
mod recording;
mod review;
mod run;
mod run_log;
mod scheduler;
mod session;
mod setup;
mod stated;
mod text_log;
mod verify;
mod work;
mod workbench;
pub mod workspace;

use call::internal;
pub use call::{
    CallResult, Caller, EventStream, ListRequest, MessageRequest, OrchestratorError, SandboxBackendInfo, ServerInfo,
    Watch,
};
pub use parts::{OrchestratorConfig, Parts};

use access::{may_use_repository, request_key};

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
