//! The objects of the replaced service's stream, made from events.

use backspace_sdk::v1;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use v1::task_event::Payload;

/// Makes the object that names the Task.
pub(crate) fn accepted(response: &v1::RunTaskResponse) -> Value {
    let task = &response.task;
    let time = response.event.as_ref().and_then(|event| event.event_time);
    json!({
        "type": "Task",
        "task": task,
        "events": format!("/api/v1/{task}/events"),
        "message": format!("{task} was accepted"),
        "timestamp": timestamp(time),
    })
}

/// Makes the object of an event; `None` for one that the replaced service had nothing like.
pub(crate) fn of(event: v1::TaskEvent) -> Option<Value> {
    let v1::TaskEvent {
        sequence: _,
        event_time,
        payload,
    } = event;
    let mut object = match payload? {
        Payload::StateChanged(v1::StateChanged { state }) => said(phase_notice(state)?),
        Payload::AssistantMessage(message) => said(&message.text),
        Payload::Warning(v1::Warning { message }) => said(&message),
        Payload::RunResumed(v1::RunResumed { cause, run: _ }) => said(&format!("Going on: {cause}")),
        Payload::ToolCallFinished(call) => tool(&call),
        Payload::Progress(v1::Progress { percent, step }) => {
            json!({"type": "Progress", "progress": percent, "step": step})
        }
        Payload::TaskFinished(v1::TaskFinished { task }) => finished(task.as_ref()?),
        Payload::ToolCallStarted(_)
        | Payload::RetryScheduled(_)
        | Payload::UsageUpdated(_)
        | Payload::PlanUpdated(_)
        | Payload::FilesChanged(_)
        | Payload::CheckpointSaved(_)
        | Payload::VerificationStarted(_)
        | Payload::VerificationFinished(_)
        | Payload::PullRequestOpened(_)
        | Payload::ContextCompacted(_)
        | Payload::CancelRequested(_)
        | Payload::PolicyDenied(_)
        | Payload::UserMessage(_)
        | Payload::AssistantDelta(_)
        | Payload::ToolOutputDelta(_) => return None,
    };
    if let Value::Object(fields) = &mut object {
        fields.insert("timestamp".to_owned(), timestamp(event_time));
    }
    Some(object)
}

fn said(message: &str) -> Value {
    json!({"type": "AI Message", "message": message})
}

fn phase_notice(state: i32) -> Option<&'static str> {
    match v1::task::State::try_from(state).ok()? {
        v1::task::State::Queued => Some("Waiting for a free slot"),
        v1::task::State::Preparing => Some("Fetching the repository and creating the sandbox"),
        v1::task::State::Running => Some("Working on the change"),
        v1::task::State::Verifying => Some("Running the repository's own checks"),
        v1::task::State::Publishing => Some("Publishing the change"),
        v1::task::State::Succeeded
        | v1::task::State::Failed
        | v1::task::State::Cancelled
        | v1::task::State::Unspecified => None,
    }
}

fn tool(call: &v1::ToolCallFinished) -> Value {
    let v1::ToolCallFinished {
        tool,
        command,
        output,
        exit_code,
        ..
    } = call;
    let mut object = json!({"type": format!("Tool: {}", title(tool)), "command": command, "output": output});
    if let (Some(code), Value::Object(fields)) = (exit_code, &mut object) {
        fields.insert("exit_code".to_owned(), json!(code));
    }
    object
}

/// `read_file` → `Read File`.
fn title(tool: &str) -> String {
    let words = tool.split('_').map(|word| {
        let mut letters = word.chars();
        letters
            .next()
            .map(|first| first.to_uppercase().chain(letters).collect::<String>())
    });
    words.flatten().collect::<Vec<_>>().join(" ")
}

fn finished(task: &v1::Task) -> Value {
    match &task.outcome {
        Some(v1::task::Outcome::Result(result)) => succeeded(result),
        Some(v1::task::Outcome::Failure(failure)) => json!({
            "type": "Error",
            "message": failure.message,
            "retryable": failure.retryable,
            "branch": task.preserved_work.as_ref().map(|work| &work.branch).filter(|branch| !branch.is_empty()),
        }),
        None => json!({"type": "Error", "message": "The task was cancelled"}),
    }
}

