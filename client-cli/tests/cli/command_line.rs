//! The real command against a server of the contract: what it prints, and the code it exits with.

use backspace_sdk::v1::task::{Outcome, State};
use backspace_sdk::v1::task_event::Payload;
use backspace_sdk::v1::{self, failure::Reason};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tonic::Code;

use crate::fake::{Fake, Plan, TASK, Then, refusal};
use crate::home::{Home, Ran};

const URL: &str = "https://github.com/o/r";

fn succeeded() -> v1::Task {
    let result = v1::TaskResult {
        kind: v1::task_result::Kind::PullRequest.into(),
        summary: "Done.".to_owned(),
        pull_request: Some(v1::PullRequest {
            url: format!("{URL}/pull/7"),
            ..Default::default()
        }),
        ..Default::default()
    };
    v1::Task {
        state: State::Succeeded.into(),
        outcome: Some(Outcome::Result(result)),
        ..Default::default()
    }
}

fn failed(reason: Reason) -> v1::Task {
    let failure = v1::Failure {
        reason: reason.into(),
        message: "it did not work".to_owned(),
        retryable: false,
    };
    v1::Task {
        state: State::Failed.into(),
        outcome: Some(Outcome::Failure(failure)),
        ..Default::default()
    }
}

fn plan(end: v1::Task) -> Plan {
    let message = v1::AssistantMessage {
        turn: 1,
        text: "Looking \u{1b}[2J\u{9b}1A.".to_owned(),
        ..Default::default()
    };
    Plan {
        events: vec![
            Payload::StateChanged(v1::StateChanged {
                state: State::Running.into(),
            }),
            Payload::AssistantMessage(message),
        ],
        end,
        ..Plan::default()
    }
}

async fn on(plan: Plan, arguments: &[&str]) -> Ran {
    Home::new().run_on(&Fake::new(plan).serve().await, arguments).await
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_run_as_json_is_the_task_and_then_one_event_a_line() {
    let ran = on(plan(succeeded()), &["run", URL, "fix it", "--output", "json"]).await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert!(!ran.out.contains(['\u{1b}', '\u{9b}']));
    let lines = json_lines(&ran.out);
    let time = "2023-11-14T22:13:20Z";
    assert_eq!(
        lines.get(..3).unwrap(),
        [
            json!({ "task": TASK }),
            json!({ "sequence": "1", "eventTime": time, "stateChanged": { "state": "STATE_RUNNING" } }),
            json!({ "sequence": "2", "eventTime": time, "assistantMessage": { "turn": 1, "text": "Looking \u{1b}[2J\u{9b}1A." } }),
        ]
    );
    assert_eq!(lines.len(), 4);
    assert_eq!(
        lines.get(3).unwrap().pointer("/taskFinished/task/state"),
        Some(&json!("STATE_SUCCEEDED"))
    );
}

#[tokio::test]
async fn a_run_as_text_is_for_people_and_harmless() {
    let fake = Fake::new(plan(succeeded()));
    let ran = Home::new()
        .run_on(&fake.serve().await, &["run", URL, "fix it", "--provider", "scripted"])
        .await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert_eq!(
        ran.out,
        "tasks/t1  https://github.com/o/r\n  fix it\n  model scripted\n\n▶ Working\n  Looking \\x1b[2J\\x9b1A.\n\n\
         ✓ Succeeded\n  Done.\n\n  pull request  https://github.com/o/r/pull/7\n  diff          backspace diff tasks/t1\n"
    );
    assert_eq!(fake.specs().first().unwrap().model, "scripted");
}

#[tokio::test]
async fn colours_are_there_when_they_are_asked_for() {
    let ran = on(plan(succeeded()), &["run", URL, "fix it", "--color", "always"]).await;
    assert!(ran.out.contains("\u{1b}[32m✓ Succeeded\u{1b}[0m"), "{}", ran.out);
}

#[tokio::test]
async fn the_prompt_can_come_from_standard_input() {
    let fake = Fake::new(plan(succeeded()));
    let home = Home::new();
    let input = std::fs::File::open(home.write("prompt", "fix\nit all\n", 0o644)).unwrap();
    let mut command = home.command(&["run", URL, "-"]);
    let ran: Ran = command
        .env("BACKSPACE_SERVER", fake.serve().await)
        .stdin(input)
        .output()
        .await
        .unwrap()
        .into();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(fake.specs().first().unwrap().instruction, "fix\nit all\n");
}

#[tokio::test]
async fn each_end_of_a_task_has_its_exit_code() {
    let cancelled = v1::Task {
        state: State::Cancelled.into(),
        ..Default::default()
    };
    let table = [
        (succeeded(), 0),
        (failed(Reason::AgentGaveUp), 2),
        (failed(Reason::LimitReached), 6),
        (cancelled, 3),
    ];
    for (end, code) in table {
        for form in ["text", "json"] {
            let ran = on(plan(end.clone()), &["run", URL, "fix it", "-o", form]).await;
            assert_eq!(ran.code, Some(code), "{form} {ran:?}");
        }
        let ran = on(plan(end.clone()), &["watch", "t1"]).await;
        assert_eq!(ran.code, Some(code), "{ran:?}");
        let ran = on(plan(end), &["watch", "t1", "--after", "3"]).await;
        assert_eq!(ran.code, Some(code), "a task with no more events: {ran:?}");
    }
}

#[tokio::test]
async fn each_refusal_has_its_exit_code_and_says_what_to_do() {
    let table = [
        (Code::Unauthenticated, 5, "next: give a token"),
        (Code::PermissionDenied, 5, "next: ask the server's keeper"),
        (Code::NotFound, 5, "next: see what there is with `backspace list`"),
        (Code::ResourceExhausted, 6, "next: wait"),
        (Code::Internal, 1, "next: give the message above to the server's keeper"),
    ];
    for (code, exit, next) in table {
        let plan = Plan {
            refusal: Some(refusal(code, "no \u{1b}[2J", &[])),
            ..Plan::default()
        };
        let ran = on(plan, &["run", URL, "fix it"]).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(exit), ""), "{ran:?}");
        assert!(
            ran.err.starts_with("error: no \\x1b[2J\n") && ran.err.contains(next),
            "{ran:?}"
        );
    }
}

