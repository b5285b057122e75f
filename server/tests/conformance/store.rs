//! What every `TaskStore` must do. A new adapter adds one line: `store_conformance!(its_fixture);`.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use backspace_server::store::{Append, Claim, Lease, NewTask, QueueLimits, RequestKey, Submission, TaskStore};
use backspace_server::task::event::{Ending, Event, EventPayload};
use backspace_server::task::id::{PrincipalId, Sequence, ServerId, TaskId, Timestamp};
use backspace_server::task::record::TaskRecord;
use backspace_server::task::spec::{SpecPolicy, TaskSpec, TaskSpecDraft};
use backspace_server::task::state::State;

#[path = "store/artifacts.rs"]
pub mod artifacts;
#[path = "store/callers.rs"]
pub mod callers;
#[path = "store/log.rs"]
pub mod log;
#[path = "store/queue.rs"]
pub mod queue;
#[path = "store/retention.rs"]
pub mod retention;

/// A fresh, empty store.
pub struct Fixture {
    pub store: Arc<dyn TaskStore>,
    /// Lives as long as the store is used.
    pub _guard: Box<dyn Any + Send>,
}

/// Makes one test of each promise for a function that returns a `Fixture`.
#[macro_export]
macro_rules! store_conformance {
    ($fixture:path) => {
        $crate::store_conformance! { @facts $fixture;
            log::sequences_are_gapless_and_events_come_back_as_written,
            log::eight_appenders_over_many_tasks_leave_no_gap,
            log::an_append_is_all_there_or_nothing_of_it,
            log::nothing_follows_the_end,
            log::pages_are_bounded_by_count_and_by_bytes,
            log::a_cursor_past_the_end_is_out_of_range,
            log::a_follower_is_woken_before_the_append_returns,
            log::only_the_highest_generation_of_a_conversation_is_kept,
            log::progress_is_stored_beside_the_events,
            queue::a_submitted_task_is_queued_with_its_first_event,
            queue::a_repeated_request_joins_its_task_and_another_spec_is_refused,
            queue::a_request_id_belongs_to_its_principal_for_seven_days,
            queue::full_queues_refuse_and_a_repeat_still_joins,
            queue::a_claim_takes_the_oldest_and_each_task_once,
            queue::the_principal_with_the_fewest_claims_comes_first,
            queue::left_behind_tasks_come_before_queued_ones,
            queue::a_zombie_run_writes_nothing,
            queue::an_expired_lease_is_claimed_anew_unless_it_was_renewed,
            queue::a_released_lease_is_void,
            queue::concurrent_claims_never_share_a_task,
            queue::a_list_is_newest_first_and_pages_without_a_hole,
            callers::a_cancel_is_recorded_once_and_only_for_live_tasks,
            callers::a_message_is_in_the_log_and_in_the_inbox_until_it_is_read,
            callers::a_repeated_message_is_accepted_once,
            callers::a_message_is_too_late_from_publishing_on,
            callers::nothing_ends_while_an_accepted_message_waits,
            callers::a_late_message_that_became_a_task_stays_too_late,
            callers::missing_tasks_are_not_found,
            artifacts::bytes_come_back_in_pieces_of_any_size,
            artifacts::a_run_writes_pieces_with_its_append,
            artifacts::an_empty_artifact_exists_and_a_put_replaces,
            artifacts::artifacts_of_tasks_and_names_do_not_mix,
            retention::a_trimmed_task_says_what_is_left,
            retention::only_tasks_that_ended_before_are_trimmed,
            retention::a_deleted_task_is_gone_with_all_that_belongs_to_it,
            retention::remembered_values_are_replaced_and_forgotten,
        }
    };
    (@facts $fixture:path; $($module:ident :: $fact:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $fact() {
                let fixture = $fixture();
                $crate::conformance::$module::$fact(std::sync::Arc::clone(&fixture.store)).await;
            }
        )*
    };
}

pub type Store = Arc<dyn TaskStore>;

pub const LONG: Duration = Duration::from_secs(3600);
pub const LIMITS: QueueLimits = QueueLimits {
    per_principal: 10_000,
    total: 10_000,
};

pub fn principal(name: &str) -> PrincipalId {
    PrincipalId::new(name)
}

pub fn spec(instruction: &str) -> TaskSpec {
    let draft = TaskSpecDraft {
        instruction: instruction.into(),
        repository_url: "https://github.com/octo/hello".into(),
        ..TaskSpecDraft::default()
    };
    TaskSpec::parse(draft, &SpecPolicy::default()).unwrap()
}

pub fn new_task(owner: &str, time: i64) -> NewTask {
    NewTask {
        id: TaskId::random(),
        principal: principal(owner),
        requester: "A Person".into(),
        spec: spec("Add tests for the \u{1f600} parser"),
        request: None,
        continues: None,
        now: Timestamp(time),
    }
}

pub fn request(id: u128, hash: u8) -> RequestKey {
    RequestKey {
        id: uuid::Uuid::from_u128(id),
        hash: [hash; 32],
    }
}

pub async fn submit(store: &Store, owner: &str, time: i64) -> TaskId {
    match store.submit(new_task(owner, time), LIMITS).await.unwrap() {
        Submission::Created(record) => record.id,
        Submission::Joined(record) => panic!("joined {}", record.id),
    }
}

pub async fn claim(store: &Store) -> Option<Claim> {
    store.claim(ServerId::random(), LONG).await.unwrap()
}

/// Submits a Task to a store where no other waits, and claims it.
pub async fn claimed(store: &Store) -> Lease {
    let id = submit(store, "a", 1).await;
    let claim = claim(store).await.unwrap();
    assert_eq!(claim.task.id, id);
    claim.lease
}

pub fn events(payloads: impl IntoIterator<Item = EventPayload>) -> Append {
    Append {
        events: payloads.into_iter().collect(),
        ..Append::default()
    }
}

pub fn warning(message: impl Into<String>) -> EventPayload {
    EventPayload::Warning {
        message: message.into(),
    }
}

pub fn entered(state: State) -> EventPayload {
    EventPayload::StateChanged { state }
}

pub fn finished() -> EventPayload {
    EventPayload::TaskFinished {
        ending: Ending::Cancelled,
        preserved_work: None,
        findings: Vec::new(),
    }
}

pub async fn finish(store: &Store, lease: Lease) -> TaskRecord {
    store.append(lease, events([finished()])).await.unwrap()
}

/// Reads the whole log by pages of `limit`, checking that it has no gap.
pub async fn whole_log(store: &Store, id: TaskId, limit: u32) -> Vec<Event> {
    let mut log = Vec::new();
    loop {
        let after = Sequence(log.len() as u64);
        let page = store.events(id, after, limit).await.unwrap();
        assert!(page.events.len() <= limit as usize);
        if page.events.is_empty() {
            return log;
        }
        for event in page.events {
            assert_eq!(event.sequence, Sequence(log.len() as u64 + 1));
            log.push(event);
        }
    }
}

pub fn messages(log: &[Event]) -> Vec<&str> {
    log.iter()
        .filter_map(|event| match &event.payload {
            EventPayload::Warning { message } => Some(message.as_str()),
            _ => None,
        })
        .collect()
}
