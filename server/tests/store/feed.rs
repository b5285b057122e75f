//! The feed over a real store: replay, live, cuts and resumes, readers that stall.

use std::pin::Pin;
use std::sync::Arc;

use backspace_server::jobs::Jobs;
use backspace_server::store::feed::{Feed, FeedContent, FeedItem};
use backspace_server::store::{Lease, StoreError};
use backspace_server::task::event::{EventPayload, LivePayload};
use backspace_server::task::id::{Sequence, TaskId, Timestamp};
use futures_util::StreamExt as _;
use proptest::prelude::{Strategy, any, prop, prop_oneof, proptest};
use tokio_stream::Stream;

use crate::conformance::{Store, claim, claimed, events, finish, submit, warning, whole_log};
use crate::{sqlite, sqlite_in_folder};

type Watcher = Pin<Box<dyn Stream<Item = Result<FeedItem, StoreError>> + Send>>;

fn watch(feed: &Feed, store: &Store, task: TaskId, after: u64, content: FeedContent) -> Watcher {
    Box::pin(feed.watch(Arc::clone(store), task, Sequence(after), content))
}

fn delta(text: impl Into<String>) -> LivePayload {
    LivePayload::AssistantDelta {
        turn: 1,
        text: text.into(),
        offset: 0,
        attempt: 1,
    }
}

/// Shortens what a watcher saw to its sequence, or to the text of a live payload.
fn short(item: FeedItem) -> String {
    match item {
        FeedItem::Durable(event) => event.sequence.to_string(),
        FeedItem::Live {
            payload: LivePayload::AssistantDelta { text, .. },
            ..
        } => text,
        FeedItem::Live { payload, .. } => panic!("{payload:?}"),
    }
}

async fn take(watcher: &mut Watcher, count: usize) -> Vec<String> {
    let mut seen = Vec::new();
    while seen.len() < count {
        seen.push(short(watcher.next().await.unwrap().unwrap()));
    }
    seen
}

async fn rest(mut watcher: Watcher) -> Vec<String> {
    let mut seen = Vec::new();
    while let Some(item) = watcher.next().await {
        seen.push(short(item.unwrap()));
    }
    seen
}

#[tokio::test]
async fn live_payloads_are_shown_between_the_events_where_they_happened() {
    let fixture = sqlite();
    let (store, feed) = (&fixture.store, Feed::new());
    let lease = claimed(store).await;
    feed.live(lease.task, delta("before anyone watched"));
    let mut watcher = watch(&feed, store, lease.task, 0, FeedContent::All);
    assert_eq!(take(&mut watcher, 1).await, ["1"]);

    store.append(lease, events([warning("a")])).await.unwrap();
    feed.live(lease.task, delta("a1"));
    feed.live(lease.task, delta("a2"));
    store.append(lease, events([warning("b")])).await.unwrap();
    feed.live(lease.task, delta("b1"));
    let durable = watch(&feed, store, lease.task, 0, FeedContent::Durable);
    // It was at 1 when all this happened: what belongs between 2 and 3 is past when it reads on.
    let seen = take(&mut watcher, 3).await;
    assert_eq!(seen, ["2", "3", "b1"]);

    feed.live(lease.task, delta("b2"));
    assert_eq!(take(&mut watcher, 1).await, ["b2"]);
    store.append(lease, events([warning("c")])).await.unwrap();
    feed.live(lease.task, delta("c1"));
    assert_eq!(take(&mut watcher, 2).await, ["4", "c1"]);
    finish(store, lease).await;
    feed.live(lease.task, delta("after the end"));
    assert_eq!(rest(watcher).await, ["5"]);
    assert_eq!(rest(durable).await, ["1", "2", "3", "4", "5"]);
}

