//! The queue: submits, claims and their fairness, leases, the list.

use std::collections::HashSet;
use std::time::Duration;

use backspace_server::jobs::Jobs;
use backspace_server::store::{NewTask, QueueLimits, QueueScope, StoreError, StoreLoad, Submission, TaskQuery};
use backspace_server::task::id::{Epoch, Sequence, ServerId, TaskId, Timestamp};
use backspace_server::task::state::State;

use super::{
    LIMITS, LONG, Store, claim, claimed, entered, events, finish, new_task, principal, request, spec, submit, warning,
    whole_log,
};

const DAY_US: i64 = 24 * 3600 * 1_000_000;

pub async fn a_submitted_task_is_queued_with_its_first_event(store: Store) {
    let task = NewTask {
        continues: Some(TaskId::random()),
        ..new_task("a", 77)
    };
    let Submission::Created(record) = store.submit(task.clone(), LIMITS).await.unwrap() else {
        panic!("joined");
    };
    assert_eq!(store.task(task.id).await.unwrap().as_ref(), Some(&record));
    assert_eq!(
        (record.id, record.principal, record.spec),
        (task.id, task.principal, task.spec)
    );
    assert_eq!((record.continues, record.create_time), (task.continues, Timestamp(77)));
    assert_eq!((record.state, record.last_sequence), (State::Queued, Sequence(1)));
    let log = whole_log(&store, task.id, 10).await;
    assert_eq!(log.len(), 1);
    assert_eq!((&log[0].payload, log[0].time), (&entered(State::Queued), Timestamp(77)));
}

pub async fn a_repeated_request_joins_its_task_and_another_spec_is_refused(store: Store) {
    let with_hash = |hash| NewTask {
        request: Some(request(1, hash)),
        ..new_task("a", 1)
    };
    let first = with_hash(1);
    let id = first.id;
    store.submit(first, LIMITS).await.unwrap();
    let claim = claim(&store).await.unwrap();
    let record = store.append(claim.lease, events([warning("a")])).await.unwrap();
    match store.submit(with_hash(1), LIMITS).await.unwrap() {
        Submission::Joined(joined) => assert_eq!(joined, record),
        Submission::Created(other) => panic!("made {}", other.id),
    }
    let other = NewTask {
        spec: spec("Something else"),
        ..with_hash(2)
    };
    let refused = other.id;
    assert!(matches!(
        store.submit(other, LIMITS).await,
        Err(StoreError::RequestConflict)
    ));
    assert_eq!(store.task(refused).await.unwrap(), None);
    assert_eq!(store.task(id).await.unwrap(), Some(record));
}

pub async fn a_request_id_belongs_to_its_principal_for_seven_days(store: Store) {
    let at = |owner, time, hash| NewTask {
        request: Some(request(1, hash)),
        ..new_task(owner, time)
    };
    let id = |submission| match submission {
        Submission::Created(record) => (record.id, "created"),
        Submission::Joined(record) => (record.id, "joined"),
    };
    let first = at("a", 0, 1);
    let made = first.id;
    store.submit(first, LIMITS).await.unwrap();
    assert_eq!(id(store.submit(at("b", 1, 2), LIMITS).await.unwrap()).1, "created");
    let late = store.submit(at("a", 7 * DAY_US - 1, 1), LIMITS).await.unwrap();
    assert_eq!(id(late), (made, "joined"));
    let (anew, how) = id(store.submit(at("a", 7 * DAY_US, 2), LIMITS).await.unwrap());
    assert_eq!(how, "created");
    let joined = store.submit(at("a", 7 * DAY_US + 1, 2), LIMITS).await.unwrap();
    assert_eq!(id(joined), (anew, "joined"));
}