fn succeeded(result: &v1::TaskResult) -> Value {
    let message = match v1::task_result::Kind::try_from(result.kind) {
        Ok(v1::task_result::Kind::PullRequest) => {
            let url = result.pull_request.as_ref().map(|opened| opened.url.as_str());
            format!("Pull request opened: {}", url.unwrap_or_default())
        }
        Ok(v1::task_result::Kind::Branch) => format!("Branch pushed: {}", result.branch),
        Ok(v1::task_result::Kind::NoChange) => format!("Nothing had to change: {}", result.summary),
        Ok(v1::task_result::Kind::Patch | v1::task_result::Kind::Unspecified) | Err(_) => {
            "The change is in the patch; nothing was pushed".to_owned()
        }
    };
    let url = result.pull_request.as_ref().map(|opened| &opened.url);
    let patch = Some(&result.patch).filter(|_| url.is_none());
    let mut object = json!({"type": "Success", "message": message, "summary": result.summary});
    if let Value::Object(fields) = &mut object {
        fields.extend(url.map(|url| ("pull_request_url".to_owned(), json!(url))));
        fields.extend(patch.map(|patch| ("patch".to_owned(), json!(patch))));
    }
    object
}

fn timestamp(time: Option<prost_types::Timestamp>) -> Value {
    let prost_types::Timestamp { seconds, nanos } = time.unwrap_or_default();
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .map(|moment| moment + time::Duration::nanoseconds(nanos.into()))
        .and_then(|moment| moment.format(&Rfc3339).ok())
        .map_or(Value::Null, Value::String)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(payload: Payload) -> Option<Value> {
        of(v1::TaskEvent {
            sequence: 1,
            event_time: Some(prost_types::Timestamp {
                seconds: 1_700_000_000,
                nanos: 250_000_000,
            }),
            payload: Some(payload),
        })
    }

    fn finished(outcome: Option<v1::task::Outcome>) -> Payload {
        Payload::TaskFinished(v1::TaskFinished {
            task: Some(v1::Task {
                outcome,
                ..v1::Task::default()
            }),
        })
    }

    #[test]
    fn events_become_the_objects_of_the_replaced_service() {
        let at = "2023-11-14T22:13:20.25Z";
        let call = |tool: &str, command: &str| v1::ToolCallFinished {
            tool: tool.into(),
            command: command.into(),
            output: "out".into(),
            ..v1::ToolCallFinished::default()
        };
        let failure = v1::Failure {
            message: "no".into(),
            ..v1::Failure::default()
        };
        let opened = v1::TaskResult {
            kind: v1::task_result::Kind::PullRequest.into(),
            summary: "s".into(),
            pull_request: Some(v1::PullRequest {
                url: "https://x/1".into(),
                ..v1::PullRequest::default()
            }),
            ..v1::TaskResult::default()
        };
        for (payload, expected) in [
            (
                Payload::StateChanged(v1::StateChanged { state: 3 }),
                json!({"type": "AI Message", "message": "Working on the change", "timestamp": at}),
            ),
            (
                Payload::AssistantMessage(v1::AssistantMessage {
                    text: "hi".into(),
                    ..Default::default()
                }),
                json!({"type": "AI Message", "message": "hi", "timestamp": at}),
            ),
            (
                Payload::ToolCallFinished(v1::ToolCallFinished {
                    exit_code: Some(1),
                    ..call("bash", "ls")
                }),
                json!({"type": "Tool: Bash", "command": "ls", "output": "out", "exit_code": 1, "timestamp": at}),
            ),
            (
                Payload::ToolCallFinished(call("read_file", "")),
                json!({"type": "Tool: Read File", "command": "", "output": "out", "timestamp": at}),
            ),
            (
                Payload::Progress(v1::Progress {
                    percent: 5,
                    step: "s".into(),
                }),
                json!({"type": "Progress", "progress": 5, "step": "s", "timestamp": at}),
            ),
            (
                finished(Some(v1::task::Outcome::Result(opened))),
                json!({"type": "Success", "message": "Pull request opened: https://x/1", "summary": "s",
                       "pull_request_url": "https://x/1", "timestamp": at}),
            ),
            (
                finished(Some(v1::task::Outcome::Failure(failure))),
                json!({"type": "Error", "message": "no", "retryable": false, "branch": null, "timestamp": at}),
            ),
            (
                finished(None),
                json!({"type": "Error", "message": "The task was cancelled", "timestamp": at}),
            ),
        ] {
            assert_eq!(object(payload), Some(expected));
        }
        assert_eq!(object(Payload::AssistantDelta(v1::AssistantDelta::default())), None);
        assert_eq!(object(Payload::StateChanged(v1::StateChanged { state: 6 })), None);
    }
}