#[tokio::test]
async fn a_bad_cursor_or_a_missing_task_is_an_error_before_the_first_item() {
    let fixture = sqlite();
    let (store, feed) = (&fixture.store, Feed::new());
    let id = submit(store, "a", 1).await;
    let mut past = watch(&feed, store, id, 2, FeedContent::All);
    assert!(matches!(
        past.next().await,
        Some(Err(StoreError::OutOfRange { last: Sequence(1), .. }))
    ));
    assert!(past.next().await.is_none());
    let mut missing = watch(&feed, store, TaskId::random(), 0, FeedContent::All);
    assert!(matches!(missing.next().await, Some(Err(StoreError::NotFound))));
    assert!(missing.next().await.is_none());
}

#[tokio::test]
async fn a_finished_task_replays_and_ends_wherever_one_starts() {
    let fixture = sqlite();
    let (store, feed) = (&fixture.store, Feed::new());
    let lease = claimed(store).await;
    finish(store, lease).await;
    let seen = |after| rest(watch(&feed, store, lease.task, after, FeedContent::All));
    assert_eq!(seen(0).await, ["1", "2"]);
    assert_eq!(seen(1).await, ["2"]);
    assert_eq!(seen(2).await, Vec::<String>::new());
    store.trim(Timestamp(i64::MAX)).await.unwrap();
    assert_eq!(seen(2).await, Vec::<String>::new());
    let mut trimmed = watch(&feed, store, lease.task, 0, FeedContent::All);
    assert!(matches!(trimmed.next().await, Some(Err(StoreError::OutOfRange { .. }))));
}

#[tokio::test]
async fn a_stalled_reader_costs_a_ring_and_misses_no_event() {
    let fixture = sqlite();
    let (store, feed) = (&fixture.store, Feed::new());
    let lease = claimed(store).await;
    let mut stalled = watch(&feed, store, lease.task, 0, FeedContent::All);
    assert_eq!(take(&mut stalled, 1).await, ["1"]);
    assert!(futures_util::poll!(stalled.next()).is_pending());
    let piece: Arc<str> = "x".repeat(1000).into();
    for round in 0..20 {
        store.append(lease, events([warning("a")])).await.unwrap();
        for number in 0..500 {
            feed.live(lease.task, delta(format!("{round}/{number} {piece}")));
        }
    }
    finish(store, lease).await;
    let seen = rest(stalled).await;
    let (live, durable): (Vec<_>, Vec<_>) = seen.into_iter().partition(|item| item.contains('/'));
    let expected: Vec<_> = (2..=22).map(|sequence: u64| sequence.to_string()).collect();
    assert_eq!(durable, expected);
    assert!(live.len() <= 64, "{}", live.len());
}

#[tokio::test]
async fn too_large_a_payload_is_not_shown() {
    let fixture = sqlite();
    let (store, feed) = (&fixture.store, Feed::new());
    let lease = claimed(store).await;
    let mut watcher = watch(&feed, store, lease.task, 0, FeedContent::All);
    assert_eq!(take(&mut watcher, 1).await, ["1"]);
    store.append(lease, events([warning("a")])).await.unwrap();
    feed.live(lease.task, delta("x".repeat(64 * 1024 + 1)));
    feed.live(lease.task, delta("y"));
    assert_eq!(take(&mut watcher, 2).await, ["2", "y"]);
}

