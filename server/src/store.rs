//! The store port: Tasks, their logs, what a later run needs, artifacts.
//!
//! The store decides sequence numbers and rejects writes of a run whose lease has passed to
//! another. It never interprets a conversation or an artifact. Nothing of SQLite may show here:
//! PostgreSQL is to be a second adapter.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;
use uuid::Uuid;

use crate::task::event::{Event, EventPayload};
use crate::task::id::{ArtifactId, Epoch, PrincipalId, Sequence, ServerId, TaskId, Timestamp};
use crate::task::record::{IllegalEvent, RunProgress, TaskRecord};
use crate::task::spec::TaskSpec;
use crate::task::state::State;

pub mod feed;
pub mod sqlite;

/// A Task to be accepted.
#[derive(Clone, Debug)]
pub struct NewTask {
    /// Its id, chosen by the caller so that it can be logged before the write.
    pub id: TaskId,
    /// Whose it is.
    pub principal: PrincipalId,
    /// Who asked, for people.
    pub requester: String,
    /// What was asked for.
    pub spec: TaskSpec,
    /// Key of an idempotent submit, and the hash of the request it stood in.
    pub request: Option<RequestKey>,
    /// The Task that this one goes on from.
    pub continues: Option<TaskId>,
    /// By the server's clock.
    pub now: Timestamp,
}

/// Key of an idempotent submit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestKey {
    /// The caller's UUID.
    pub id: Uuid,
    /// SHA-256 of the request as the domain sees it.
    pub hash: [u8; 32],
}

/// What became of a submit.
#[derive(Clone, Debug)]
pub enum Submission {
    /// A new Task is on disk with its first event.
    Created(TaskRecord),
    /// The same request was accepted before; this is its Task as it stands.
    Joined(TaskRecord),
}

/// Queue limits, checked in the transaction that accepts.
#[derive(Clone, Copy, Debug)]
pub struct QueueLimits {
    /// Most waiting Tasks of one principal.
    pub per_principal: u32,
    /// Most waiting Tasks in all.
    pub total: u32,
}

/// The right to write to one Task, until another claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The Task.
    pub task: TaskId,
    /// Fencing number; every append carries it.
    pub epoch: Epoch,
}

/// A Task claimed for a run.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The right to write.
    pub lease: Lease,
    /// The Task as it stands. A state other than QUEUED means that an earlier run did not end.
    pub task: TaskRecord,
}

/// What a run writes in one transaction.
#[derive(Clone, Debug, Default)]
pub struct Append {
    /// Events, in order; sequence numbers are assigned by the store.
    pub events: Vec<EventPayload>,
    /// Replaces the Task's `progress`.
    pub progress: Option<RunProgress>,
    /// Entries to add to the conversation.
    pub conversation: Vec<ConversationEntry>,
    /// Marks messages up to this one as read.
    pub messages_read: Option<u64>,
    /// Writes nothing and returns `MessageWaiting` when a message after this one was accepted: for a move
    /// after which messages are too late. 0 stands for no message at all.
    pub last_message: Option<u64>,
    /// Bytes to add to the ends of artifacts, each made if need be.
    pub artifacts: Vec<ArtifactPiece>,
}

/// Bytes for the end of an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactPiece {
    /// The artifact.
    pub artifact: ArtifactId,
    /// The bytes.
    pub data: Bytes,
}

/// A piece of the conversation with the model, opaque to the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversationEntry {
    /// Grows by one at each compaction; only the highest generation is needed to go on.
    pub generation: u32,
    /// The entry as JSON, serialized once.
    pub body: Bytes,
}

/// A message from a person that the run has not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxMessage {
    /// Grows with each message of the Task.
    pub number: u64,
    /// The text.
    pub text: String,
}

/// A message to be put into a live Task.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// The text.
    pub text: String,
    /// Key of an idempotent send.
    pub request: Option<RequestKey>,
    /// Whose request it is.
    pub principal: PrincipalId,
    /// By the server's clock.
    pub now: Timestamp,
}

