//! What a person sees, as text.

use backspace_sdk::v1::task::Outcome;
use backspace_sdk::v1::tool_call_finished::Outcome as CallOutcome;
use backspace_sdk::v1::{self, Verdict};
use prost_types::{Duration as WireDuration, Timestamp};

use super::*;

mod ends;
mod hostile;

fn report(bar: Output, detail: Detail) -> Report {
    Report::new(Style {
        paint: Paint::PLAIN,
        bar,
        detail,
        invocation: "backspace".to_owned(),
    })
}

fn show(report: &mut Report, payloads: Vec<Payload>) -> String {
    let mut sequence = 0;
    let lines = payloads.into_iter().flat_map(|payload| {
        sequence += 1;
        report.event(&v1::TaskEvent {
            sequence,
            event_time: None,
            payload: Some(payload),
        })
    });
    lines.map(|line| format!("{line}\n")).collect()
}

fn ms(ms: i64) -> Option<WireDuration> {
    Some(WireDuration {
        seconds: ms / 1_000,
        nanos: i32::try_from(ms % 1_000).unwrap() * 1_000_000,
    })
}

fn entered(state: State) -> Payload {
    Payload::StateChanged(v1::StateChanged { state: state.into() })
}

fn progress(percent: u32, step: &str) -> Payload {
    Payload::Progress(v1::Progress {
        percent,
        step: step.to_owned(),
    })
}

fn call(id: &str, arguments: &str, exit_code: Option<i32>, tool: &str) -> [Payload; 2] {
    let command = if tool == "bash" { "cargo test -q" } else { "" };
    [
        Payload::ToolCallStarted(v1::ToolCallStarted {
            call_id: id.to_owned(),
            tool: tool.to_owned(),
            arguments_json: arguments.to_owned(),
            ..Default::default()
        }),
        Payload::ToolCallFinished(v1::ToolCallFinished {
            call_id: id.to_owned(),
            outcome: CallOutcome::Ok.into(),
            exit_code,
            output: "running 3 tests\n\x1b[31mFAILED\x1b[0m\n".to_owned(),
            duration: ms(3_210),
            tool: tool.to_owned(),
            command: command.to_owned(),
            ..Default::default()
        }),
    ]
}

fn check(baseline: bool, exit_code: Option<i32>, verdict: Verdict) -> Payload {
    Payload::VerificationFinished(v1::VerificationFinished {
        command: "cargo test".to_owned(),
        exit_code,
        duration: ms(3_100),
        baseline,
        verdict: verdict.into(),
        ..Default::default()
    })
}

fn evidence(baseline: bool, exit_code: i32, verdict: Verdict) -> v1::Evidence {
    v1::Evidence {
        command: "cargo test".to_owned(),
        exit_code: Some(exit_code),
        duration: ms(3_100),
        baseline,
        verdict: verdict.into(),
        ..Default::default()
    }
}

fn succeeded() -> v1::Task {
    v1::Task {
        name: "tasks/t1".to_owned(),
        state: State::Succeeded.into(),
        create_time: Some(Timestamp { seconds: 100, nanos: 0 }),
        end_time: Some(Timestamp { seconds: 223, nanos: 0 }),
        usage: Some(v1::Usage {
            input_tokens: 12_345,
            output_tokens: 678,
            turns: 5,
            cost_micro_usd: Some(120_000),
            ..Default::default()
        }),
        findings: vec![v1::Finding {
            kind: v1::finding::Kind::TestSkipped.into(),
            path: "tests/a.rs".to_owned(),
            message: "ignored".to_owned(),
        }],
        outcome: Some(Outcome::Result(v1::TaskResult {
            kind: v1::task_result::Kind::PullRequest.into(),
            summary: "The sum forgot its last item.".to_owned(),
            evidence: vec![
                evidence(true, 101, Verdict::Unspecified),
                evidence(false, 0, Verdict::Passed),
            ],
            branch: "backspace/fix-sum-t1".to_owned(),
            patch: "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1,2 @@\n-a\n+b\n+c\n".to_owned(),
            pull_request: Some(v1::PullRequest {
                url: "https://github.com/o/r/pull/7".to_owned(),
                draft: true,
                ..Default::default()
            }),
            ..Default::default()
        })),
        ..Default::default()
    }
}

