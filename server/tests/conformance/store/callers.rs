//! What callers write into a Task: cancels and messages.

use backspace_server::store::{Append, InboxMessage, NewMessage, NewTask, Posted, StoreError, Submission};
use backspace_server::task::event::{Ending, EventPayload};
use backspace_server::task::id::{ArtifactId, Sequence, TaskId, Timestamp};
use backspace_server::task::record::TaskRecord;
use backspace_server::task::state::State;

use super::{
    LIMITS, Store, claim, claimed, entered, events, finish, new_task, principal, request, submit, warning, whole_log,
};

fn message(text: &str) -> NewMessage {
    NewMessage {
        text: text.into(),
        request: None,
        principal: principal("a"),
        now: Timestamp(9),
    }
}

async fn cancel(store: &Store, id: TaskId, reason: &str) -> TaskRecord {
    store
        .request_cancel(id, "A".into(), reason.into(), Timestamp(8))
        .await
        .unwrap()
}

fn inbox(texts: &[(u64, &str)]) -> Vec<InboxMessage> {
    let entry = |&(number, text): &(u64, &str)| InboxMessage {
        number,
        text: text.into(),
    };
    texts.iter().map(entry).collect()
}

pub async fn a_cancel_is_recorded_once_and_only_for_live_tasks(store: Store) {
    let lease = claimed(&store).await;
    let record = cancel(&store, lease.task, "wrong branch").await;
    assert_eq!((record.cancel_requested, record.state), (true, State::Queued));
    assert_eq!(cancel(&store, lease.task, "again").await, record);
    let log = whole_log(&store, lease.task, 10).await;
    let expected = EventPayload::CancelRequested {
        requester: "A".into(),
        reason: "wrong branch".into(),
    };
    assert_eq!((log.len(), &log[1].payload, log[1].time), (2, &expected, Timestamp(8)));

    // The run that holds it goes on counting after the caller's event.
    let record = store.append(lease, events([warning("a")])).await.unwrap();
    assert_eq!((record.last_sequence, record.cancel_requested), (Sequence(3), true));
    let end = finish(&store, lease).await;
    assert_eq!(cancel(&store, lease.task, "too late").await, end);

    let waiting = submit(&store, "b", 1).await;
    let ended = cancel(&store, waiting, "").await;
    assert_eq!((ended.state, ended.ending), (State::Cancelled, Some(Ending::Cancelled)));
    assert_eq!(whole_log(&store, waiting, 10).await.len(), 3);
    assert!(claim(&store).await.is_none());
}

pub async fn a_message_is_in_the_log_and_in_the_inbox_until_it_is_read(store: Store) {
    let lease = claimed(&store).await;
    for text in ["one", "two", "three"] {
        let posted = store.post_message(lease.task, message(text)).await.unwrap();
        assert!(matches!(posted, Posted::Accepted(_)), "{posted:?}");
    }
    let all = inbox(&[(1, "one"), (2, "two"), (3, "three")]);
    assert_eq!(store.inbox(lease.task).await.unwrap(), all);
    let texts: Vec<_> = whole_log(&store, lease.task, 10).await.into_iter().skip(1).collect();
    assert!(matches!(&texts[1].payload, EventPayload::UserMessage { text } if text == "two"));

    let read = |number| Append {
        messages_read: Some(number),
        ..Append::default()
    };
    let record = store.append(lease, read(2)).await.unwrap();
    assert_eq!(record.last_sequence, Sequence(4));
    assert_eq!(store.inbox(lease.task).await.unwrap(), inbox(&[(3, "three")]));
    store.append(lease, read(3)).await.unwrap();
    store.post_message(lease.task, message("four")).await.unwrap();
    assert_eq!(store.inbox(lease.task).await.unwrap(), inbox(&[(4, "four")]));
}

pub async fn a_repeated_message_is_accepted_once(store: Store) {
    let lease = claimed(&store).await;
    let keyed = |text, hash| NewMessage {
        request: Some(request(5, hash)),
        ..message(text)
    };
    for _ in 0..2 {
        match store.post_message(lease.task, keyed("one", 1)).await.unwrap() {
            Posted::Accepted(record) => assert_eq!(record.last_sequence, Sequence(2)),
            Posted::TooLate(_) => panic!("too late"),
        }
    }
    let conflict = store.post_message(lease.task, keyed("two", 2)).await;
    assert!(matches!(conflict, Err(StoreError::RequestConflict)), "{conflict:?}");
    assert_eq!(store.inbox(lease.task).await.unwrap(), inbox(&[(1, "one")]));
    // The answer to a repeat stays the same when the Task is over.
    let end = finish(&store, lease).await;
    match store.post_message(lease.task, keyed("one", 1)).await.unwrap() {
        Posted::Accepted(record) => assert_eq!(record, end),
        Posted::TooLate(_) => panic!("too late"),
    }
}

