//! Restarts, lost sandboxes, and conversations that become too long.

use super::support::*;
use crate::agent::{Agent, AgentEnd, AgentParts};
use crate::model::transcript::Transcript;
use crate::model::{Item, ModelError, TokenUsage};
use crate::task::event::{EventPayload, ToolOutcome};

/// The parts of a later run over what the journal holds.
fn restored(stage: &Stage, turn: u32) -> AgentParts {
    AgentParts {
        transcript: Transcript::new(stage.journal.items()),
        turn,
        ..stage.parts()
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_cut_off_by_a_crash_is_told_and_never_run_again() {
    let calls = [
        ("bash", r#"{"command": "slow"}"#),
        ("bash", r#"{"command": "hang"}"#),
        ("write_file", r#"{"path": "b", "content": ""}"#),
    ];
    let stage = Stage::new(vec![call(&calls), finish()]);
    let mut lost = Agent::new(stage.parts());
    {
        let run = lost.run(&stage.journal, &stage.cancel);
        tokio::pin!(run);
        let crash = async {
            while !stage.diary().contains(&"run hang".to_owned()) {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        };
        tokio::select! {
            end = &mut run => panic!("it ended: {end:?}"),
            () = crash => {}
        }
    }
    assert_eq!(stage.diary().last().unwrap(), "killed");
    assert_eq!(summary(stage.run_parts(restored(&stage, 1)).await), "done");
    let ends: Vec<(String, ToolOutcome)> = stage
        .journal
        .ends()
        .into_iter()
        .map(|(id, outcome, _)| (id, outcome))
        .collect();
    let right = [
        ("t1.1", ToolOutcome::Ok),
        ("t1.2", ToolOutcome::Interrupted),
        ("t1.3", ToolOutcome::Interrupted),
        ("t2.1", ToolOutcome::Ok),
    ];
    assert_eq!(ends, right.map(|(id, outcome)| (id.to_owned(), outcome)));
    assert_eq!(stage.diary().iter().filter(|line| line.starts_with("run")).count(), 2);
    assert!(stage.model.requests()[1][2].contains("may or may not be there"));
}

#[tokio::test]
async fn a_run_lost_after_its_end_ends_again_without_a_request() {
    let stage = Stage::new(vec![finish()]);
    stage.run().await;
    assert_eq!(summary(stage.run_parts(restored(&stage, 2)).await), "done");
    assert_eq!(stage.model.requests().len(), 1);
}

#[tokio::test]
async fn a_lost_sandbox_ends_the_run_and_another_takes_its_place() {
    let stage = Stage::new(vec![
        call(&[
            ("bash", r#"{"command": "print a"}"#),
            ("bash", r#"{"command": "lose"}"#),
        ]),
        finish(),
    ]);
    let mut agent = Agent::new(stage.parts());
    let end = agent.run(&stage.journal, &stage.cancel).await;
    assert!(matches!(end, AgentEnd::Sandbox(_)), "{end:?}");
    agent.replace_sandbox(sandbox(&stage.diary));
    agent
        .tell(crate::agent::prompt::restored(0), &stage.journal)
        .await
        .unwrap();
    assert_eq!(summary(agent.run(&stage.journal, &stage.cancel).await), "done");
    let outcomes: Vec<ToolOutcome> = stage
        .journal
        .ends()
        .into_iter()
        .map(|(_, outcome, _)| outcome)
        .collect();
    assert_eq!(outcomes, [ToolOutcome::Ok, ToolOutcome::Interrupted, ToolOutcome::Ok]);
    assert!(
        stage.model.requests()[1]
            .last()
            .unwrap()
            .contains("The sandbox was lost")
    );
}

/// Calls of an answer that leaves the window of 100,000 tokens as full as that.
fn filled(tokens: u64, calls: &[(&str, &str)]) -> Move {
    let mut answer = answer("", calls);
    answer.usage = TokenUsage {
        cache_read: tokens,
        ..TokenUsage::default()
    };
    Move::Say(answer)
}

fn full(calls: &[(&str, &str)]) -> Move {
    filled(85_000, calls)
}

fn compactions(stage: &Stage) -> usize {
    let is_one = |event: &EventPayload| matches!(event, EventPayload::ContextCompacted { .. });
    stage.journal.events().iter().filter(|event| is_one(event)).count()
}

#[tokio::test]
async fn a_nearly_full_window_is_compacted_and_the_work_goes_on() {
    let edit = ("edit_file", r#"{"path": "a.txt", "old": "one", "new": "1"}"#);
    let read = ("read_file", r#"{"path": "meeting2"}"#);
    let stage = Stage::new(vec![full(&[edit, read]), say("## Goal\nthe summary"), finish()]);
    assert_eq!(summary(stage.run().await), "done");
    assert_eq!(compactions(&stage), 1);
    let requests = stage.model.requests();
    // The request for the summary has the whole conversation before it, so that the cached prefix serves.
    assert!(requests[1].starts_with(&requests[0]));
    assert!(requests[1].last().unwrap().contains("## Failed approaches"));
    let after = &requests[2];
    assert_eq!((after.len(), &after[0]), (2, &requests[0][0]));
    assert!(
        after[1].contains("the summary") && after[1].contains("- a.txt"),
        "{}",
        after[1]
    );
    // A later run finds the short conversation.
    let items = stage.journal.items();
    assert!(matches!(&items[1], Item::User { text } if text.contains("the summary")));
}

#[tokio::test]
async fn compaction_begins_at_eighty_percent_of_the_window() {
    // The result of the call is estimated on top of what the provider counted.
    for (tokens, times) in [(79_800, 0), (80_000, 1)] {
        let look = [("bash", r#"{"command": "print a"}"#)];
        let stage = Stage::new(match times {
            0 => vec![filled(tokens, &look), finish()],
            _ => vec![filled(tokens, &look), say("the summary"), finish()],
        });
        assert_eq!(summary(stage.run().await), "done");
        assert_eq!(compactions(&stage), times, "{tokens}");
    }
}

#[tokio::test]
async fn a_second_compaction_after_a_restart_still_names_every_file() {
    let edit = |path: &str, old: &str| format!(r#"{{"path": "{path}", "old": "{old}", "new": "x"}}"#);
    let first = edit("a.txt", "one");
    let stage = Stage::new(vec![full(&[("edit_file", &first)]), say("the summary"), Move::Hang]);
    {
        let run = stage.run();
        tokio::pin!(run);
        while stage.model.requests().len() < 3 {
            tokio::select! {
                end = &mut run => panic!("{end:?}"),
                () = tokio::task::yield_now() => {}
            }
        }
    }
    let read = ("read_file", r#"{"path": "meeting2"}"#);
    let second = Stage::new(vec![full(&[read]), say("the second summary"), finish()]);
    let mut parts = second.parts();
    parts.transcript = Transcript::new(stage.journal.items());
    assert_eq!(summary(second.run_parts(parts).await), "done");
    let after = second.model.requests()[2].join("\n");
    assert!(
        after.contains("the second summary") && after.contains("- a.txt"),
        "{after}"
    );
    // Of the compacted conversation only the files stay.
    assert!(!after.contains("the summary\\n"), "{after}");
}

fn too_long() -> Move {
    Move::Fail(ModelError::ContextTooLong {
        message: "too long".into(),
    })
}

#[tokio::test]
async fn a_conversation_that_does_not_fit_is_never_a_lost_task() {
    let look = || call(&[("bash", r#"{"command": "print a"}"#)]);
    // The model can still write the summary of a digest.
    let stage = Stage::new(vec![look(), too_long(), too_long(), say("short"), finish()]);
    assert_eq!(summary(stage.run().await), "done");
    assert!(stage.model.requests()[3][0].contains("CALL bash"));
    // It can't at all: the digest itself stands in.
    let stage = Stage::new(
        [look()]
            .into_iter()
            .chain((0..6).map(|_| too_long()))
            .chain([finish()])
            .collect(),
    );
    assert_eq!(summary(stage.run().await), "done");
    assert!(stage.model.requests().last().unwrap()[1].contains("CALL bash"));
    // Even the shortest does not fit: an end that says so, not a circle.
    let stage = Stage::new([look()].into_iter().chain((0..7).map(|_| too_long())).collect());
    let end = stage.run().await;
    assert!(
        matches!(end, AgentEnd::Model(ModelError::ContextTooLong { .. })),
        "{end:?}"
    );
}