pub async fn full_queues_refuse_and_a_repeat_still_joins(store: Store) {
    let limits = QueueLimits {
        per_principal: 2,
        total: 3,
    };
    let scope = |result: Result<Submission, StoreError>| match result {
        Err(StoreError::QueueFull { scope }) => Some(scope),
        Ok(_) => None,
        Err(error) => panic!("{error:?}"),
    };
    let first = NewTask {
        request: Some(request(1, 1)),
        ..new_task("a", 1)
    };
    assert_eq!(scope(store.submit(first.clone(), limits).await), None);
    assert_eq!(scope(store.submit(new_task("a", 2), limits).await), None);
    assert_eq!(
        scope(store.submit(new_task("a", 3), limits).await),
        Some(QueueScope::Principal)
    );
    assert_eq!(scope(store.submit(new_task("b", 4), limits).await), None);
    assert_eq!(
        scope(store.submit(new_task("b", 5), limits).await),
        Some(QueueScope::Server)
    );
    assert!(matches!(store.submit(first, limits).await, Ok(Submission::Joined(_))));
    assert_eq!(store.load().await.unwrap(), StoreLoad { queued: 3, live: 0 });

    // A Task that has begun waits no longer.
    let lease = claim(&store).await.unwrap().lease;
    store.append(lease, events([entered(State::Preparing)])).await.unwrap();
    assert_eq!(store.load().await.unwrap(), StoreLoad { queued: 2, live: 1 });
    assert_eq!(scope(store.submit(new_task("a", 6), limits).await), None);
    finish(&store, lease).await;
    assert_eq!(store.load().await.unwrap(), StoreLoad { queued: 3, live: 0 });
}

pub async fn a_claim_takes_the_oldest_and_each_task_once(store: Store) {
    let (second, first) = (submit(&store, "a", 20).await, submit(&store, "a", 10).await);
    let claims = [claim(&store).await.unwrap(), claim(&store).await.unwrap()];
    assert_eq!(claims.each_ref().map(|claim| claim.task.id), [first, second]);
    assert_eq!(claims.each_ref().map(|claim| claim.lease.task), [first, second]);
    assert_eq!(claims.each_ref().map(|claim| claim.lease.epoch), [Epoch(1), Epoch(1)]);
    assert!(claim(&store).await.is_none());
}

pub async fn the_principal_with_the_fewest_claims_comes_first(store: Store) {
    let mut tasks = Vec::new();
    for (owner, time) in [("a", 1), ("a", 2), ("a", 3), ("b", 4), ("b", 5), ("c", 6)] {
        tasks.push((submit(&store, owner, time).await, format!("{owner}{time}")));
    }
    let mut order = Vec::new();
    let mut leases = Vec::new();
    for _ in 0..4 {
        let claim = claim(&store).await.unwrap();
        let name = &tasks.iter().find(|(id, _)| *id == claim.task.id).unwrap().1;
        order.push(name.clone());
        leases.push(claim.lease);
    }
    assert_eq!(order, ["a1", "b4", "c6", "a2"]);
    // With these over, `a` has none running and `b` and `c` have one each.
    finish(&store, leases[0]).await;
    finish(&store, leases[3]).await;
    assert_eq!(claim(&store).await.unwrap().task.id, tasks[2].0);
}

pub async fn left_behind_tasks_come_before_queued_ones(store: Store) {
    submit(&store, "a", 1).await;
    let left = submit(&store, "b", 2).await;
    let (busy, lease) = (claim(&store).await.unwrap(), claim(&store).await.unwrap().lease);
    assert_eq!((busy.task.principal.as_str(), lease.task), ("a", left));
    store.append(lease, events([entered(State::Preparing)])).await.unwrap();
    submit(&store, "c", 0).await;
    store.release(lease).await.unwrap();
    let claim = claim(&store).await.unwrap();
    assert_eq!((claim.task.id, claim.task.state), (left, State::Preparing));
    assert_eq!(claim.lease.epoch, Epoch(2));
}

pub async fn a_zombie_run_writes_nothing(store: Store) {
    let id = submit(&store, "a", 1).await;
    let zombie = store
        .claim(ServerId::random(), Duration::ZERO)
        .await
        .unwrap()
        .unwrap()
        .lease;
    // Late, but nobody else has the Task: the run may go on.
    store.append(zombie, events([warning("late")])).await.unwrap();
    let lease = claim(&store).await.unwrap().lease;
    assert_eq!((lease.task, lease.epoch), (id, Epoch(2)));
    let before = store.task(id).await.unwrap();
    let refused = [
        store.append(zombie, events([warning("zombie")])).await.map(drop),
        store.append(zombie, events([])).await.map(drop),
        store.renew(zombie, LONG).await,
        store.release(zombie).await,
    ];
    for result in refused {
        assert!(matches!(result, Err(StoreError::LeaseLost)), "{result:?}");
    }
    assert_eq!(store.task(id).await.unwrap(), before);
    let record = store.append(lease, events([warning("alive")])).await.unwrap();
    assert_eq!(record.last_sequence, Sequence(3));
    finish(&store, lease).await;
    let after_end = store.append(zombie, events([warning("zombie")])).await;
    assert!(matches!(after_end, Err(StoreError::LeaseLost)), "{after_end:?}");
    assert_eq!(whole_log(&store, id, 10).await.len(), 4);
}

