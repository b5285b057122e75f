//! A run's events arrive exactly once and without a gap, whatever the connection does.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use backspace_sdk::{Client, ERROR_DOMAIN, Error, Options, Reconnect, TaskRun, v1};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

#[path = "support/scissors.rs"]
mod scissors;
#[path = "support/script.rs"]
mod script;

use scissors::Scissors;
use script::{Call, Ending, Script, TASK};

fn impatient() -> Options {
    let reconnect = Reconnect {
        initial_delay: Duration::from_micros(100),
        longest_delay: Duration::from_millis(1),
        give_up_after: Duration::from_secs(30),
    };
    Options {
        reconnect,
        ..Options::default()
    }
}

async fn client_of(script: &Arc<Script>) -> Client {
    Client::connect(&script.serve().await, impatient()).await.unwrap()
}

async fn all(run: &mut TaskRun) -> Result<Vec<v1::TaskEvent>, Error> {
    let mut events = Vec::new();
    while let Some(event) = run.next().await {
        events.push(event?);
    }
    Ok(events)
}

/// Random enough for cuts and the same in every run.
fn numbers(mut state: u64) -> impl FnMut() -> u64 + Send + 'static {
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

fn of_the_server(code: Code, retry_after: Option<Duration>) -> Status {
    let mut details = ErrorDetails::with_error_info("REASON_X", ERROR_DOMAIN, HashMap::new());
    if retry_after.is_some() {
        details.set_retry_info(retry_after);
    }
    Status::with_error_details(code, "no", details)
}

#[tokio::test]
async fn a_thousand_cuts_at_any_byte_lose_and_repeat_nothing() {
    const CUTS: u64 = 1_000;
    let log = script::log(1_000);
    let script = Script::new(log.clone(), []);
    let scissors = Arc::new(Scissors::default());
    let (watched, mut number) = (scissors.clone(), numbers(0x9e37_79b9_7f4a_7c15));
    let allowance = move || (watched.cuts() < CUTS).then(|| usize::try_from(number() % 2_500).unwrap());
    let address = scissors.before(script.serve().await, Box::new(allowance)).await;
    // Lazily: the first connection may be cut before the first call.
    let client = Client::connect_lazy(&address, impatient()).unwrap();

    let mut run = client.run_task(v1::TaskSpec::default());
    assert_eq!(all(&mut run).await.unwrap(), log);
    // Every cut fell into the stream only if the stream was long enough for them all.
    assert!(scissors.cuts() > 100, "{} cuts", scissors.cuts());
    let mut finished = scissors.cuts();
    let mut rounds = 1;
    while finished < CUTS {
        let mut run = client.watch(TASK, 0);
        assert_eq!(all(&mut run).await.unwrap(), log);
        finished = scissors.cuts();
        rounds += 1;
        assert!(rounds < 100, "no cuts any more");
    }
    assert_eq!(scissors.cuts(), CUTS);

    let request_ids: Vec<_> = script
        .calls()
        .into_iter()
        .filter_map(|call| match call {
            Call::Run { request_id } => Some(request_id),
            Call::Watch { .. } | Call::Get => None,
        })
        .collect();
    assert!(
        !request_ids.is_empty() && request_ids.iter().all(|id| *id == request_ids[0]),
        "{request_ids:?}"
    );
}

#[tokio::test]
async fn an_artifact_is_whole_after_a_hundred_cuts() {
    let script = Script::new(script::log(1), []);
    let scissors = Arc::new(Scissors::default());
    let (watched, mut number) = (scissors.clone(), numbers(7));
    let allowance = move || (watched.cuts() < 100).then(|| usize::try_from(number() % 4_000).unwrap());
    let address = scissors.before(script.serve().await, Box::new(allowance)).await;
    let client = Client::connect_lazy(&address, impatient()).unwrap();
    while scissors.cuts() < 100 {
        let read = client
            .read_artifact("tasks/t1/artifacts/patch")
            .read_to_end(1_000_000)
            .await
            .unwrap();
        assert!(read == script::artifact(), "{} bytes", read.len());
    }
}

#[tokio::test]
async fn a_run_whose_first_call_was_lost_is_repeated_under_the_same_id_and_then_watched() {
    let log = script::log(6);
    let endings = [
        Ending::Refused(Status::unavailable("connection reset")),
        Ending::Failed {
            after: 2,
            status: Status::internal("h2 protocol error: reset"),
        },
        Ending::Closed { after: 1 },
        Ending::Failed {
            after: 1,
            status: of_the_server(Code::Unavailable, Some(Duration::from_millis(1))),
        },
    ];
    let script = Script::new(log.clone(), endings);
    let interruptions = Arc::new(AtomicU32::new(0));
    let counted = interruptions.clone();
    let mut run = client_of(&script)
        .await
        .run_task(v1::TaskSpec::default())
        .on_interruption(move |interruption| {
            assert!(!interruption.error.to_string().is_empty());
            counted.fetch_add(1, Ordering::SeqCst);
        });
    assert_eq!(all(&mut run).await.unwrap(), log);
    assert_eq!((run.task(), run.last_sequence()), (Some(TASK), 6));
    assert_eq!(interruptions.load(Ordering::SeqCst), 4);
    let calls = script.calls();
    let [
        Call::Run { request_id: first },
        Call::Run { request_id: second },
        rest @ ..,
    ] = calls.as_slice()
    else {
        panic!("{calls:?}")
    };
    assert!(first == second && !first.is_empty());
    assert_eq!(
        rest,
        [
            Call::Watch { after: 2 },
            Call::Watch { after: 3 },
            Call::Watch { after: 4 }
        ]
    );
}