fn finished(task: v1::Task) -> Payload {
    Payload::TaskFinished(v1::TaskFinished { task: Some(task) })
}

#[test]
fn a_run_from_its_header_to_its_pull_request() {
    let mut report = report(Output::Other, Detail::Events);
    let spec = v1::TaskSpec {
        instruction: "Fix the failing test".to_owned(),
        repository: Some(v1::Repository {
            url: "https://github.com/o/r".to_owned(),
            revision: None,
        }),
        model: "anthropic/m".to_owned(),
        ..Default::default()
    };
    let mut text: String = report
        .header("tasks/t1", &spec)
        .iter()
        .map(|line| format!("{line}\n"))
        .collect();
    let step = |title: &str, state: v1::plan_updated::State| v1::plan_updated::Step {
        title: title.to_owned(),
        state: state.into(),
    };
    let mut payloads = vec![
        entered(State::Preparing),
        progress(10, "Cloning repository"),
        progress(12, "Cloning repository"),
        check(true, Some(101), Verdict::Unspecified),
        entered(State::Running),
        Payload::AssistantMessage(v1::AssistantMessage {
            text: "I look at the test.\n".to_owned(),
            ..Default::default()
        }),
        Payload::PlanUpdated(v1::PlanUpdated {
            steps: vec![
                step("Read the test", v1::plan_updated::State::Done),
                step("Fix the sum", v1::plan_updated::State::InProgress),
                step("Run the tests", v1::plan_updated::State::Pending),
            ],
        }),
    ];
    payloads.extend(call("c1", r#"{"path":"src/sum.rs"}"#, None, "read_file"));
    payloads.extend(call("c2", r#"{"command":"cargo test -q"}"#, Some(101), "bash"));
    payloads.extend([
        Payload::FilesChanged(v1::FilesChanged {
            files: vec![v1::files_changed::File {
                status: v1::files_changed::Status::Modified.into(),
                path: "src/sum.rs".to_owned(),
                added: 2,
                removed: 1,
                ..Default::default()
            }],
            ..Default::default()
        }),
        Payload::PolicyDenied(v1::PolicyDenied {
            policy: "egress".to_owned(),
            subject: "evil.example".to_owned(),
            message: "not allowed".to_owned(),
        }),
        entered(State::Verifying),
        check(false, Some(0), Verdict::Passed),
        entered(State::Publishing),
        entered(State::Succeeded),
        finished(succeeded()),
    ]);
    text.push_str(&show(&mut report, payloads));
    assert_eq!(
        text,
        "\
tasks/t1  https://github.com/o/r
  Fix the failing test
  model anthropic/m

▶ Preparing
  [ 10 %] Cloning repository
  ✗ cargo test on the base: red, exit 101  3.1 s
▶ Working
  I look at the test.
  ☑ Read the test
  ◐ Fix the sum
  ☐ Run the tests
  ✓ read_file src/sum.rs                                      3.2 s
  ✗ bash cargo test -q                                        exit 101  3.2 s
  M src/sum.rs  +2 −1
  ⊘ refused (egress): evil.example — not allowed
▶ Checking the change
  ✓ cargo test on the change: green  3.1 s
▶ Publishing

✓ Succeeded in 2 min 3 s
  The sum forgot its last item.

  check       base                  change
  cargo test  red, exit 101  3.1 s  green  3.1 s  passed

  1 file changed, +2 −1

  look at this first
  ! test skipped  tests/a.rs  ignored

  spent         5 turns · 12,345 tokens in, 678 out · $0.12
  pull request  https://github.com/o/r/pull/7  (draft)
  branch        backspace/fix-sum-t1
  diff          backspace diff tasks/t1
"
    );
}

#[test]
fn with_everything_the_output_of_commands_is_shown_escaped() {
    let mut report = report(Output::Other, Detail::Everything);
    let text = show(&mut report, call("c1", "{}", Some(1), "bash").to_vec());
    assert_eq!(
        text,
        "  ✗ bash cargo test -q                                        exit 1  3.2 s\n    │ running 3 tests\n    \
         │ \\x1b[31mFAILED\\x1b[0m\n"
    );
}

#[test]
fn calls_whose_work_is_shown_elsewhere_get_no_line_unless_they_fail() {
    let mut shown = report(Output::Other, Detail::Events);
    assert_eq!(show(&mut shown, call("c1", "{}", None, "todo").to_vec()), "");
    assert_eq!(show(&mut shown, call("c2", "{}", None, "finish").to_vec()), "");
    let [_, Payload::ToolCallFinished(mut rejected)] = call("c3", "{}", None, "finish") else {
        panic!("not a call")
    };
    rejected.outcome = CallOutcome::Rejected.into();
    assert!(show(&mut shown, vec![Payload::ToolCallFinished(rejected)]).contains("! finish"));
}

#[test]
fn on_a_terminal_progress_is_the_bar_alone() {
    let mut report = report(Output::Terminal, Detail::Events);
    assert_eq!(show(&mut report, vec![progress(45, "Cloning repository")]), "");
    assert_eq!(
        report.status(Duration::from_secs(5), 80),
        "[█████████░░░░░░░░░░░]  45 %  0:05  Cloning repository"
    );
    let [started, ended] = call("c1", r#"{"command":"cargo test"}"#, Some(0), "bash");
    show(&mut report, vec![started]);
    assert_eq!(
        report.status(Duration::ZERO, 80),
        "[█████████░░░░░░░░░░░]  45 %  0:00  bash cargo test"
    );
    show(&mut report, vec![ended]);
    assert_eq!(
        report.status(Duration::ZERO, 80),
        "[█████████░░░░░░░░░░░]  45 %  0:00  Cloning repository"
    );
}

#[test]
fn remarks_are_one_line_each() {
    let mut report = report(Output::Other, Detail::Events);
    let text = show(
        &mut report,
        vec![
            Payload::RetryScheduled(v1::RetryScheduled {
                component: "model".to_owned(),
                attempt: 2,
                delay: ms(4_000),
                message: "overloaded\nbody".to_owned(),
            }),
            Payload::Warning(v1::Warning {
                message: "no tests were found".to_owned(),
            }),
            Payload::CancelRequested(v1::CancelRequested {
                requester: "ann".to_owned(),
                reason: "late".to_owned(),
            }),
            Payload::UserMessage(v1::UserMessage {
                text: "use tabs".to_owned(),
            }),
            Payload::RunResumed(v1::RunResumed {
                cause: "the server was restarted".to_owned(),
                run: 2,
            }),
            Payload::ContextCompacted(v1::ContextCompacted {
                tokens_before: 120_000,
                tokens_after: 30_000,
            }),
            Payload::CheckpointSaved(v1::CheckpointSaved {
                commit: "abc".to_owned(),
            }),
        ],
    );
    assert_eq!(
        text,
        "  ↻ model failed, try 2, again in 4.0 s: overloaded\\nbody
  ⚠ no tests were found
  ■ ann asked for the task to stop: late
  ✉ message: use tabs
  ↺ run 2 goes on: the server was restarted
  the conversation was shortened from about 120,000 to 30,000 tokens
"
    );
}

#[test]
fn an_event_of_the_future_is_skipped() {
    let event = v1::TaskEvent {
        sequence: 1,
        event_time: None,
        payload: None,
    };
    assert_eq!(
        report(Output::Other, Detail::Everything).event(&event),
        Vec::<String>::new()
    );
}
