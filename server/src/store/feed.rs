//! The feed: replay from the store, then live, as one cursor.
//!
//! A watcher is a position in the log and never a queue, so a slow one costs one page of memory and
//! nobody waits for it. Live payloads pass through a small ring for each Task that is watched and
//! are lost to who is late. Each carries the last durable sequence before it and is shown exactly
//! there: a watcher that has not come that far yet catches up first, one that is further drops it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{broadcast, watch};
use tokio_stream::Stream;

use crate::store::{StoreError, TaskStore};
use crate::task::event::{Event, LivePayload, MAX_EVENT_TEXT_BYTES};
use crate::task::id::{Sequence, TaskId, Timestamp};

/// Live payloads of one Task that a watcher may be behind; older ones are lost to it.
const RING: usize = 64;
/// Events asked for at a time; the store also bounds their bytes.
const PAGE: u32 = 256;

/// One thing that a watcher sees.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "one is in flight for each watcher; a box would only add an allocation"
)]
pub enum FeedItem {
    /// A stored event.
    Durable(Event),
    /// Something shown while it happens; never before the stored events that precede it.
    Live {
        /// When it happened.
        time: Timestamp,
        /// What.
        payload: LivePayload,
    },
}

/// What a watcher wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedContent {
    /// Stored events and live ones.
    All,
    /// Stored events only.
    Durable,
}

/// Carries live payloads from runs to watchers. Clones are the same feed.
#[derive(Clone, Default)]
pub struct Feed {
    channels: Arc<Mutex<HashMap<TaskId, Channel>>>,
}

/// The live side of a Task that is watched.
struct Channel {
    ring: broadcast::Sender<Stamped>,
    /// The last durable sequence since the channel was made; zero before there was one.
    changes: watch::Receiver<Sequence>,
    /// The last durable sequence that a watcher has seen.
    seen: Sequence,
}

#[derive(Clone)]
struct Stamped {
    after: Sequence,
    time: Timestamp,
    payload: LivePayload,
}

impl Feed {
    /// Makes a feed that nobody watches.
    pub fn new() -> Self {
        Self::default()
    }

    /// Shows something to those who watch the Task now. Never waits. A payload of more than 64 KiB is
    /// not shown; readers see the hole by the offset of the next.
    pub fn live(&self, task: TaskId, payload: LivePayload) {
        if payload_bytes(&payload) > MAX_EVENT_TEXT_BYTES {
            return;
        }
        if let Some(channel) = self.lock().get(&task) {
            let after = channel.seen.max(*channel.changes.borrow());
            // It fails when nobody listens, which is as good.
            let _ = channel.ring.send(Stamped {
                after,
                time: Timestamp::now(),
                payload,
            });
        }
    }

    /// Follows a Task from after a cursor to the end of its log.
    ///
    /// A bad cursor or a missing Task is an error in place of the first item. An error ends the stream;
    /// a caller may go on with a new one from the last sequence that it saw.
    pub fn watch(
        &self,
        store: Arc<dyn TaskStore>,
        task: TaskId,
        after: Sequence,
        content: FeedContent,
    ) -> impl Stream<Item = Result<FeedItem, StoreError>> + Send + use<> {
        // Registered before the first query: what is committed after that query wakes this cursor.
        let cursor = Cursor {
            changes: store.changes(task),
            live: (content == FeedContent::All).then(|| self.subscribe(store.as_ref(), task)),
            store,
            task,
            position: after,
            page: VecDeque::new(),
            step: Step::Query,
            held: None,
        };
        futures_util::stream::unfold(Some(cursor), |cursor| async move { cursor?.next().await })
    }

