//! Groups whose members fail, disks that are full, callers that go away.

use std::sync::mpsc::channel;
use std::time::Duration;

use futures_util::future::join;
use tempfile::TempDir;

use super::*;
use crate::jobs::Jobs;
use crate::store::sqlite::{SqliteStore, accept, artifacts, run};
use crate::store::{Append, Claim, Lease, NewTask, QueueLimits, TaskStore as _};
use crate::task::event::EventPayload;
use crate::task::id::{ArtifactId, PrincipalId, Sequence, ServerId, TaskId, Timestamp};
use crate::task::spec::{SpecPolicy, TaskSpec, TaskSpecDraft};
use crate::task::state::State;

const LIMITS: QueueLimits = QueueLimits {
    per_principal: 100,
    total: 100,
};
const LONG: Duration = Duration::from_secs(3600);

fn new_task() -> NewTask {
    let draft = TaskSpecDraft {
        instruction: "Add tests".into(),
        repository_url: "https://github.com/octo/hello".into(),
        ..TaskSpecDraft::default()
    };
    NewTask {
        id: TaskId::random(),
        principal: PrincipalId::new("a"),
        requester: "A".into(),
        spec: TaskSpec::parse(draft, &SpecPolicy::default()).unwrap(),
        request: None,
        continues: None,
        now: Timestamp::now(),
    }
}

fn warning(text: &str) -> Append {
    Append {
        events: vec![EventPayload::Warning { message: text.into() }],
        ..Append::default()
    }
}

async fn claimed(store: &SqliteStore) -> Lease {
    store.submit(new_task(), LIMITS).await.unwrap();
    store.claim(ServerId::random(), LONG).await.unwrap().unwrap().lease
}

async fn last_sequence(store: &SqliteStore, lease: Lease) -> Sequence {
    store.task(lease.task).await.unwrap().unwrap().last_sequence
}

fn open() -> (TempDir, Arc<SqliteStore>) {
    let folder = TempDir::new().unwrap();
    let store = Arc::new(SqliteStore::open(folder.path(), Jobs::new()).unwrap());
    (folder, store)
}

/// Keeps the writer busy until the sender is used, so that what is queued meanwhile becomes one group.
async fn hold(store: &Arc<SqliteStore>, jobs: &Jobs) -> (std::sync::mpsc::Sender<()>, tokio::task::JoinHandle<()>) {
    let (release, released) = channel();
    let (started, has_started) = tokio::sync::oneshot::channel();
    let mut started = Some(started);
    let holder = Arc::clone(store);
    let handle = jobs.spawn("hold", async move {
        let wait = move |_: &mut Ledger| {
            started.take().unwrap().send(()).unwrap();
            released.recv().unwrap();
            Ok(())
        };
        holder.writer.run(wait).await.unwrap();
    });
    has_started.await.unwrap();
    (release, handle)
}