#[tokio::test]
async fn a_deleted_task_and_a_closed_store_end_the_stream_with_an_error() {
    let (_folder, store) = sqlite_in_folder();
    let port: Store = store.clone();
    let feed = Feed::new();
    let lease = claimed(&port).await;
    let append = events((0..600).map(|_| warning("a")));
    port.append(lease, append).await.unwrap();
    let mut reader = watch(&feed, &port, lease.task, 0, FeedContent::All);
    take(&mut reader, 1).await;
    finish(&port, lease).await;
    port.delete(lease.task).await.unwrap();
    // What it holds of the log it still gives.
    let mut last = None;
    while let Some(Ok(item)) = reader.next().await {
        last = Some(short(item));
    }
    assert_eq!(last.as_deref(), Some("256"));

    let id = submit(&port, "a", 1).await;
    let mut waiting = watch(&feed, &port, id, 1, FeedContent::All);
    assert!(futures_util::poll!(waiting.next()).is_pending());
    store.close().await;
    let lost = waiting.next().await;
    assert!(matches!(lost, Some(Err(StoreError::Unavailable { .. }))), "{lost:?}");
    assert!(waiting.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_wake_up_is_lost_between_query_and_wait() {
    let fixture = sqlite();
    let (store, feed, jobs) = (fixture.store.clone(), Feed::new(), Jobs::new());
    let lease = claimed(&store).await;
    let readers: Vec<_> = (0..16)
        .map(|number| {
            let content = [FeedContent::All, FeedContent::Durable][number % 2];
            jobs.spawn("reader", rest(watch(&feed, &store, lease.task, 0, content)))
        })
        .collect();
    for number in 0..150 {
        store
            .append(lease, events([warning(number.to_string())]))
            .await
            .unwrap();
    }
    finish(&store, lease).await;
    let expected: Vec<_> = (1..=152).map(|sequence: u64| sequence.to_string()).collect();
    for reader in readers {
        assert_eq!(reader.await.unwrap(), expected);
    }
}

#[derive(Clone, Copy, Debug)]
enum Action {
    Append(usize),
    Live,
    Read(usize),
    Cut,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        3 => (1..5_usize).prop_map(Action::Append),
        3 => any::<()>().prop_map(|()| Action::Live),
        3 => (1..8_usize).prop_map(Action::Read),
        1 => any::<()>().prop_map(|()| Action::Cut),
    ];
    prop::collection::vec(action, 1..40)
}

/// A reader that is cut off and resumes, and checks each thing it sees.
struct Reader {
    feed: Feed,
    store: Store,
    lease: Lease,
    watcher: Watcher,
    seen: u64,
    live: usize,
}

impl Reader {
    fn resume(&mut self) {
        self.watcher = watch(&self.feed, &self.store, self.lease.task, self.seen, FeedContent::All);
    }

    /// Sees one thing; returns false at the end.
    async fn step(&mut self) -> bool {
        match self.watcher.next().await.transpose().unwrap() {
            None => return false,
            Some(FeedItem::Durable(event)) => {
                assert_eq!(event.sequence, Sequence(self.seen + 1));
                self.seen += 1;
            }
            Some(live @ FeedItem::Live { .. }) => {
                assert_eq!(short(live), self.seen.to_string(), "shown in its place");
                self.live += 1;
            }
        }
        true
    }
}

async fn play(store: &Store, script: Vec<Action>) -> usize {
    submit(store, "a", 1).await;
    let lease = claim(store).await.unwrap().lease;
    let feed = Feed::new();
    let mut reader = Reader {
        watcher: watch(&feed, store, lease.task, 0, FeedContent::All),
        feed: feed.clone(),
        store: store.clone(),
        lease,
        seen: 0,
        live: 0,
    };
    let mut last = 1;
    for action in script {
        match action {
            Action::Append(count) => {
                let append = events((0..count).map(|_| warning("a")));
                last = store.append(lease, append).await.unwrap().last_sequence.0;
            }
            Action::Live => feed.live(lease.task, delta(last.to_string())),
            Action::Read(count) => {
                let goal = last.min(reader.seen + count as u64);
                while reader.seen < goal {
                    assert!(reader.step().await);
                }
            }
            Action::Cut => reader.resume(),
        }
    }
    finish(store, lease).await;
    while reader.step().await {}
    assert_eq!(reader.seen, last + 1);
    assert!(matches!(
        whole_log(store, lease.task, 100)
            .await
            .last()
            .map(|event| &event.payload),
        Some(EventPayload::TaskFinished { .. })
    ));
    reader.live
}

#[test]
fn any_cuts_and_resumes_give_each_event_once_and_live_ones_in_their_place() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fixture = sqlite();
    let shown = std::cell::Cell::new(0);
    let config = proptest::test_runner::Config {
        cases: 64,
        failure_persistence: None,
        ..proptest::test_runner::Config::default()
    };
    proptest!(config, |(script in actions())| {
        shown.set(shown.get() + runtime.block_on(play(&fixture.store, script)));
    });
    assert!(shown.get() > 0, "no live payload was ever shown");
}
