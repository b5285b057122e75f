//! The ways a run ends.

use std::time::Duration;

use super::support::*;
use crate::agent::{Agent, AgentEnd};
use crate::model::{ModelError, StopReason};
use crate::task::budget::{AgentBudget, Exhausted, Limits};
use crate::task::event::{EventPayload, ToolOutcome};

const EDIT: (&str, &str) = ("edit_file", r#"{"path": "a.txt", "old": "one", "new": "1"}"#);

#[tokio::test]
async fn a_last_text_is_believed_after_a_change_and_asked_about_before_any() {
    let stage = Stage::new(vec![call(&[EDIT]), say("I changed it.")]);
    assert_eq!(summary(stage.run().await), "I changed it.");

    let stage = Stage::new(vec![say("Shall I?"), say("Nothing has to change.")]);
    assert_eq!(summary(stage.run().await), "Nothing has to change.");
    assert!(
        stage.model.requests()[1]
            .concat()
            .contains("nobody can answer a question")
    );
}

#[tokio::test]
async fn empty_answers_bring_reminders_and_then_the_end() {
    let stage = Stage::new(vec![say(""), say(" \n"), say("")]);
    let end = stage.run().await;
    let AgentEnd::NoProgress { message } = end else {
        panic!("{end:?}")
    };
    assert_eq!(message, "the model gave 3 empty answers in a row");
    let stage = Stage::new(vec![say(""), call(&[EDIT]), say(""), say(""), finish()]);
    assert_eq!(summary(stage.run().await), "done");
}

#[tokio::test]
async fn the_same_call_over_and_over_ends_the_work() {
    let same = || call(&[("bash", r#"{"command": "fail"}"#)]);
    let stage = Stage::new((0..9).map(|_| same()).collect());
    assert!(matches!(stage.run().await, AgentEnd::NoProgress { .. }));
    let requests = stage.model.requests();
    assert!(!requests[2].concat().contains("You have made this same call"));
    assert!(requests[3].concat().contains("You have made this same call"));
    // The last results are recorded all the same.
    assert_eq!(stage.journal.ends().len(), 9);
}

#[tokio::test]
async fn finish_does_not_count_beside_a_call_that_failed() {
    let both = call(&[
        ("bash", r#"{"command": "fail"}"#),
        ("finish", r#"{"summary": "all good"}"#),
    ]);
    let stage = Stage::new(vec![both, finish()]);
    assert_eq!(summary(stage.run().await), "done");
    assert_eq!(stage.journal.ends()[1].1, ToolOutcome::Rejected);
}

#[tokio::test]
async fn a_refusal_is_an_end_with_the_models_words() {
    let mut refusal = answer("I can't do that.", &[]);
    refusal.stop = StopReason::Refusal;
    let end = Stage::new(vec![Move::Say(refusal)]).run().await;
    assert!(
        matches!(&end, AgentEnd::Model(ModelError::Refused { message }) if message == "I can't do that."),
        "{end:?}"
    );
}

#[tokio::test]
async fn a_pause_is_sent_back_as_it_is() {
    let mut pause = answer("…", &[]);
    pause.stop = StopReason::Pause;
    let stage = Stage::new(vec![Move::Say(pause), finish()]);
    assert_eq!(summary(stage.run().await), "done");
    assert_eq!(stage.model.requests()[1].len(), 2);
}

#[tokio::test]
async fn each_turn_is_checked_against_the_limits_and_the_model_is_warned_once() {
    let stage = Stage::new(
        (0..20)
            .map(|turn| call(&[("bash", &format!(r#"{{"command": "print {turn}"}}"#))]))
            .collect(),
    );
    let mut parts = stage.parts();
    parts.budget = AgentBudget::new(
        Limits {
            max_turns: 20,
            ..Limits::default()
        },
        Duration::ZERO,
    );
    let end = stage.run_parts(parts).await;
    assert!(matches!(end, AgentEnd::Exhausted(Exhausted::Turns)), "{end:?}");
    let requests = stage.model.requests();
    assert_eq!(requests.len(), 20);
    assert!(!requests[16].concat().contains("Most of what this task may use"));
    assert_eq!(
        requests[19].concat().matches("Most of what this task may use").count(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn the_reserve_of_time_is_kept_from_a_model_and_a_command_that_hang() {
    let limits = Limits {
        max_duration: Duration::from_secs(300),
        ..Limits::default()
    };
    let stage = Stage::new(vec![Move::Hang]);
    let mut parts = stage.parts();
    parts.budget = AgentBudget::new(limits, Duration::ZERO);
    parts.elapsed = Duration::from_secs(200);
    let begun = tokio::time::Instant::now();
    let end = stage.run_parts(parts).await;
    assert!(matches!(end, AgentEnd::Exhausted(Exhausted::Time)), "{end:?}");
    assert_eq!(begun.elapsed().as_secs(), 40);

    let stage = Stage::new(vec![call(&[(
        "bash",
        r#"{"command": "hang", "timeout_seconds": 600}"#,
    )])]);
    let mut parts = stage.parts();
    parts.budget = AgentBudget::new(limits, Duration::ZERO);
    let begun = tokio::time::Instant::now();
    let end = stage.run_parts(parts).await;
    assert!(matches!(end, AgentEnd::Exhausted(Exhausted::Time)), "{end:?}");
    assert_eq!(begun.elapsed().as_secs(), 240);
    assert_eq!(stage.journal.ends()[0].1, ToolOutcome::TimedOut);
}

#[tokio::test]
async fn cancel_kills_the_command_and_records_its_end() {
    let stage = Stage::new(vec![call(&[
        ("bash", r#"{"command": "print a"}"#),
        ("bash", r#"{"command": "hang"}"#),
        ("bash", r#"{"command": "print b"}"#),
    ])]);
    let watch = async {
        while !stage.diary().contains(&"run hang".to_owned()) {
            tokio::task::yield_now().await;
        }
        stage.cancel.cancel();
    };
    let (end, ()) = tokio::join!(stage.run(), watch);
    assert!(matches!(end, AgentEnd::Cancelled), "{end:?}");
    assert!(stage.diary().contains(&"killed".to_owned()));
    assert!(!stage.diary().contains(&"run print b".to_owned()));
    let outcomes: Vec<ToolOutcome> = stage
        .journal
        .ends()
        .into_iter()
        .map(|(_, outcome, _)| outcome)
        .collect();
    assert_eq!(
        outcomes,
        [ToolOutcome::Ok, ToolOutcome::Cancelled, ToolOutcome::Cancelled]
    );
}

#[tokio::test]
async fn cancel_ends_a_request_under_way() {
    let stage = Stage::new(vec![Move::Hang]);
    let watch = async {
        while stage.model.requests().is_empty() {
            tokio::task::yield_now().await;
        }
        stage.cancel.cancel();
    };
    let (end, ()) = tokio::join!(stage.run(), watch);
    assert!(matches!(end, AgentEnd::Cancelled), "{end:?}");
}

#[tokio::test]
async fn a_fallback_takes_over_for_good_and_people_are_told() {
    let stage = Stage::new(vec![Move::Fail(ModelError::SpendingCap {
        message: "no money".into(),
    })]);
    let second = ScriptedModel::new("second", vec![call(&[EDIT]), finish()]);
    let mut parts = stage.parts();
    parts.fallbacks = vec![second.model()];
    assert_eq!(summary(stage.run_parts(parts).await), "done");
    assert_eq!(second.requests().len(), 2);
    let message = "test/m can't go on (the provider's spending limit is reached: no money); second/m takes over";
    assert_eq!(
        stage.journal.events()[0],
        EventPayload::Warning {
            message: message.into()
        }
    );

    let stage = Stage::new(vec![Move::Fail(ModelError::Rejected { message: "bad".into() })]);
    let mut parts = stage.parts();
    parts.fallbacks = vec![ScriptedModel::new("second", vec![]).model()];
    assert!(matches!(
        stage.run_parts(parts).await,
        AgentEnd::Model(ModelError::Rejected { .. })
    ));
}

#[tokio::test]
async fn the_orchestrators_words_bring_a_finished_agent_back_to_work() {
    let stage = Stage::new(vec![finish(), call(&[EDIT]), finish()]);
    let mut agent = Agent::new(stage.parts());
    assert_eq!(summary(agent.run(&stage.journal, &stage.cancel).await), "done");
    // Without a word nothing is asked again.
    assert_eq!(summary(agent.run(&stage.journal, &stage.cancel).await), "done");
    assert_eq!(stage.model.requests().len(), 1);
    agent.tell("tests are red".into(), &stage.journal).await.unwrap();
    assert_eq!(summary(agent.run(&stage.journal, &stage.cancel).await), "done");
    assert_eq!(agent.usage().turns, 3);
}

#[tokio::test(start_paused = true)]
async fn a_failed_try_is_recorded_and_its_parts_are_void() {
    let stage = Stage::new(vec![
        Move::Fail(ModelError::Truncated),
        call(&[EDIT]),
        say("I changed it."),
    ]);
    assert_eq!(summary(stage.run().await), "I changed it.");
    let retry = stage.journal.events().swap_remove(0);
    let EventPayload::RetryScheduled {
        component,
        attempt,
        message,
        ..
    } = retry
    else {
        panic!("{retry:?}")
    };
    assert_eq!((component.as_str(), attempt), ("model", 1));
    assert_eq!(message, "the provider's answer ended early");
    assert_eq!(stage.journal.ends().len(), 1);
}