/// Limits the file to the pages it has and a few more; `None` lifts the limit.
async fn limit_pages(store: &SqliteStore, spare: Option<i64>) {
    let set = move |ledger: &mut Ledger| {
        let connection = ledger.connection();
        let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
        let most = spare.map_or(1 << 30, |spare| pages + spare);
        connection.pragma_update_and_check(None, "max_page_count", most, |_| Ok(()))?;
        Ok(())
    };
    store.writer.run(set).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_refuses_writes_whole_and_heals_by_itself() {
    let (_folder, store) = open();
    let lease = claimed(&store).await;
    limit_pages(&store, Some(2)).await;

    let large = warning(&"x".repeat(60_000));
    let error = store.append(lease, large.clone()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert_eq!(last_sequence(&store, lease).await, Sequence(1));
    let page = store.events(lease.task, Sequence::ZERO, 10).await.unwrap();
    assert_eq!(page.events.len(), 1);

    limit_pages(&store, None).await;
    assert_eq!(store.append(lease, large).await.unwrap().last_sequence, Sequence(2));
}

#[tokio::test]
async fn a_write_that_does_not_fit_leaves_its_neighbours_alone() {
    let (_folder, store) = open();
    let jobs = Jobs::new();
    let lease = claimed(&store).await;
    limit_pages(&store, Some(4)).await;
    let (release, held) = hold(&store, &jobs).await;
    let artifact = ArtifactId::new("log");
    let large = store.append_artifact(lease.task, &artifact, vec![7; 4 << 20].into());
    let small = store.append(lease, warning("small"));
    let (large, small, ()) = tokio::join!(large, small, async { release.send(()).unwrap() });
    held.await.unwrap();
    assert!(matches!(large, Err(StoreError::Unavailable { .. })), "{large:?}");
    assert_eq!(small.unwrap().last_sequence, Sequence(2));
    assert_eq!(store.read_artifact(lease.task, &artifact, 0, 10).await.unwrap(), None);
}

#[tokio::test]
async fn an_illegal_append_writes_nothing_and_its_neighbours_count_on() {
    let (_folder, store) = open();
    let jobs = Jobs::new();
    let lease = claimed(&store).await;
    let (release, held) = hold(&store, &jobs).await;
    let mut illegal = warning("never seen");
    illegal.events.push(EventPayload::StateChanged {
        state: State::Publishing,
    });
    let (before, middle, after, ()) = tokio::join!(
        store.append(lease, warning("before")),
        store.append(lease, illegal),
        store.append(lease, warning("after")),
        async { release.send(()).unwrap() }
    );
    held.await.unwrap();
    assert_eq!(before.unwrap().last_sequence, Sequence(2));
    assert!(matches!(middle, Err(StoreError::Illegal(_))), "{middle:?}");
    let after = after.unwrap();
    assert_eq!((after.last_sequence, after.state), (Sequence(3), State::Queued));
    assert_eq!(store.task(lease.task).await.unwrap().unwrap(), after);
}

#[tokio::test]
async fn when_sqlite_gives_up_the_transaction_each_operation_is_tried_alone() {
    let (_folder, store) = open();
    let jobs = Jobs::new();
    let lease = claimed(&store).await;
    let (release, held) = hold(&store, &jobs).await;
    let before = store.append(lease, warning("before"));
    let broken = store.writer.run(|ledger| {
        ledger.connection().execute_batch("ROLLBACK")?;
        Err::<(), _>(StoreError::NotFound)
    });
    let after = store.append(lease, warning("after"));
    let (before, broken, after, ()) = tokio::join!(before, broken, after, async { release.send(()).unwrap() });
    held.await.unwrap();
    assert!(broken.is_err());
    assert_eq!(before.unwrap().last_sequence, Sequence(2));
    assert_eq!(after.unwrap().last_sequence, Sequence(3));
    let page = store.events(lease.task, Sequence::ZERO, 10).await.unwrap();
    assert_eq!(page.events.len(), 3);
}

#[tokio::test]
async fn a_claim_that_was_rolled_back_holds_nothing() {
    let (_folder, store) = open();
    store.submit(new_task(), LIMITS).await.unwrap();
    let failed = store.writer.run(|ledger| {
        let claim = run::claim(ledger, ServerId::random(), LONG)?;
        assert!(claim.is_some());
        Err::<(), _>(StoreError::NotFound)
    });
    assert!(failed.await.is_err());
    let Claim { lease, .. } = store.claim(ServerId::random(), LONG).await.unwrap().unwrap();
    assert_eq!(lease.epoch.0, 1);
}

#[tokio::test]
async fn a_write_whose_caller_has_gone_is_whole_or_not_begun() {
    let (_folder, store) = open();
    let jobs = Jobs::new();
    let (release, held) = hold(&store, &jobs).await;
    let (gone, stays) = (new_task(), new_task());
    let id = gone.id;
    {
        let abandoned = std::pin::pin!(store.submit(gone, LIMITS));
        let ready = std::future::ready(());
        // One poll queues it; then it is dropped.
        assert!(matches!(
            futures_util::future::select(abandoned, ready).await,
            futures_util::future::Either::Right(_)
        ));
    }
    let (stays, ()) = join(store.submit(stays, LIMITS), async { release.send(()).unwrap() }).await;
    held.await.unwrap();
    stays.unwrap();
    let record = store.task(id).await.unwrap().unwrap();
    assert_eq!(record.last_sequence, Sequence(1));
    assert_eq!(store.events(id, Sequence::ZERO, 9).await.unwrap().events.len(), 1);
}

#[tokio::test]
async fn a_closed_store_refuses_and_a_task_that_no_run_holds_leaves_memory() {
    let (_folder, store) = open();
    let lease = claimed(&store).await;
    store.append(lease, warning("kept in memory")).await.unwrap();
    let held = |store: Arc<SqliteStore>| async move { store.writer.run(|ledger| Ok(ledger.held_in_memory())).await };
    assert_eq!(held(Arc::clone(&store)).await.unwrap(), 1);
    store.release(lease).await.unwrap();
    let id = lease.task;
    let cancel = move |ledger: &mut Ledger| accept::request_cancel(ledger, id, "A", "", Timestamp::now());
    store.writer.run(cancel).await.unwrap();
    assert_eq!(held(Arc::clone(&store)).await.unwrap(), 0);
    let name = ArtifactId::new("x");
    let put = move |ledger: &mut Ledger| artifacts::put(ledger.connection(), id, &name, &bytes::Bytes::new());
    store.writer.run(put).await.unwrap();

    store.close().await;
    assert!(matches!(store.task(id).await, Err(StoreError::Unavailable { .. })));
    assert!(matches!(
        store.release(lease).await,
        Err(StoreError::Unavailable { .. })
    ));
}