#[tokio::test]
async fn every_invalid_field_is_listed() {
    let violations = [
        ("spec.instruction", "must not be empty"),
        ("spec.repository.url", "is no address"),
    ];
    let status = refusal(Code::InvalidArgument, "2 fields are invalid", &violations);
    let ran = on(
        Plan {
            refusal: Some(status),
            ..Plan::default()
        },
        &["run", URL, "x", "--detach"],
    )
    .await;
    assert_eq!(ran.code, Some(5));
    assert!(
        ran.err
            .contains("\n  spec.instruction: must not be empty\n  spec.repository.url: is no address\n"),
        "{}",
        ran.err
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_and_wrong_usage_have_their_codes() {
    let home = Home::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let ran = home.run_on(&address, &["list"]).await;
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.err.contains(&address) && ran.err.contains("next:"), "{ran:?}");
    assert_eq!(home.run(&["fly"]).await.code, Some(1));
    assert_eq!(home.run(&["run", "./nowhere", "x"]).await.code, Some(1));
    assert_eq!(home.run_on("http://code.example:1", &["list"]).await.code, Some(1));
    let help = home.run(&["--help"]).await;
    assert_eq!(help.code, Some(0));
    assert!(help.out.contains("Exit codes:"), "{}", help.out);
}

#[tokio::test]
async fn tasks_are_got_and_listed_over_pages() {
    let ran = on(plan(succeeded()), &["get", "tasks/t1", "-o", "json"]).await;
    let lines = json_lines(&ran.out);
    assert_eq!(
        lines.first().unwrap().pointer("/result/pullRequest/url"),
        Some(&json!(format!("{URL}/pull/7")))
    );
    assert_eq!((ran.code, lines.len()), (Some(0), 1));

    let names = |ran: &Ran| -> Vec<String> {
        let page = json_lines(&ran.out).remove(0);
        let tasks = page.get("tasks").and_then(Value::as_array).cloned().unwrap_or_default();
        tasks
            .iter()
            .map(|task| task.get("name").unwrap().as_str().unwrap().to_owned())
            .collect()
    };
    let ran = on(plan(succeeded()), &["list", "-o", "json"]).await;
    assert_eq!(
        names(&ran),
        ["tasks/t1", "tasks/t2", "tasks/t3", "tasks/t4", "tasks/t5"]
    );
    let ran = on(plan(succeeded()), &["list", "-n", "3", "-o", "json"]).await;
    assert_eq!(names(&ran), ["tasks/t1", "tasks/t2", "tasks/t3"]);
    assert_eq!(
        json_lines(&ran.out).first().unwrap().get("nextPageToken"),
        Some(&json!("3"))
    );
    let ran = on(plan(succeeded()), &["list", "-n", "3"]).await;
    assert_eq!(ran.out.lines().count(), 6, "{ran:?}");
    assert!(ran.err.contains("there are more"), "{ran:?}");
    assert_eq!(on(plan(succeeded()), &["get", "latest"]).await.code, Some(0));
    assert_eq!(on(plan(succeeded()), &["get", "t9"]).await.code, Some(5));
}

#[tokio::test]
async fn a_diff_in_a_pipe_is_byte_for_byte_and_counted_on_demand() {
    let patch = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\u{1b}[0m\n+b\u{202e}\r\n".to_owned();
    let with_patch = || Plan {
        patch: patch.clone().into_bytes(),
        ..plan(succeeded())
    };
    let ran = on(with_patch(), &["diff", "t1"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), patch.as_str()));
    let ran = on(with_patch(), &["diff", "t1", "--stat"]).await;
    assert_eq!(ran.out, "x  +1 −1\n1 file changed, +1 −1\n");
    let fake = Fake::new(with_patch());
    let ran = Home::new()
        .run_on(&fake.serve().await, &["logs", "t1", "--artifact", "exchanges"])
        .await;
    assert_eq!(ran.out, patch);
    assert!(
        fake.calls().contains(&"tasks/t1/artifacts/exchanges".to_owned()),
        "{:?}",
        fake.calls()
    );
}

#[tokio::test]
async fn a_detached_task_is_named_and_a_message_says_who_acts_on_it() {
    let ran = on(plan(succeeded()), &["run", URL, "x", "--detach"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "tasks/t1\n"));
    assert!(ran.err.contains("watch tasks/t1"), "{ran:?}");
    let ran = on(plan(succeeded()), &["message", "t1", "use tabs"]).await;
    assert!(ran.out.starts_with("tasks/t2 goes on from tasks/t1\n"), "{ran:?}");
}

#[tokio::test]
async fn a_cancelled_task_is_waited_for_on_demand() {
    let fake = Fake::new(Plan {
        then: Then::WaitForCancel,
        ..plan(v1::Task::default())
    });
    let ran = Home::new()
        .run_on(&fake.serve().await, &["cancel", "t1", "--reason", "late", "--wait"])
        .await;
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (Some(0), "tasks/t1 is cancelled\n"),
        "{ran:?}"
    );
    assert!(fake.calls().contains(&"reason late".to_owned()));
}

