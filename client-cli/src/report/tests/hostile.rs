//! No text of others reaches the terminal as it is, whatever field of whatever event it is in.

use super::*;

/// One message of every kind, each text of it hostile.
fn hostile_events(text: &str) -> Vec<Payload> {
    let hostile = || text.to_owned();
    let mut task = succeeded();
    task.name = hostile();
    task.findings = vec![v1::Finding {
        kind: 99,
        path: hostile(),
        message: hostile(),
    }];
    task.preserved_work = Some(v1::PreservedWork {
        branch: hostile(),
        pull_request: Some(v1::PullRequest {
            url: hostile(),
            ..Default::default()
        }),
        patch: format!("diff --git a/{text} b/{text}\n@@ -0,0 +1 @@\n+{text}\n"),
        ..Default::default()
    });
    let mut failed = task.clone();
    failed.state = State::Failed.into();
    failed.outcome = Some(Outcome::Failure(v1::Failure {
        reason: 99,
        message: hostile(),
        retryable: true,
    }));
    if let Some(Outcome::Result(result)) = &mut task.outcome {
        result.summary = hostile();
        result.branch = hostile();
        result.evidence = vec![v1::Evidence {
            command: hostile(),
            ..Default::default()
        }];
        result.pull_request = Some(v1::PullRequest {
            url: hostile(),
            ..Default::default()
        });
    }
    vec![
        Payload::Progress(v1::Progress {
            percent: u32::MAX,
            step: hostile(),
        }),
        Payload::AssistantMessage(v1::AssistantMessage {
            text: hostile(),
            text_truncated: true,
            artifact: format!("tasks/{text}/artifacts/{text}"),
            ..Default::default()
        }),
        Payload::ToolCallStarted(v1::ToolCallStarted {
            call_id: hostile(),
            tool: hostile(),
            arguments_json: serde_json::json!({ "command": text }).to_string(),
            ..Default::default()
        }),
        Payload::ToolCallFinished(v1::ToolCallFinished {
            call_id: hostile(),
            outcome: 99,
            output: hostile(),
            output_truncated: true,
            command: hostile(),
            artifact: hostile(),
            ..Default::default()
        }),
        Payload::PlanUpdated(v1::PlanUpdated {
            steps: vec![v1::plan_updated::Step {
                title: hostile(),
                state: 99,
            }],
        }),
        Payload::FilesChanged(v1::FilesChanged {
            files: vec![v1::files_changed::File {
                path: hostile(),
                old_path: hostile(),
                ..Default::default()
            }],
            diff: hostile(),
            ..Default::default()
        }),
        Payload::CheckpointSaved(v1::CheckpointSaved { commit: hostile() }),
        Payload::VerificationStarted(v1::VerificationStarted {
            command: hostile(),
            ..Default::default()
        }),
        Payload::VerificationFinished(v1::VerificationFinished {
            command: hostile(),
            output: hostile(),
            artifact: hostile(),
            ..Default::default()
        }),
        Payload::RetryScheduled(v1::RetryScheduled {
            component: hostile(),
            message: hostile(),
            ..Default::default()
        }),
        Payload::PullRequestOpened(v1::PullRequestOpened {
            pull_request: Some(v1::PullRequest {
                url: hostile(),
                ..Default::default()
            }),
        }),
        Payload::Warning(v1::Warning { message: hostile() }),
        Payload::CancelRequested(v1::CancelRequested {
            requester: hostile(),
            reason: hostile(),
        }),
        Payload::PolicyDenied(v1::PolicyDenied {
            policy: hostile(),
            subject: hostile(),
            message: hostile(),
        }),
        Payload::UserMessage(v1::UserMessage { text: hostile() }),
        Payload::RunResumed(v1::RunResumed {
            cause: hostile(),
            run: 2,
        }),
        finished(task),
        finished(failed),
    ]
}

proptest::proptest! {
    #[test]
    fn no_field_of_any_event_reaches_the_terminal_unescaped(
        text in "[a-z]{0,3}(\\x1b\\[2J|\\x1b\\]52;c;x\\x07|\u{9b}1A|\u{202e}|\r|\n|\t|\u{e0041}|\\x00|[a-z]){0,6}"
    ) {
        let mut report = report(Output::Other, Detail::Everything);
        let spec = v1::TaskSpec {
            instruction: text.clone(),
            repository: Some(v1::Repository { url: text.clone(), revision: None }),
            model: text.clone(),
            ..Default::default()
        };
        let mut lines = report.header(&text, &spec);
        for payload in hostile_events(&text) {
            lines.extend(report.event(&v1::TaskEvent { sequence: 1, event_time: None, payload: Some(payload) }));
            lines.push(report.status(Duration::ZERO, 200));
        }
        for line in lines {
            let acts = |character: char| {
                character.is_control() && character != '\t' || matches!(character, '\u{202e}' | '\u{e0041}')
            };
            proptest::prop_assert!(!line.chars().any(acts), "{line:?}");
        }
    }
}