pub async fn a_message_is_too_late_from_publishing_on(store: Store) {
    let lease = claimed(&store).await;
    for state in [State::Preparing, State::Running, State::Verifying, State::Publishing] {
        let posted = store.post_message(lease.task, message("go on")).await.unwrap();
        assert!(matches!(posted, Posted::Accepted(_)), "before {state:?}");
        store.append(lease, events([entered(state)])).await.unwrap();
    }
    let before = store.task(lease.task).await.unwrap().unwrap();
    match store.post_message(lease.task, message("late")).await.unwrap() {
        Posted::TooLate(record) => assert_eq!(record, before),
        Posted::Accepted(_) => panic!("accepted"),
    }
    store.append(lease, events([entered(State::Verifying)])).await.unwrap();
    let posted = store.post_message(lease.task, message("again")).await.unwrap();
    assert!(matches!(posted, Posted::Accepted(_)));
    finish(&store, lease).await;
    let posted = store.post_message(lease.task, message("late")).await.unwrap();
    assert!(matches!(posted, Posted::TooLate(_)));
    assert_eq!(store.inbox(lease.task).await.unwrap().len(), 5);
}

pub async fn nothing_ends_while_an_accepted_message_waits(store: Store) {
    let lease = claimed(&store).await;
    store.post_message(lease.task, message("one")).await.unwrap();
    store.append(lease, events([entered(State::Preparing)])).await.unwrap();
    let closing = |number| Append {
        last_message: Some(number),
        ..events([entered(State::Running)])
    };
    let before = store.task(lease.task).await.unwrap().unwrap();
    let refused = store.append(lease, closing(0)).await;
    assert!(matches!(refused, Err(StoreError::MessageWaiting)), "{refused:?}");
    assert_eq!(store.task(lease.task).await.unwrap().unwrap(), before);
    // Given to the run, or marked as read: both let it pass.
    store.append(lease, closing(1)).await.unwrap();
    let read = Append {
        messages_read: Some(1),
        ..events([entered(State::Verifying)])
    };
    store.append(lease, read).await.unwrap();
    let last = Append {
        last_message: Some(0),
        ..events([entered(State::Publishing)])
    };
    store.append(lease, last).await.unwrap();
}

pub async fn a_late_message_that_became_a_task_stays_too_late(store: Store) {
    let lease = claimed(&store).await;
    finish(&store, lease).await;
    let late = NewMessage {
        request: Some(request(6, 1)),
        ..message("more")
    };
    let next = NewTask {
        request: Some(request(6, 1)),
        continues: Some(lease.task),
        ..new_task("a", 10)
    };
    let id = next.id;
    for round in 0..2 {
        let posted = store.post_message(lease.task, late.clone()).await.unwrap();
        assert!(matches!(posted, Posted::TooLate(_)), "{posted:?}");
        match store.submit(next.clone(), LIMITS).await.unwrap() {
            Submission::Created(record) => assert_eq!((record.id, round), (id, 0)),
            Submission::Joined(record) => assert_eq!((record.id, round), (id, 1)),
        }
    }
}

pub async fn missing_tasks_are_not_found(store: Store) {
    let id = TaskId::random();
    assert_eq!(store.task(id).await.unwrap(), None);
    let artifact = ArtifactId::new("log");
    let results = [
        store.events(id, Sequence::ZERO, 1).await.map(drop),
        store.conversation(id).await.map(drop),
        store.inbox(id).await.map(drop),
        store
            .request_cancel(id, String::new(), String::new(), Timestamp(1))
            .await
            .map(drop),
        store.post_message(id, message("x")).await.map(drop),
        store.append_artifact(id, &artifact, "x".into()).await,
        store.put_artifact(id, &artifact, "x".into()).await,
    ];
    for (number, result) in results.into_iter().enumerate() {
        assert!(matches!(result, Err(StoreError::NotFound)), "{number}: {result:?}");
    }
    assert_eq!(store.read_artifact(id, &artifact, 0, 1).await.unwrap(), None);
}
