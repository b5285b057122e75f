//! Trimming, deleting, and what is remembered for a while.

use backspace_server::store::{Append, ConversationEntry, NewTask, StoreError, Submission};
use backspace_server::task::id::{ArtifactId, Sequence, Timestamp};
use backspace_server::task::record::TaskRecord;

use super::{LIMITS, Store, claim, claimed, events, finish, new_task, request, submit, warning, whole_log};

const FAR: Timestamp = Timestamp(i64::MAX);

async fn full_task(store: &Store) -> TaskRecord {
    let lease = claimed(store).await;
    let append = Append {
        events: vec![warning("a"), warning("b")],
        conversation: vec![ConversationEntry {
            generation: 1,
            body: "x".into(),
        }],
        ..Append::default()
    };
    store.append(lease, append).await.unwrap();
    store
        .put_artifact(lease.task, &ArtifactId::new("log"), "text".into())
        .await
        .unwrap();
    finish(store, lease).await
}

pub async fn a_trimmed_task_says_what_is_left(store: Store) {
    let before = full_task(&store).await;
    assert_eq!(before.last_sequence, Sequence(4));
    assert_eq!(store.trim(FAR).await.unwrap(), 1);
    assert_eq!(store.trim(FAR).await.unwrap(), 0);

    let expected = TaskRecord {
        oldest_sequence: Sequence(5),
        ..before.clone()
    };
    assert_eq!(store.task(before.id).await.unwrap(), Some(expected));
    for after in [0, 3] {
        match store.events(before.id, Sequence(after), 10).await {
            Err(StoreError::OutOfRange {
                after: given,
                oldest,
                last,
            }) => {
                assert_eq!((given, oldest, last), (Sequence(after), Sequence(5), Sequence(4)));
            }
            other => panic!("{other:?}"),
        }
    }
    let end = store.events(before.id, Sequence(4), 10).await.unwrap();
    assert_eq!((end.events.len(), end.finished), (0, true));
    assert_eq!(store.conversation(before.id).await.unwrap(), []);
    let log = store
        .read_artifact(before.id, &ArtifactId::new("log"), 0, 10)
        .await
        .unwrap();
    assert_eq!(log, None);
}

pub async fn only_tasks_that_ended_before_are_trimmed(store: Store) {
    let ended = full_task(&store).await;
    let live = submit(&store, "a", 1).await;
    assert_eq!(store.trim(ended.end_time.unwrap()).await.unwrap(), 0);
    assert_eq!(whole_log(&store, ended.id, 10).await.len(), 4);
    // More than one step of any adapter.
    for time in 2..40 {
        submit(&store, "b", time).await;
    }
    let mut held = None;
    while let Some(claim) = claim(&store).await {
        if claim.task.id == live {
            held = Some(claim.lease);
        } else {
            finish(&store, claim.lease).await;
        }
    }
    assert_eq!(store.trim(FAR).await.unwrap(), 39);
    assert_eq!(whole_log(&store, live, 10).await.len(), 1);
    store
        .append(held.unwrap(), events([warning("still live")]))
        .await
        .unwrap();
}

pub async fn a_deleted_task_is_gone_with_all_that_belongs_to_it(store: Store) {
    let keyed = NewTask {
        request: Some(request(1, 1)),
        ..new_task("a", 1)
    };
    let id = keyed.id;
    store.submit(keyed.clone(), LIMITS).await.unwrap();
    assert!(matches!(store.delete(id).await, Err(StoreError::StillLive)));
    let lease = claim(&store).await.unwrap().lease;
    store
        .put_artifact(id, &ArtifactId::new("log"), "text".into())
        .await
        .unwrap();
    let mut follower = store.changes(id);
    finish(&store, lease).await;
    follower.borrow_and_update();
    store.delete(id).await.unwrap();
    store.delete(id).await.unwrap();

    assert!(follower.changed().await.is_err());
    assert_eq!(store.task(id).await.unwrap(), None);
    assert!(matches!(
        store.events(id, Sequence::ZERO, 1).await,
        Err(StoreError::NotFound)
    ));
    assert!(matches!(
        store.append(lease, events([])).await,
        Err(StoreError::NotFound | StoreError::LeaseLost)
    ));
    assert_eq!(
        store.read_artifact(id, &ArtifactId::new("log"), 0, 1).await.unwrap(),
        None
    );
    // Its request id and its id are free again, and nothing of it shows in the new Task.
    let Submission::Created(record) = store.submit(keyed, LIMITS).await.unwrap() else {
        panic!("joined a deleted task");
    };
    assert_eq!(record.last_sequence, Sequence(1));
    assert_eq!(whole_log(&store, id, 10).await.len(), 1);
}

pub async fn remembered_values_are_replaced_and_forgotten(store: Store) {
    assert_eq!(store.recall("k").await.unwrap(), None);
    store.remember("k", "one", Timestamp(10)).await.unwrap();
    store.remember("k", "two", Timestamp(20)).await.unwrap();
    store.remember("old", "x", Timestamp(10)).await.unwrap();
    assert_eq!(store.recall("k").await.unwrap().as_deref(), Some("two"));
    store.trim(Timestamp(20)).await.unwrap();
    assert_eq!(store.recall("k").await.unwrap().as_deref(), Some("two"));
    assert_eq!(store.recall("old").await.unwrap(), None);
}
