//! What one turn does and records.

use std::time::Duration;

use super::support::*;
use crate::agent::prompt;
use crate::model::{Item, StopReason};
use crate::task::budget::Usage;
use crate::task::event::{CutText, EventPayload, LivePayload, PlanStep, PlanStepState, ToolOutcome};
use crate::task::id::{ArtifactId, CallId};

#[tokio::test]
async fn nothing_runs_before_its_record_is_durable() {
    let stage = Stage::new(vec![
        call(&[
            ("bash", r#"{"command": "print hi"}"#),
            ("write_file", r#"{"path": "b", "content": "x"}"#),
        ]),
        finish(),
    ]);
    assert_eq!(summary(stage.run().await), "done");
    let right = [
        "record assistant",
        "run print hi",
        "write b",
        "record results end of turn 1",
        "record assistant",
        "record results end of turn 2",
    ];
    assert_eq!(stage.diary(), right);
}

#[tokio::test]
async fn a_turn_is_told_by_its_events() {
    let todo = r#"{"items": [{"title": "look", "status": "in_progress"}]}"#;
    let both = answer("I look.", &[("bash", r#"{"command": "fail"}"#), ("todo", todo)]);
    let stage = Stage::new(vec![Move::Say(both), finish()]);
    stage.run().await;
    let usage = Usage {
        input_tokens: 10,
        output_tokens: 5,
        turns: 1,
        cost_micro_usd: Some(10),
        ..Usage::default()
    };
    let started = |number: u32, tool: &str, arguments: &str| EventPayload::ToolCallStarted {
        turn: 1,
        call_id: CallId::new(format!("t1.{number}")),
        tool: tool.into(),
        arguments_json: CutText::new(arguments),
    };
    let mut events = stage.journal.events();
    events.truncate(7);
    for event in &mut events {
        if let EventPayload::ToolCallFinished { duration, .. } = event {
            *duration = Duration::ZERO;
        }
    }
    let finished = |number: u32, tool: &str, command: &str, exit_code, output: &str| EventPayload::ToolCallFinished {
        call_id: CallId::new(format!("t1.{number}")),
        outcome: ToolOutcome::Ok,
        exit_code,
        output: CutText::new(output),
        duration: Duration::ZERO,
        tool: tool.into(),
        command: command.into(),
    };
    let right = [
        EventPayload::AssistantMessage {
            turn: 1,
            text: CutText::new("I look."),
            model: "test/m".into(),
        },
        EventPayload::UsageUpdated { usage },
        started(1, "bash", r#"{"command": "fail"}"#),
        started(2, "todo", todo),
        finished(1, "bash", "fail", Some(1), "[exit code 1]"),
        finished(2, "todo", "", None, "the plan is noted"),
        EventPayload::PlanUpdated {
            steps: vec![PlanStep {
                title: "look".into(),
                state: PlanStepState::InProgress,
            }],
        },
    ];
    assert_eq!(events, right);
}

#[tokio::test]
async fn each_request_is_the_last_one_with_more_behind() {
    let moves = (0..50).map(|turn| call(&[("bash", &format!(r#"{{"command": "print {turn}"}}"#))]));
    let stage = Stage::new(moves.chain([finish()]).collect());
    stage.run().await;
    let requests = stage.model.requests();
    assert_eq!(requests.len(), 51);
    for pair in requests.windows(2) {
        assert!(pair[1].starts_with(&pair[0]));
        assert_eq!(pair[1].len(), pair[0].len() + 2);
    }
}

#[tokio::test]
async fn bad_calls_are_answered_and_run_nothing() {
    let stage = Stage::new(vec![
        call(&[
            ("shell", "{}"),
            ("bash", r#"{"command": "print a""#),
            ("bash", r#"{"command": "print a", "cwd": "/"}"#),
            ("edit_file", r#"{"path": "a.txt", "old": "x", "new": "x"}"#),
            ("read_file", r#"{"path": "none"}"#),
            ("apply_patch", r#"{"patch": "nonsense"}"#),
        ]),
        finish(),
    ]);
    assert_eq!(summary(stage.run().await), "done");
    let ends = stage.journal.ends();
    assert!(
        ends[..6]
            .iter()
            .all(|(_, outcome, _)| *outcome == ToolOutcome::Rejected),
        "{ends:?}"
    );
    assert!(
        !stage
            .diary()
            .iter()
            .any(|line| line.starts_with("run") || line.starts_with("write"))
    );
}

#[tokio::test]
async fn calls_of_a_cut_answer_never_run() {
    let mut cut = answer("", &[("bash", r#"{"command": "print a"}"#)]);
    cut.stop = StopReason::MaxTokens;
    let mut text = answer("I wri", &[]);
    text.stop = StopReason::MaxTokens;
    let stage = Stage::new(vec![Move::Say(cut), Move::Say(text), finish()]);
    assert_eq!(summary(stage.run().await), "done");
    assert!(!stage.diary().contains(&"run print a".to_owned()));
    let last = stage.model.requests()[2].concat();
    assert_eq!(last.matches("The answer was cut off").count(), 2, "{last}");
}

#[tokio::test]
async fn calls_beyond_the_limit_are_not_run() {
    let many: Vec<(&str, &str)> = (0..34).map(|_| ("bash", r#"{"command": "print a"}"#)).collect();
    let stage = Stage::new(vec![call(&many), finish()]);
    stage.run().await;
    assert_eq!(stage.diary().iter().filter(|line| *line == "run print a").count(), 32);
    assert!(stage.journal.ends()[33].2.contains("at most 32 calls"));
}

#[tokio::test]
async fn neighbours_that_only_read_run_together() {
    let read = ("read_file", r#"{"path": "meeting"}"#);
    let stage = Stage::new(vec![call(&[read, read]), finish()]);
    // Each read waits for the other, so one after the other would never end.
    let end = tokio::time::timeout(Duration::from_secs(10), stage.run()).await;
    assert_eq!(summary(end.unwrap()), "done");
}

#[tokio::test(start_paused = true)]
async fn a_long_call_is_recorded_before_the_next_begins() {
    let stage = Stage::new(vec![
        call(&[
            ("bash", r#"{"command": "slow"}"#),
            ("bash", r#"{"command": "print a"}"#),
        ]),
        finish(),
    ]);
    stage.run().await;
    let right = [
        "record assistant",
        "run slow",
        "record results",
        "run print a",
        "record results end of turn 1",
    ];
    assert_eq!(stage.diary()[..5], right);
    // The model is sent one item with both results, whose order the scripted model has checked.
    assert_eq!(stage.model.requests()[1].len(), 3);
}

#[tokio::test]
async fn a_patch_that_does_not_fit_changes_nothing() {
    let patch =
        |body: &str| serde_json::json!({"patch": format!("*** Begin Patch\n{body}\n*** End Patch")}).to_string();
    let bad = patch("*** Add File: new\n+x\n*** Update File: a.txt\n-zzz\n+y");
    let good = patch("*** Add File: new\n+x\n*** Update File: a.txt\n*** Move to: b.txt\n one\n-two\n+2");
    let stage = Stage::new(vec![
        call(&[("apply_patch", &bad)]),
        call(&[("apply_patch", &good)]),
        finish(),
    ]);
    stage.run().await;
    let ends = stage.journal.ends();
    let fault = "apply_patch: a.txt: place 1: the file has no line `zzz`; nothing was changed";
    assert_eq!(ends[0].2, fault);
    assert_eq!(ends[1].2, "created new\nmoved to b.txt\nremoved a.txt");
    assert_eq!(stage.diary().iter().filter(|line| *line == "write new").count(), 1);
    let mut files = stage.sandbox.files.lock().unwrap().clone();
    files.remove("meeting");
    let right = [
        ("b.txt".to_owned(), "one\n2\n".to_owned()),
        ("new".to_owned(), "x\n".to_owned()),
    ];
    assert_eq!(files, right.into());
}

#[tokio::test]
async fn the_whole_of_a_long_output_is_kept_and_named() {
    let stage = Stage::new(vec![call(&[("bash", r#"{"command": "long"}"#)]), finish()]);
    stage.run().await;
    let output = stage.journal.events().into_iter().find_map(|event| match event {
        EventPayload::ToolCallFinished { output, .. } => Some(output),
        _ => None,
    });
    let text =
        "head … tail\n[exit code 0]\n[the whole output, 70000 bytes, is in /spill/1: use grep or read_file on it]";
    let artifact = Some(ArtifactId::new("output-t1.1"));
    assert_eq!(
        output,
        Some(CutText {
            text: text.into(),
            truncated: true,
            artifact
        })
    );
}

#[tokio::test]
async fn what_people_see_is_masked_and_what_the_model_reads_only_by_value() {
    let fixture = "ghp_abcdefghijklmnopqrstuvwx";
    let command = format!(r#"{{"command": "print {SECRET} {fixture}"}}"#);
    let told = answer(&format!("the key is {SECRET} here"), &[("bash", &command)]);
    let stage = Stage::new(vec![Move::Say(told), finish()]);
    stage.run().await;
    let shown = format!("{:?} {:?}", stage.journal.events(), stage.journal.live.lock().unwrap());
    assert!(!shown.contains(SECRET) && !shown.contains(fixture), "{shown}");
    assert!(shown.contains("[redacted]"));
    let results = stage.model.requests()[1][2].clone();
    assert!(!results.contains(SECRET) && results.contains(fixture), "{results}");
    let text: String = stage
        .journal
        .live
        .lock()
        .unwrap()
        .iter()
        .filter_map(|payload| match payload {
            LivePayload::AssistantDelta { text, .. } => Some(text.as_str()),
            LivePayload::ToolOutputDelta { .. } => None,
        })
        .collect();
    assert_eq!(text, format!("the key is {} here", "*".repeat(SECRET.len())));
}

#[tokio::test]
async fn a_message_is_read_before_the_next_turn_and_goes_before_an_end() {
    let stage = Stage::new(vec![finish(), finish()]);
    stage.journal.messages.lock().unwrap().push("also this".into());
    assert_eq!(summary(stage.run().await), "done");
    assert_eq!(stage.model.requests()[0].len(), 2);
    assert!(stage.model.requests()[0][1].contains("also this"));

    // One that comes while the model ends its work sends it back to work.
    let stage = Stage::new(vec![finish(), finish()]);
    let mut agent = crate::agent::Agent::new(stage.parts());
    assert_eq!(summary(agent.run(&stage.journal, &stage.cancel).await), "done");
    stage.journal.messages.lock().unwrap().push("wait".into());
    assert_eq!(summary(agent.run(&stage.journal, &stage.cancel).await), "done");
    let texts = stage.journal.items().into_iter().filter_map(|item| match item {
        Item::User { text } => Some(text),
        _ => None,
    });
    assert_eq!(
        texts.collect::<Vec<_>>(),
        ["do the task".to_owned(), prompt::message("wait")]
    );
    assert_eq!(agent.turn(), 3);
}

#[tokio::test]
async fn a_model_is_told_of_the_way_of_editing_it_was_trained_on() {
    for (applies_patch, editing) in [(false, "edit_file"), (true, "apply_patch")] {
        let stage = Stage::new(vec![say("one"), finish()]);
        let mut parts = stage.parts();
        parts.model.applies_patch = applies_patch;
        assert_eq!(summary(stage.run_parts(parts).await), "done");
        let told = vec![
            "bash",
            "read_file",
            "write_file",
            editing,
            "grep",
            "glob",
            "todo",
            "finish",
        ];
        assert_eq!(*stage.model.tools.lock().unwrap(), [told.clone(), told]);
    }
}