pub async fn an_expired_lease_is_claimed_anew_unless_it_was_renewed(store: Store) {
    submit(&store, "a", 1).await;
    let server = ServerId::random();
    let expired = store.claim(server, Duration::ZERO).await.unwrap().unwrap().lease;
    store.renew(expired, LONG).await.unwrap();
    assert!(claim(&store).await.is_none());
    store.renew(expired, Duration::ZERO).await.unwrap();
    let next = claim(&store).await.unwrap().lease;
    assert_eq!((next.task, next.epoch), (expired.task, Epoch(2)));
}

pub async fn a_released_lease_is_void(store: Store) {
    let lease = claimed(&store).await;
    store.release(lease).await.unwrap();
    assert!(matches!(
        store.append(lease, events([warning("a")])).await,
        Err(StoreError::LeaseLost)
    ));
    assert!(matches!(store.release(lease).await, Err(StoreError::LeaseLost)));
    assert!(matches!(store.renew(lease, LONG).await, Err(StoreError::LeaseLost)));
    let again = claim(&store).await.unwrap();
    assert_eq!((again.lease.epoch, again.task.last_sequence), (Epoch(2), Sequence(1)));
}

pub async fn concurrent_claims_never_share_a_task(store: Store) {
    let mut expected = HashSet::new();
    for number in 0..12 {
        expected.insert(submit(&store, ["a", "b", "c"][number % 3], 1).await);
    }
    let jobs = Jobs::new();
    let claimers: Vec<_> = (0..8)
        .map(|_| {
            let store = store.clone();
            jobs.spawn("claimer", async move {
                let mut tasks = Vec::new();
                while let Some(claim) = claim(&store).await {
                    tasks.push(claim.task.id);
                }
                tasks
            })
        })
        .collect();
    let mut claimed = Vec::new();
    for claimer in claimers {
        claimed.extend(claimer.await.unwrap());
    }
    assert_eq!(claimed.len(), expected.len());
    assert_eq!(claimed.into_iter().collect::<HashSet<_>>(), expected);
}

pub async fn a_list_is_newest_first_and_pages_without_a_hole(store: Store) {
    let mut expected = Vec::new();
    for time in [5, 5, 5, 3, 9, 5, 1] {
        expected.push((time, submit(&store, "a", time).await));
    }
    submit(&store, "b", 4).await;
    expected.sort_by_key(|(time, id)| (-time, *id));
    let expected: Vec<_> = expected.into_iter().map(|(_, id)| id).collect();
    let query = TaskQuery {
        principal: principal("a"),
        states: Vec::new(),
        limit: 100,
        after: None,
    };
    let ids = |query: TaskQuery| {
        let store = store.clone();
        async move {
            let tasks = store.list(query).await.unwrap();
            tasks
                .into_iter()
                .map(|task| (task.id, task.create_time))
                .collect::<Vec<_>>()
        }
    };
    let whole = ids(query.clone()).await;
    assert_eq!(whole.iter().map(|(id, _)| *id).collect::<Vec<_>>(), expected);
    let mut paged = Vec::new();
    loop {
        let after = paged.last().map(|(id, time)| (*time, *id));
        let page = ids(TaskQuery {
            limit: 2,
            after,
            ..query.clone()
        })
        .await;
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, whole);

    let lease = claim(&store).await.unwrap().lease;
    store.append(lease, events([entered(State::Preparing)])).await.unwrap();
    let in_states = |states: &[State]| {
        ids(TaskQuery {
            states: states.to_vec(),
            ..query.clone()
        })
    };
    assert_eq!(
        in_states(&[State::Preparing, State::Failed]).await,
        [(lease.task, Timestamp(1))]
    );
    assert_eq!(in_states(&[State::Queued, State::Preparing]).await, whole);
    assert_eq!(in_states(&[State::Running]).await, []);
}
