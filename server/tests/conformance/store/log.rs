//! The log: sequences, appends, pages, wake-ups, and what is stored beside it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use backspace_server::jobs::Jobs;
use backspace_server::store::{Append, ArtifactPiece, ConversationEntry, EventPage, StoreError};
use backspace_server::task::event::{CutText, Event, EventPayload};
use backspace_server::task::id::{ArtifactId, ObjectId, Sequence, TaskId};
use backspace_server::task::record::{Base, IllegalEvent, RunProgress};
use backspace_server::task::result::{Evidence, Verdict};
use backspace_server::task::state::State;

use super::{Store, claim, claimed, entered, events, finish, finished, messages, submit, warning, whole_log};

pub async fn sequences_are_gapless_and_events_come_back_as_written(store: Store) {
    let lease = claimed(&store).await;
    let tree: ObjectId = "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
    let written = vec![
        entered(State::Preparing),
        EventPayload::AssistantMessage {
            turn: 1,
            text: CutText::new("line\nline \u{1f600} \u{0} \u{7f} \"quoted\""),
            model: "scripted/demo".into(),
        },
        EventPayload::VerificationFinished {
            call_id: backspace_server::task::id::CallId::new("c"),
            evidence: Evidence {
                command: "cargo test".into(),
                exit_code: Some(-1),
                duration: Duration::new(3, 999_999_999),
                tree,
                baseline: true,
                timed_out: false,
                verdict: Verdict::FailedOnBaseToo,
            },
            output: CutText::default(),
            round: u32::MAX,
        },
        EventPayload::ContextCompacted {
            tokens_before: u64::MAX,
            tokens_after: 0,
        },
        finished(),
    ];
    let (first, second) = written.split_at(2);
    let record = store.append(lease, events(first.to_vec())).await.unwrap();
    assert_eq!(record.last_sequence, Sequence(3));
    let record = store.append(lease, events(second.to_vec())).await.unwrap();
    assert_eq!(record.last_sequence, Sequence(6));

    let log = whole_log(&store, lease.task, 2).await;
    let payloads: Vec<_> = log.into_iter().skip(1).map(|event| event.payload).collect();
    assert_eq!(payloads, written);
}

pub async fn eight_appenders_over_many_tasks_leave_no_gap(store: Store) {
    let mut leases = Vec::new();
    for number in 0..5 {
        submit(&store, "a", number).await;
        leases.push(claim(&store).await.unwrap().lease);
    }
    let jobs = Jobs::new();
    let appenders: Vec<_> = (0..8_usize)
        .map(|appender| {
            let (store, leases) = (store.clone(), leases.clone());
            jobs.spawn("appender", async move {
                let mut answers = Vec::new();
                for round in 0..20 {
                    let lease = leases[(appender + round) % leases.len()];
                    let name = format!("{appender}/{round}");
                    let append = events([warning(format!("{name}/a")), warning(format!("{name}/b"))]);
                    let record = store.append(lease, append).await.unwrap();
                    answers.push((lease.task, record.last_sequence, name));
                }
                answers
            })
        })
        .collect();
    let mut logs: HashMap<TaskId, Vec<Event>> = HashMap::new();
    // All have ended before a log is read: what one was told may stand behind what another still wrote.
    let mut told = Vec::new();
    for appender in appenders {
        told.push(appender.await.unwrap());
    }
    for answers in told {
        for (task, last, name) in answers {
            if let Entry::Vacant(unread) = logs.entry(task) {
                unread.insert(whole_log(&store, task, 7).await);
            }
            // What the appender was told is where its two events are, side by side.
            let end = usize::try_from(last.0).unwrap();
            let own = messages(&logs[&task][end - 2..end]);
            assert_eq!(own, [format!("{name}/a"), format!("{name}/b")]);
        }
    }
    let total: usize = logs.values().map(Vec::len).sum();
    assert_eq!(total, 5 + 8 * 20 * 2);
}

pub async fn an_append_is_all_there_or_nothing_of_it(store: Store) {
    let lease = claimed(&store).await;
    let before = store.task(lease.task).await.unwrap().unwrap();
    let exchanges = ArtifactId::new("exchanges");
    let append = Append {
        events: vec![warning("a"), entered(State::Publishing)],
        progress: Some(RunProgress {
            turn: 9,
            ..RunProgress::default()
        }),
        conversation: vec![ConversationEntry {
            generation: 3,
            body: "x".into(),
        }],
        messages_read: Some(1),
        last_message: Some(1),
        artifacts: vec![ArtifactPiece {
            artifact: exchanges.clone(),
            data: "x".into(),
        }],
    };
    let error = store.append(lease, append).await.unwrap_err();
    let expected = IllegalEvent::Transition {
        from: State::Queued,
        to: State::Publishing,
    };
    assert!(
        matches!(&error, StoreError::Illegal(illegal) if *illegal == expected),
        "{error:?}"
    );
    assert_eq!(store.task(lease.task).await.unwrap().unwrap(), before);
    assert_eq!(store.conversation(lease.task).await.unwrap(), []);
    assert_eq!(store.read_artifact(lease.task, &exchanges, 0, 9).await.unwrap(), None);
    assert_eq!(whole_log(&store, lease.task, 10).await.len(), 1);

    let record = store.append(lease, events([warning("b")])).await.unwrap();
    assert_eq!(record.last_sequence, Sequence(2));
}