#[tokio::test]
async fn live_events_pass_through_in_their_place() {
    let mut log = script::log(3);
    log.insert(1, script::live("a"));
    log.insert(2, script::live("b"));
    let script = Script::new(log.clone(), []);
    let mut run = client_of(&script).await.run_task(v1::TaskSpec::default());
    assert_eq!(all(&mut run).await.unwrap(), log);
}

#[tokio::test]
async fn a_hole_is_asked_for_again_and_never_passed_on() {
    let log = script::log(5);
    let script = Script::new(log.clone(), [Ending::Hole { left_out: 3 }]);
    let mut run = client_of(&script).await.watch(TASK, 0);
    assert_eq!(all(&mut run).await.unwrap(), log);
    assert_eq!(script.calls(), [Call::Watch { after: 0 }, Call::Watch { after: 2 }]);
}

#[tokio::test]
async fn a_hole_that_stays_is_an_error() {
    let script = Script::new(script::log(5), vec![Ending::Hole { left_out: 3 }; 10]);
    let mut run = client_of(&script).await.watch(TASK, 0);
    assert!(matches!(all(&mut run).await, Err(Error::Contract { .. })));
    assert!(run.next().await.is_none());
}

#[tokio::test]
async fn answers_of_the_server_end_the_run_at_once() {
    let refusals = [
        of_the_server(Code::NotFound, None),
        of_the_server(Code::Internal, None),
        of_the_server(Code::OutOfRange, None),
        of_the_server(Code::Unauthenticated, None),
    ];
    for status in refusals {
        let script = Script::new(script::log(5), [Ending::Refused(status.clone())]);
        let mut run = client_of(&script).await.watch(TASK, 0);
        let error = all(&mut run).await.unwrap_err();
        assert_eq!(error.call().map(|call| call.code), Some(status.code()));
        assert_eq!(script.calls().len(), 1);
    }
}

#[tokio::test]
async fn a_rate_limit_is_the_callers_to_see_before_there_is_a_task_and_waited_for_after() {
    let limited = of_the_server(Code::ResourceExhausted, Some(Duration::from_millis(1)));
    let script = Script::new(script::log(5), [Ending::Refused(limited.clone())]);
    let mut run = client_of(&script).await.run_task(v1::TaskSpec::default());
    let error = all(&mut run).await.unwrap_err();
    assert_eq!(
        error.call().and_then(|call| call.retry_after),
        Some(Duration::from_millis(1))
    );

    let script = Script::new(script::log(5), [Ending::Refused(limited)]);
    let mut run = client_of(&script).await.watch(TASK, 0);
    assert_eq!(all(&mut run).await.unwrap(), script::log(5));
}

#[tokio::test]
async fn watching_after_the_last_event_of_a_finished_task_ends() {
    let script = Script::new(script::log(5), []);
    let mut run = client_of(&script).await.watch(TASK, 5);
    assert_eq!(all(&mut run).await.unwrap(), []);
    assert_eq!(script.calls(), [Call::Watch { after: 5 }, Call::Get]);
}

#[tokio::test]
async fn a_server_that_stays_away_is_given_up_with_the_place_to_go_on_from() {
    let mut endings = vec![Ending::Closed { after: 2 }];
    endings.extend(vec![Ending::Refused(Status::unavailable("connection refused")); 10_000]);
    let script = Script::new(script::log(5), endings);
    let mut options = impatient();
    options.reconnect.give_up_after = Duration::from_millis(50);
    let client = Client::connect(&script.serve().await, options).await.unwrap();
    let mut run = client.run_task(v1::TaskSpec::default());
    let error = all(&mut run).await.unwrap_err();
    let Error::Lost {
        task, last_sequence, ..
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!((task.as_deref(), last_sequence), (Some(TASK), 2));
}

#[tokio::test]
async fn dropping_next_again_and_again_does_not_keep_a_run_from_coming_back() {
    let script = Script::new(script::log(300), vec![Ending::Closed { after: 3 }; 60]);
    let mut options = impatient();
    options.reconnect.initial_delay = Duration::from_millis(3);
    options.reconnect.longest_delay = Duration::from_millis(3);
    let client = Client::connect(&script.serve().await, options).await.unwrap();
    let mut run = client.run_task(v1::TaskSpec::default());
    let mut clock = tokio::time::interval(Duration::from_millis(1));
    let (mut events, mut drops) = (Vec::new(), 0);
    loop {
        tokio::select! {
            biased;
            _ = clock.tick() => drops += 1,
            event = run.next() => match event {
                Some(event) => events.push(event.unwrap()),
                None => break,
            },
        }
    }
    assert_eq!(events, script::log(300));
    assert!(drops > 60, "{drops}");
}