#[tokio::test]
async fn nothing_is_deleted_without_being_asked() {
    let fake = Fake::new(plan(succeeded()));
    let (home, address) = (Home::new(), fake.serve().await);
    assert_eq!(home.run_on(&address, &["delete", "t1"]).await.code, Some(1));
    assert!(!fake.calls().contains(&"DeleteTask".to_owned()));
    assert_eq!(home.run_on(&address, &["delete", "t1", "--yes"]).await.code, Some(0));
    assert!(fake.calls().contains(&"DeleteTask".to_owned()));
}

#[tokio::test]
async fn doctor_fails_for_a_server_where_no_task_can_run() {
    let ran = on(Plan::default(), &["doctor"]).await;
    assert_eq!(ran.code, Some(7), "{ran:?}");
    assert!(
        ran.out
            .contains("✗ no model can be used\n  next: set ANTHROPIC_API_KEY"),
        "{ran:?}"
    );
    let backend = v1::get_server_info_response::SandboxBackend {
        active: true,
        ..Default::default()
    };
    let info = v1::GetServerInfoResponse {
        models: vec!["a/b".to_owned()],
        sandbox_backends: vec![backend],
        forges: vec!["local".to_owned()],
        ..Default::default()
    };
    let ran = on(
        Plan {
            info,
            ..Plan::default()
        },
        &["doctor"],
    )
    .await;
    assert!(ran.code == Some(0) && ran.out.ends_with("✓ tasks can run\n"), "{ran:?}");
}

#[tokio::test]
async fn ctrl_c_leaves_a_task_on_a_server_of_its_own_and_says_how_to_come_back() {
    let fake = Fake::new(Plan {
        then: Then::WaitForCancel,
        ..plan(v1::Task::default())
    });
    let home = Home::new();
    let mut command = home.command(&["run", URL, "fix it", "-o", "json"]);
    let mut child = command.env("BACKSPACE_SERVER", fake.serve().await).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..3 {
        lines.next_line().await.unwrap().unwrap();
    }
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let ran: Ran = child.wait_with_output().await.unwrap().into();
    assert_eq!(ran.code, Some(130), "{ran:?}");
    assert!(
        ran.err.contains(&format!("watch {TASK} --after 2")) && ran.err.contains("cancel"),
        "{ran:?}"
    );
    assert!(!fake.calls().contains(&"CancelTask".to_owned()));
}

#[tokio::test]
async fn a_replay_that_diverges_says_where_and_has_its_own_exit_code() {
    let message = format!(
        "{} in turn 3: exchange 4 has another item 5",
        backspace_sdk::REPLAY_DIVERGES
    );
    let diverging = || {
        let mut plan = plan(succeeded());
        plan.events.push(Payload::Warning(v1::Warning {
            message: message.clone(),
        }));
        plan
    };
    let fake = Fake::new(diverging());
    let ran = Home::new().run_on(&fake.serve().await, &["replay", "t1"]).await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(1), ""));
    assert!(ran.out.ends_with(&format!("{message}\n")), "{}", ran.out);
    assert_eq!(
        fake.specs().last().map(|spec| spec.model.clone()),
        Some("replay/t1".to_owned())
    );
    let ran = on(plan(succeeded()), &["replay", "t1"]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.ends_with("tasks/t1 was replayed as recorded\n"), "{}", ran.out);
    // The Task's own bad end goes before the divergence.
    let failing = Plan {
        end: failed(Reason::AgentGaveUp),
        ..diverging()
    };
    assert_eq!(on(failing, &["replay", "t1"]).await.code, Some(2));
}