/// What became of a message.
#[derive(Clone, Debug)]
pub enum Posted {
    /// The Task will read it; its event is on disk. Also the answer to a repeat.
    Accepted(TaskRecord),
    /// The Task does not take messages any more; start one that continues it.
    TooLate(TaskRecord),
}

/// Which Tasks to list, newest first.
#[derive(Clone, Debug)]
pub struct TaskQuery {
    /// Whose.
    pub principal: PrincipalId,
    /// In these states; all when empty.
    pub states: Vec<State>,
    /// At most so many.
    pub limit: u32,
    /// Those after this one in the order of the list.
    pub after: Option<(Timestamp, TaskId)>,
}

/// A page of a Task's log.
#[derive(Clone, Debug, PartialEq)]
pub struct EventPage {
    /// Events after the cursor, in order; empty when there are none yet.
    pub events: Vec<Event>,
    /// True when the last of `events` is the end of the log for good.
    pub finished: bool,
}

/// Bytes of an artifact from an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactChunk {
    /// The bytes; empty at the end.
    pub data: Bytes,
    /// Size of the artifact as stored so far.
    pub size: u64,
}

/// What a store can fail with.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such Task.
    #[error("no such task")]
    NotFound,
    /// The request id was used with another request.
    #[error("request id was used before with a different request")]
    RequestConflict,
    /// A queue is full.
    #[error("{}", match scope { QueueScope::Principal => "too many waiting tasks of this caller", QueueScope::Server => "too many waiting tasks on this server" })]
    QueueFull {
        /// Which queue.
        scope: QueueScope,
    },
    /// The lease has passed to another run; stop and write nothing.
    #[error("the lease of this run has passed to another")]
    LeaseLost,
    /// The cursor points past the end, or before what is kept.
    #[error("no event after {after}: the log holds {oldest} to {last}")]
    OutOfRange {
        /// The cursor.
        after: Sequence,
        /// Oldest event kept.
        oldest: Sequence,
        /// Last event.
        last: Sequence,
    },
    /// A message was accepted that the run has not read; nothing was written.
    #[error("a message waits to be read")]
    MessageWaiting,
    /// The Task is not terminal, so it can't be deleted.
    #[error("the task is still live")]
    StillLive,
    /// The events do not fit the Task's state; a defect of the caller.
    #[error("illegal event")]
    Illegal(#[from] IllegalEvent),
    /// No space, or the disk is failing; nothing was written.
    #[error("the store can't write")]
    Unavailable {
        /// What the adapter said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Anything else.
    #[error("the store failed")]
    Internal {
        /// What the adapter said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Which queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueScope {
    /// The caller's own.
    Principal,
    /// Everyone's.
    Server,
}

/// Keeps Tasks.
///
/// Implementations promise: a write that returned `Ok` survives power loss; sequences of a Task are
/// 1, 2, 3… without a gap; events, progress, conversation and artifacts of one `Append` are all there or none;
/// a write with a passed lease writes nothing and returns `LeaseLost`; dropping a future at any
/// await leaves the write either whole or not begun.
#[async_trait]
pub trait TaskStore: Send + Sync + 'static {
    /// Accepts a Task, or joins the one that the same request id made within 7 days.
    async fn submit(&self, task: NewTask, limits: QueueLimits) -> Result<Submission, StoreError>;

    /// Returns a Task.
    async fn task(&self, id: TaskId) -> Result<Option<TaskRecord>, StoreError>;

    /// Lists Tasks, newest first.
    async fn list(&self, query: TaskQuery) -> Result<Vec<TaskRecord>, StoreError>;

    /// Returns events after a cursor, at most `limit` and about 64 KiB of them, but one if there is one.
    async fn events(&self, id: TaskId, after: Sequence, limit: u32) -> Result<EventPage, StoreError>;

    /// Returns a receiver of the Task's last sequence; a wake-up only, values may be skipped. It starts at
    /// zero and has a new value before the write that made it returns; it closes when the Task is over.
    fn changes(&self, id: TaskId) -> watch::Receiver<Sequence>;

    /// Claims the next Task that no live run holds: the principal with the fewest claims first, then
    /// the oldest. Tasks that an earlier run left behind come before queued ones.
    async fn claim(&self, server: ServerId, lease_time: Duration) -> Result<Option<Claim>, StoreError>;

    /// Prolongs a lease.
    async fn renew(&self, lease: Lease, lease_time: Duration) -> Result<(), StoreError>;

    /// Gives a lease back, so that another run can go on at once. A terminal Task needs none.
    async fn release(&self, lease: Lease) -> Result<(), StoreError>;

    /// Writes what a run did; returns the Task as it stands after it.
    async fn append(&self, lease: Lease, append: Append) -> Result<TaskRecord, StoreError>;

    /// Returns the entries of the highest generation of a Task's conversation.
    async fn conversation(&self, id: TaskId) -> Result<Vec<ConversationEntry>, StoreError>;

    /// Records that a caller wants the Task to stop; unchanged when it is terminal or was asked before.
    ///
    /// A queued Task that no run holds is cancelled by it at once.
    async fn request_cancel(
        &self,
        id: TaskId,
        requester: String,
        reason: String,
        now: Timestamp,
    ) -> Result<TaskRecord, StoreError>;

    /// Puts a message into a Task that still takes them.
    async fn post_message(&self, id: TaskId, message: NewMessage) -> Result<Posted, StoreError>;

    /// Returns the messages that the run has not marked as read.
    async fn inbox(&self, id: TaskId) -> Result<Vec<InboxMessage>, StoreError>;

    /// Adds bytes to the end of an artifact, making it if need be. Not fenced: artifacts are named
    /// after what made them.
    async fn append_artifact(&self, task: TaskId, artifact: &ArtifactId, data: Bytes) -> Result<(), StoreError>;

    /// Replaces an artifact.
    async fn put_artifact(&self, task: TaskId, artifact: &ArtifactId, data: Bytes) -> Result<(), StoreError>;

    /// Reads at most `limit` bytes of an artifact; `None` when there is none of that name.
    async fn read_artifact(
        &self,
        task: TaskId,
        artifact: &ArtifactId,
        offset: u64,
        limit: u32,
    ) -> Result<Option<ArtifactChunk>, StoreError>;

    /// Returns a value remembered under a key (analysis and baselines by commit).
    async fn recall(&self, key: &str) -> Result<Option<String>, StoreError>;

    /// Remembers a value under a key; forgotten with the retention of events.
    async fn remember(&self, key: &str, value: &str, now: Timestamp) -> Result<(), StoreError>;

    /// Deletes a terminal Task with all that belongs to it; missing is not an error.
    async fn delete(&self, id: TaskId) -> Result<(), StoreError>;

    /// Trims events, conversations and artifacts of Tasks that ended before `before`, and request ids and
    /// remembered values older than their time; returns how many Tasks were trimmed.
    async fn trim(&self, before: Timestamp) -> Result<u64, StoreError>;

    /// Returns the Tasks that are neither waiting nor terminal: what runs hold or have left behind.
    async fn live_tasks(&self) -> Result<Vec<TaskRecord>, StoreError>;

    /// Returns how many Tasks wait and how many are claimed.
    async fn load(&self) -> Result<StoreLoad, StoreError>;
}

/// Events read at once by `visit_events`.
const PAGE: u32 = 500;

/// Shows every event after a cursor to `visit`, a page in memory at a time.
pub async fn visit_events(
    store: &dyn TaskStore,
    id: TaskId,
    mut after: Sequence,
    mut visit: impl FnMut(&Event) + Send,
) -> Result<(), StoreError> {
    loop {
        let page = store.events(id, after, PAGE).await?;
        let Some(last) = page.events.last() else {
            return Ok(());
        };
        after = last.sequence;
        page.events.iter().for_each(&mut visit);
    }
}

/// How busy the store's queue is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreLoad {
    /// Waiting Tasks.
    pub queued: u64,
    /// Tasks that are neither waiting nor terminal.
    pub live: u64,
}
