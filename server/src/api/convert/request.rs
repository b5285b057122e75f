//! Requests: each is read whole, and everything that is wrong with it is reported at once.

use backspace_sdk::v1;
use uuid::Uuid;

use crate::api::convert::{Violations, name, page, spec, task};
use crate::api::edge::EdgeError;
use crate::orchestrator::{ListRequest, MessageRequest, Watch};
use crate::task::id::{ArtifactId, Sequence, TaskId};
use crate::task::spec::{SpecPolicy, TaskSpec, check_message};
use crate::task::state::State;

const MAX_REASON_BYTES: usize = 4096;
const MAX_STATES: usize = 64;

/// A Task to be started.
#[derive(Debug, PartialEq)]
pub(crate) struct Submit {
    /// What was asked for.
    pub(crate) spec: TaskSpec,
    /// Makes it idempotent.
    pub(crate) request_id: Option<Uuid>,
}

/// A page to be listed.
#[derive(Debug)]
pub(crate) struct List {
    /// Most Tasks on the page.
    pub(crate) page_size: u32,
    /// The filter, for the next page's token.
    pub(crate) states: Vec<State>,
    /// What to ask for: one more than the page, to see whether there is a next one.
    pub(crate) request: ListRequest,
}

/// Events to be watched.
#[derive(Debug, PartialEq)]
pub(crate) struct WatchFrom {
    /// Of which Task.
    pub(crate) task: TaskId,
    /// After which one.
    pub(crate) after: Sequence,
    /// Which kinds.
    pub(crate) watch: Watch,
}

/// Reads RunTask's request.
pub(crate) fn run_task(request: v1::RunTaskRequest, policy: &SpecPolicy) -> Result<Submit, EdgeError> {
    let v1::RunTaskRequest { spec, request_id } = request;
    submit(spec, &request_id, policy)
}

/// Reads CreateTask's request.
pub(crate) fn create_task(request: v1::CreateTaskRequest, policy: &SpecPolicy) -> Result<Submit, EdgeError> {
    let v1::CreateTaskRequest { spec, request_id } = request;
    submit(spec, &request_id, policy)
}

fn submit(asked: Option<v1::TaskSpec>, request_id: &str, policy: &SpecPolicy) -> Result<Submit, EdgeError> {
    let mut violations = Violations::default();
    let spec = violations.take_all(spec::parse(asked, policy));
    let request_id = violations.take(name::parse_request_id("request_id", request_id));
    match (spec, request_id) {
        (Some(spec), Some(request_id)) => Ok(Submit { spec, request_id }),
        _ => Err(violations.into_error()),
    }
}

/// Reads GetTask's request.
pub(crate) fn get_task(request: v1::GetTaskRequest) -> Result<TaskId, EdgeError> {
    let v1::GetTaskRequest { name } = request;
    named(&name)
}

/// Reads DeleteTask's request.
pub(crate) fn delete_task(request: v1::DeleteTaskRequest) -> Result<TaskId, EdgeError> {
    let v1::DeleteTaskRequest { name } = request;
    named(&name)
}

fn named(name: &str) -> Result<TaskId, EdgeError> {
    name::parse_task("name", name).map_err(|violation| EdgeError::Invalid(vec![violation]))
}

/// Reads ListTasks' request.
pub(crate) fn list_tasks(request: v1::ListTasksRequest) -> Result<List, EdgeError> {
    let v1::ListTasksRequest {
        page_size,
        page_token,
        states: wanted,
    } = request;
    let mut violations = Violations::default();
    if wanted.len() > MAX_STATES {
        violations.add(
            "states",
            format!("has {} entries; at most {MAX_STATES} are taken", wanted.len()),
        );
    }
    let mut states = Vec::new();
    for (index, value) in wanted.into_iter().take(MAX_STATES).enumerate() {
        states.extend(violations.take(task::parse_state(&format!("states[{index}]"), value)));
    }
    states.sort_unstable();
    states.dedup();
    let page_size = violations.take(page::parse_size("page_size", page_size));
    let after = violations.take(page::parse_token("page_token", &page_token, &states));
    match (page_size, after) {
        (Some(page_size), Some(after)) if violations.is_empty() => Ok(List {
            page_size,
            request: ListRequest {
                states: states.clone(),
                limit: page_size + 1,
                after,
            },
            states,
        }),
        _ => Err(violations.into_error()),
    }
}

/// Reads CancelTask's request.
pub(crate) fn cancel_task(request: v1::CancelTaskRequest) -> Result<(TaskId, String), EdgeError> {
    let v1::CancelTaskRequest { name, reason } = request;
    let mut violations = Violations::default();
    let task = violations.take(name::parse_task("name", &name));
    if reason.len() > MAX_REASON_BYTES || reason.contains('\0') {
        violations.add(
            "reason",
            format!("must be at most {MAX_REASON_BYTES} bytes without NUL"),
        );
    }
    match task {
        Some(task) if violations.is_empty() => Ok((task, reason)),
        _ => Err(violations.into_error()),
    }
}