    fn subscribe(&self, store: &dyn TaskStore, task: TaskId) -> Subscription {
        let mut channels = self.lock();
        let channel = channels.entry(task).or_insert_with(|| Channel {
            ring: broadcast::Sender::new(RING),
            changes: store.changes(task),
            seen: Sequence::ZERO,
        });
        Subscription {
            receiver: Some(channel.ring.subscribe()),
            feed: self.clone(),
            task,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TaskId, Channel>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn payload_bytes(payload: &LivePayload) -> usize {
    match payload {
        LivePayload::AssistantDelta { text, .. } => text.len(),
        LivePayload::ToolOutputDelta { data, .. } => data.len(),
    }
}

/// A watcher's place at the live side; the last one to leave clears it away.
struct Subscription {
    /// `None` only while it is being dropped.
    receiver: Option<broadcast::Receiver<Stamped>>,
    feed: Feed,
    task: TaskId,
}

impl Subscription {
    async fn next(&mut self) -> Option<Stamped> {
        let receiver = self.receiver.as_mut()?;
        loop {
            match receiver.recv().await {
                Ok(stamped) => return Some(stamped),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    /// Tells where the log is, for payloads that come before its next event.
    fn saw(&self, position: Sequence) {
        if let Some(channel) = self.feed.lock().get_mut(&self.task) {
            channel.seen = channel.seen.max(position);
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // Before the lock: of two that leave at once, the second must not count the first.
        self.receiver = None;
        let mut channels = self.feed.lock();
        if channels
            .get(&self.task)
            .is_some_and(|channel| channel.ring.receiver_count() == 0)
        {
            channels.remove(&self.task);
        }
    }
}

/// A watcher: where it is, and at most one page of what comes next.
struct Cursor {
    store: Arc<dyn TaskStore>,
    task: TaskId,
    position: Sequence,
    page: VecDeque<Event>,
    step: Step,
    changes: watch::Receiver<Sequence>,
    live: Option<Subscription>,
    /// A live payload that came before the event it follows was read.
    held: Option<Stamped>,
}

/// What to do when the page is empty.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Query,
    Wait,
    End,
}

type Produced = (Result<FeedItem, StoreError>, Option<Cursor>);

impl Cursor {
    async fn next(mut self) -> Option<Produced> {
        loop {
            if let Some(event) = self.page.pop_front() {
                self.position = event.sequence;
                return Some((Ok(FeedItem::Durable(event)), Some(self)));
            }
            match self.step {
                Step::End => return None,
                Step::Query => {
                    if let Err(error) = self.query().await {
                        return Some((Err(error), None));
                    }
                }
                Step::Wait => {
                    if let Some(item) = self.wait().await {
                        return Some((Ok(item), Some(self)));
                    }
                }
            }
        }
    }

    /// Reads the next page.
    async fn query(&mut self) -> Result<(), StoreError> {
        // Marked as seen before the query: a commit after this wakes the next wait.
        let told = *self.changes.borrow_and_update();
        let page = self.store.events(self.task, self.position, PAGE).await?;
        let reached = page.events.last().map(|event| event.sequence);
        self.page = page.events.into();
        self.step = match reached {
            _ if page.finished => Step::End,
            None => Step::Wait,
            Some(last) if told != Sequence::ZERO && last >= told => Step::Wait,
            Some(_) => Step::Query,
        };
        Ok(())
    }

    /// Waits, at the end of the log, for a live payload to show or for a reason to query.
    async fn wait(&mut self) -> Option<FeedItem> {
        if let Some(item) = self.held.take().and_then(|held| self.in_place(held)) {
            return Some(item);
        }
        if let Some(live) = &self.live {
            live.saw(self.position);
        }
        loop {
            // Live ones first: those before the next event belong before it.
            tokio::select! {
                biased;
                Some(stamped) = next_live(&mut self.live) => {
                    if stamped.after > self.position {
                        self.held = Some(stamped);
                        self.step = Step::Query;
                        return None;
                    }
                    if let Some(item) = self.in_place(stamped) {
                        return Some(item);
                    }
                }
                changed = self.changes.changed() => {
                    if changed.is_err() {
                        // The Task ended, was trimmed or is gone; the query says which.
                        self.changes = self.store.changes(self.task);
                    }
                    self.step = Step::Query;
                    return None;
                }
            }
        }
    }

    fn in_place(&self, stamped: Stamped) -> Option<FeedItem> {
        (stamped.after == self.position).then_some(FeedItem::Live {
            time: stamped.time,
            payload: stamped.payload,
        })
    }
}

async fn next_live(live: &mut Option<Subscription>) -> Option<Stamped> {
    match live {
        Some(subscription) => subscription.next().await,
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::Jobs;
    use crate::store::sqlite::SqliteStore;

    #[tokio::test]
    async fn a_task_that_nobody_watches_any_more_leaves_nothing_behind() {
        let folder = tempfile::TempDir::new().unwrap();
        let store: Arc<dyn TaskStore> = Arc::new(SqliteStore::open(folder.path(), Jobs::new()).unwrap());
        let feed = Feed::new();
        let task = TaskId::random();
        let watch = |content| feed.watch(Arc::clone(&store), task, Sequence::ZERO, content);
        let (first, second) = (watch(FeedContent::All), watch(FeedContent::All));
        assert_eq!(feed.lock().len(), 1);
        drop(first);
        assert_eq!(feed.lock().len(), 1);
        drop(second);
        assert_eq!(feed.lock().len(), 0);
        let _durable = watch(FeedContent::Durable);
        assert_eq!(feed.lock().len(), 0);
    }
}
