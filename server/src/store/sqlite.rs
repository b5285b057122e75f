//! The embedded store: one SQLite file in the data folder, for one server.
//!
//! All writes go through one thread that commits many of them with one fsync (`writer`); reads use
//! their own connections and hold no transaction between pages (`readers`). The folder is locked, so
//! a second server is refused at start: that is what lets leases live in memory, on the monotonic
//! clock, where a jump of the wall clock can't void them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use crate::jobs::Jobs;
use crate::store::{
    Append, ArtifactChunk, Claim, ConversationEntry, EventPage, InboxMessage, Lease, NewMessage, NewTask, Posted,
    QueueLimits, StoreError, StoreLoad, Submission, TaskQuery, TaskStore,
};
use crate::task::id::{ArtifactId, Sequence, ServerId, TaskId, Timestamp};
use crate::task::record::TaskRecord;

mod accept;
mod artifacts;
mod column;
mod leases;
mod ledger;
mod migrate;
mod open;
mod queries;
mod readers;
mod retention;
mod run;
mod wakes;
mod writer;

pub use open::OpenError;

use readers::Readers;
use wakes::Wakes;
use writer::Writer;

/// Name of the database in the data folder.
const DATABASE: &str = "backspace.sqlite";

/// A store in a folder of its own.
pub struct SqliteStore {
    writer: Writer,
    readers: Readers,
    wakes: Arc<Wakes>,
}

impl SqliteStore {
    /// Opens the store in `folder`, making both if need be. Blocks: it checks the file and brings an
    /// older schema up to date.
    ///
    /// All leases of earlier processes are void afterwards. Reads run as blocking jobs of `jobs`.
    pub fn open(folder: &Path, jobs: Jobs) -> Result<Self, OpenError> {
        let lock = open::FolderLock::take(folder)?;
        let path = folder.join(DATABASE);
        let connection = open::open_database(folder, &path)?;
        let wakes = Arc::new(Wakes::default());
        let writer = Writer::start(connection, lock, Arc::clone(&wakes)).map_err(|source| OpenError::Folder {
            folder: folder.into(),
            source,
        })?;
        Ok(Self {
            writer,
            readers: Readers::new(path, jobs),
            wakes,
        })
    }

    /// Finishes the writes that wait, closes the file and gives the folder free. Later calls fail with
    /// `Unavailable`, and so does whoever follows a Task. Dropping the store does the same, but nobody can tell when.
    pub async fn close(&self) {
        self.readers.close();
        self.writer.close().await;
        self.wakes.close();
    }
}

#[async_trait]
impl TaskStore for SqliteStore {
    async fn submit(&self, task: NewTask, limits: QueueLimits) -> Result<Submission, StoreError> {
        self.writer
            .run(move |ledger| accept::submit(ledger, &task, limits))
            .await
    }

    async fn task(&self, id: TaskId) -> Result<Option<TaskRecord>, StoreError> {
        self.readers.run(move |connection| queries::task(connection, id)).await
    }

    async fn list(&self, query: TaskQuery) -> Result<Vec<TaskRecord>, StoreError> {
        self.readers
            .run(move |connection| queries::list(connection, &query))
            .await
    }

    async fn events(&self, id: TaskId, after: Sequence, limit: u32) -> Result<EventPage, StoreError> {
        self.readers
            .run(move |connection| queries::events(connection, id, after, limit))
            .await
    }

    fn changes(&self, id: TaskId) -> watch::Receiver<Sequence> {
        self.wakes.subscribe(id)
    }

    async fn claim(&self, server: ServerId, lease_time: Duration) -> Result<Option<Claim>, StoreError> {
        self.writer
            .run(move |ledger| run::claim(ledger, server, lease_time))
            .await
    }

    async fn renew(&self, lease: Lease, lease_time: Duration) -> Result<(), StoreError> {
        self.writer
            .run(move |ledger| run::renew(ledger, lease, lease_time))
            .await
    }

    async fn release(&self, lease: Lease) -> Result<(), StoreError> {
        self.writer.run(move |ledger| run::release(ledger, lease)).await
    }

    async fn append(&self, lease: Lease, append: Append) -> Result<TaskRecord, StoreError> {
        self.writer.run(move |ledger| run::append(ledger, lease, &append)).await
    }

    async fn conversation(&self, id: TaskId) -> Result<Vec<ConversationEntry>, StoreError> {
        self.readers
            .run(move |connection| queries::conversation(connection, id))
            .await
    }

    async fn request_cancel(
        &self,
        id: TaskId,
        requester: String,
        reason: String,
        now: Timestamp,
    ) -> Result<TaskRecord, StoreError> {
        self.writer
            .run(move |ledger| accept::request_cancel(ledger, id, &requester, &reason, now))
            .await
    }

    async fn post_message(&self, id: TaskId, message: NewMessage) -> Result<Posted, StoreError> {
        self.writer
            .run(move |ledger| accept::post_message(ledger, id, &message))
            .await
    }

    async fn inbox(&self, id: TaskId) -> Result<Vec<InboxMessage>, StoreError> {
        self.readers.run(move |connection| queries::inbox(connection, id)).await
    }

    async fn append_artifact(&self, task: TaskId, artifact: &ArtifactId, data: Bytes) -> Result<(), StoreError> {
        let artifact = artifact.clone();
        self.writer
            .run(move |ledger| artifacts::append(ledger.connection(), task, &artifact, &data))
            .await
    }

    async fn put_artifact(&self, task: TaskId, artifact: &ArtifactId, data: Bytes) -> Result<(), StoreError> {
        let artifact = artifact.clone();
        self.writer
            .run(move |ledger| artifacts::put(ledger.connection(), task, &artifact, &data))
            .await
    }

    async fn read_artifact(
        &self,
        task: TaskId,
        artifact: &ArtifactId,
        offset: u64,
        limit: u32,
    ) -> Result<Option<ArtifactChunk>, StoreError> {
        let artifact = artifact.clone();
        self.readers
            .run(move |connection| artifacts::read(connection, task, &artifact, offset, limit))
            .await
    }

    async fn recall(&self, key: &str) -> Result<Option<String>, StoreError> {
        let key = key.to_owned();
        self.readers
            .run(move |connection| queries::recall(connection, &key))
            .await
    }

    async fn remember(&self, key: &str, value: &str, now: Timestamp) -> Result<(), StoreError> {
        let (key, value) = (key.to_owned(), value.to_owned());
        self.writer
            .run(move |ledger| retention::remember(ledger.connection(), &key, &value, now))
            .await
    }

    async fn delete(&self, id: TaskId) -> Result<(), StoreError> {
        self.writer.run(move |ledger| retention::delete(ledger, id)).await
    }

    async fn trim(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.writer
            .run(move |ledger| retention::forget(ledger.connection(), before, Timestamp::now()))
            .await?;
        let mut trimmed = 0;
        loop {
            // A few Tasks a transaction, so that the appends of runs pass in between.
            let step = self
                .writer
                .run(move |ledger| retention::trim_some(ledger, before))
                .await?;
            if step == 0 {
                return Ok(trimmed);
            }
            trimmed += step;
        }
    }

    async fn live_tasks(&self) -> Result<Vec<TaskRecord>, StoreError> {
        self.readers.run(queries::live_tasks).await
    }

    async fn load(&self) -> Result<StoreLoad, StoreError> {
        self.readers.run(queries::load).await
    }
}
