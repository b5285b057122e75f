//! How a Task that did not open a pull request ends on the screen.

use super::*;

#[test]
fn a_failed_task_tells_why_what_was_seen_and_where_its_work_is() {
    let mut report = report(Output::Other, Detail::Events);
    let task = v1::Task {
        name: "tasks/t1".to_owned(),
        state: State::Failed.into(),
        outcome: Some(Outcome::Failure(v1::Failure {
            reason: v1::failure::Reason::AgentGaveUp.into(),
            message: "the checks stay red".to_owned(),
            retryable: true,
        })),
        preserved_work: Some(v1::PreservedWork {
            branch: "backspace/kept".to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let text = show(
        &mut report,
        vec![
            check(true, Some(0), Verdict::Unspecified),
            check(false, Some(1), Verdict::NewlyRed),
            check(false, None, Verdict::NewlyRed),
            finished(task),
        ],
    );
    assert_eq!(
        text,
        "  ✓ cargo test on the base: green  3.1 s
  ✗ cargo test on the change: red, exit 1  3.1 s
  ✗ cargo test on the change: killed  3.1 s

✗ Failed
  the agent gave up: the checks stay red
  the same task may succeed when it is run again

  check       base          change
  cargo test  green  3.1 s  killed  3.1 s  newly red

  kept on  backspace/kept
  diff     backspace diff tasks/t1
  log      backspace logs tasks/t1
"
    );
}

#[test]
fn other_ends() {
    let of = |kind: v1::task_result::Kind, summary: &str| v1::Task {
        name: "tasks/t1".to_owned(),
        state: State::Succeeded.into(),
        outcome: Some(Outcome::Result(v1::TaskResult {
            kind: kind.into(),
            summary: summary.to_owned(),
            ..Default::default()
        })),
        ..Default::default()
    };
    let text = |task: v1::Task| report(Output::Other, Detail::Events).ending(&task).join("\n");
    assert_eq!(
        text(of(v1::task_result::Kind::NoChange, "It is right as it is.")),
        "\n✓ No change needed\n  It is right as it is."
    );
    assert_eq!(
        text(of(v1::task_result::Kind::Patch, "")),
        "\n✓ Succeeded\n\n  apply  backspace diff tasks/t1 | git apply\n  diff   backspace diff tasks/t1"
    );
    let cancelled = v1::Task {
        name: "tasks/t1".to_owned(),
        state: State::Cancelled.into(),
        preserved_work: Some(v1::PreservedWork {
            patch: "x".to_owned(),
            patch_truncated: true,
            ..Default::default()
        }),
        ..Default::default()
    };
    assert_eq!(
        text(cancelled),
        "\n■ Cancelled\n\n  kept as  a patch on the server\n  diff     backspace diff tasks/t1"
    );
    let of_the_future = v1::Task {
        name: "tasks/t1".to_owned(),
        state: 99,
        ..Default::default()
    };
    assert_eq!(text(of_the_future), "\n▶ Unknown state");
}