pub async fn nothing_follows_the_end(store: Store) {
    let lease = claimed(&store).await;
    let append = events([warning("a"), finished(), warning("b")]);
    assert!(matches!(
        store.append(lease, append).await,
        Err(StoreError::Illegal(IllegalEvent::Finished))
    ));
    let record = finish(&store, lease).await;
    assert_eq!((record.state, record.last_sequence), (State::Cancelled, Sequence(2)));
    let after = store.append(lease, events([warning("c")])).await;
    assert!(
        matches!(after, Err(StoreError::Illegal(IllegalEvent::Finished))),
        "{after:?}"
    );
    store.release(lease).await.unwrap();
    assert_eq!(whole_log(&store, lease.task, 10).await.len(), 2);
    assert!(claim(&store).await.is_none());
}

pub async fn pages_are_bounded_by_count_and_by_bytes(store: Store) {
    let lease = claimed(&store).await;
    let page = |after, limit| {
        let store = store.clone();
        async move {
            let EventPage { events, finished } = store.events(lease.task, Sequence(after), limit).await.unwrap();
            (
                events.iter().map(|event| event.sequence.0).collect::<Vec<_>>(),
                finished,
            )
        }
    };
    store
        .append(lease, events((0..10).map(|_| warning("x".repeat(30_000)))))
        .await
        .unwrap();
    assert_eq!(page(0, 3).await, (vec![1, 2, 3], false));
    let (by_bytes, _) = page(0, 1000).await;
    assert!((2..=6).contains(&by_bytes.len()), "{by_bytes:?}");
    assert_eq!(page(11, 10).await, (vec![], false));
    finish(&store, lease).await;
    assert_eq!(page(10, 1).await, (vec![11], false));
    assert_eq!(page(11, 1).await, (vec![12], true));
    assert_eq!(page(12, 1).await, (vec![], true));

    // One event larger than a page still comes.
    submit(&store, "a", 1).await;
    let lease = claim(&store).await.unwrap().lease;
    let append = events([warning("x".repeat(200_000)), warning("y")]);
    store.append(lease, append).await.unwrap();
    let page = store.events(lease.task, Sequence(1), 10).await.unwrap();
    assert_eq!(page.events.len(), 1);
}

pub async fn a_cursor_past_the_end_is_out_of_range(store: Store) {
    let id = submit(&store, "a", 1).await;
    for after in [2, 3, u64::MAX] {
        match store.events(id, Sequence(after), 1).await {
            Err(StoreError::OutOfRange {
                after: given,
                oldest,
                last,
            }) => {
                assert_eq!((given, oldest, last), (Sequence(after), Sequence(1), Sequence(1)));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(store.events(id, Sequence(1), 1).await.unwrap().events, []);
}

pub async fn a_follower_is_woken_before_the_append_returns(store: Store) {
    let lease = claimed(&store).await;
    let (mut early, mut twin) = (store.changes(lease.task), store.changes(lease.task));
    assert_eq!(*early.borrow(), Sequence::ZERO);
    store.append(lease, events([warning("a")])).await.unwrap();
    assert!(early.has_changed().unwrap());
    assert_eq!(*early.borrow_and_update(), Sequence(2));
    store.append(lease, events([warning("b"), warning("c")])).await.unwrap();
    assert_eq!(*early.borrow_and_update(), Sequence(4));
    finish(&store, lease).await;
    assert_eq!(*twin.borrow_and_update(), Sequence(5));
    // Nothing comes any more, and the follower hears that.
    assert!(twin.changed().await.is_err());
}

pub async fn only_the_highest_generation_of_a_conversation_is_kept(store: Store) {
    let lease = claimed(&store).await;
    let entry = |generation, body: &'static str| ConversationEntry {
        generation,
        body: body.into(),
    };
    let converse = |entries: Vec<ConversationEntry>| {
        let append = Append {
            conversation: entries,
            ..Append::default()
        };
        store.append(lease, append)
    };
    converse(vec![entry(0, "a"), entry(0, "b")]).await.unwrap();
    converse(vec![entry(0, "c")]).await.unwrap();
    let kept = store.conversation(lease.task).await.unwrap();
    assert_eq!(kept, [entry(0, "a"), entry(0, "b"), entry(0, "c")]);

    converse(vec![entry(2, "d")]).await.unwrap();
    assert!(converse(vec![entry(2, "never"), entry(1, "old")]).await.is_err());
    store.release(lease).await.unwrap();
    let lease = claim(&store).await.unwrap().lease;
    let append = Append {
        conversation: vec![entry(2, "e")],
        ..Append::default()
    };
    store.append(lease, append).await.unwrap();
    assert_eq!(
        store.conversation(lease.task).await.unwrap(),
        [entry(2, "d"), entry(2, "e")]
    );
}

pub async fn progress_is_stored_beside_the_events(store: Store) {
    let lease = claimed(&store).await;
    let tree: ObjectId = "a".repeat(40).parse().unwrap();
    let progress = RunProgress {
        runs: 2,
        base: Some(Base {
            commit: tree.clone(),
            tree,
            branch: "main".into(),
        }),
        elapsed: Duration::from_millis(1500),
        ..RunProgress::default()
    };
    let append = Append {
        events: vec![warning("a")],
        progress: Some(progress.clone()),
        ..Append::default()
    };
    let told = store.append(lease, append).await.unwrap();
    assert_eq!((&told.progress, told.last_sequence), (&progress, Sequence(2)));
    store.append(lease, events([entered(State::Preparing)])).await.unwrap();
    let stored = store.task(lease.task).await.unwrap().unwrap();
    assert_eq!((stored.progress, stored.state), (progress, State::Preparing));
}