/// Reads SendMessage's request.
pub(crate) fn send_message(request: v1::SendMessageRequest) -> Result<(TaskId, MessageRequest), EdgeError> {
    let v1::SendMessageRequest {
        name,
        text,
        request_id,
        include_review_comments,
    } = request;
    let mut violations = Violations::default();
    let task = violations.take(name::parse_task("name", &name));
    if !(include_review_comments && text.is_empty()) {
        violations.take(check_message(&text));
    }
    let request_id = violations.take(name::parse_request_id("request_id", &request_id));
    match (task, request_id) {
        (Some(task), Some(request_id)) if violations.is_empty() => Ok((
            task,
            MessageRequest {
                text,
                include_review_comments,
                request_id,
            },
        )),
        _ => Err(violations.into_error()),
    }
}

/// Reads ReadArtifact's request.
pub(crate) fn read_artifact(request: v1::ReadArtifactRequest) -> Result<(TaskId, ArtifactId, u64), EdgeError> {
    let v1::ReadArtifactRequest { name, offset } = request;
    name::parse_artifact("name", &name)
        .map(|(task, artifact)| (task, artifact, offset))
        .map_err(|violation| EdgeError::Invalid(vec![violation]))
}

/// Reads WatchTask's request.
pub(crate) fn watch_task(request: v1::WatchTaskRequest) -> Result<WatchFrom, EdgeError> {
    let v1::WatchTaskRequest {
        name,
        after_sequence,
        durable_only,
    } = request;
    Ok(WatchFrom {
        task: named(&name)?,
        after: Sequence(after_sequence),
        watch: if durable_only { Watch::DurableOnly } else { Watch::All },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields<T: std::fmt::Debug>(result: Result<T, EdgeError>) -> Vec<String> {
        match result.unwrap_err() {
            EdgeError::Invalid(violations) => violations.into_iter().map(|violation| violation.field).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_request_that_starts_work_is_checked_as_a_whole() {
        let policy = SpecPolicy::default();
        let run = v1::RunTaskRequest {
            spec: Some(v1::TaskSpec::default()),
            request_id: "no".into(),
        };
        assert_eq!(
            fields(run_task(run, &policy)),
            ["spec.instruction", "spec.repository.url", "request_id"]
        );
        let create = v1::CreateTaskRequest::default();
        assert_eq!(fields(create_task(create, &policy)), ["spec"]);
        let id = Uuid::new_v4();
        let good = v1::CreateTaskRequest {
            spec: Some(v1::TaskSpec {
                instruction: "x".into(),
                repository: Some(v1::Repository {
                    url: "https://github.com/octo/hello".into(),
                    revision: None,
                }),
                ..v1::TaskSpec::default()
            }),
            request_id: id.to_string(),
        };
        assert_eq!(create_task(good, &policy).unwrap().request_id, Some(id));
    }

    #[test]
    fn a_list_is_checked_as_a_whole_and_asks_for_one_more() {
        let bad = v1::ListTasksRequest {
            page_size: -1,
            page_token: "x".into(),
            states: vec![1, 0, 77],
        };
        assert_eq!(
            fields(list_tasks(bad)),
            ["states[1]", "states[2]", "page_size", "page_token"]
        );
        let list = list_tasks(v1::ListTasksRequest {
            states: vec![7, 1, 7],
            ..v1::ListTasksRequest::default()
        })
        .unwrap();
        assert_eq!((list.page_size, list.request.limit), (50, 51));
        assert_eq!(list.states, [State::Queued, State::Failed]);
    }

    #[test]
    fn messages_need_a_text_unless_review_comments_are_asked_for() {
        let name = TaskId::random().resource_name();
        let message = |text: &str, include_review_comments| v1::SendMessageRequest {
            name: name.clone(),
            text: text.into(),
            request_id: String::new(),
            include_review_comments,
        };
        assert_eq!(fields(send_message(message("", false))), ["text"]);
        assert_eq!(fields(send_message(message(&"x".repeat(32_769), true))), ["text"]);
        assert!(send_message(message("", true)).is_ok());
        let (_, taken) = send_message(message("hi", false)).unwrap();
        assert_eq!((taken.text.as_str(), taken.request_id), ("hi", None));
        let bad = v1::SendMessageRequest {
            name: "x".into(),
            request_id: "y".into(),
            ..v1::SendMessageRequest::default()
        };
        assert_eq!(fields(send_message(bad)), ["name", "text", "request_id"]);
    }

    #[test]
    fn the_other_requests_name_their_faults_too() {
        let id = TaskId::random();
        let long = v1::CancelTaskRequest {
            name: String::new(),
            reason: "x".repeat(4097),
        };
        assert_eq!(fields(cancel_task(long)), ["name", "reason"]);
        assert_eq!(fields(get_task(v1::GetTaskRequest::default())), ["name"]);
        assert_eq!(fields(delete_task(v1::DeleteTaskRequest::default())), ["name"]);
        assert_eq!(fields(read_artifact(v1::ReadArtifactRequest::default())), ["name"]);
        assert_eq!(fields(watch_task(v1::WatchTaskRequest::default())), ["name"]);
        let watch = v1::WatchTaskRequest {
            name: id.resource_name(),
            after_sequence: 7,
            durable_only: true,
        };
        let expected = WatchFrom {
            task: id,
            after: Sequence(7),
            watch: Watch::DurableOnly,
        };
        assert_eq!(watch_task(watch).unwrap(), expected);
    }
}
