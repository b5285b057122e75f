//! Resource names: `tasks/{task}` and `tasks/{task}/artifacts/{artifact}`.

use uuid::Uuid;

use crate::task::id::{ArtifactId, TaskId};
use crate::task::spec::Violation;

const MAX_ARTIFACT_BYTES: usize = 200;

/// Reads the name of a Task.
pub(crate) fn parse_task(field: &str, name: &str) -> Result<TaskId, Violation> {
    if name.is_empty() {
        return Err(Violation::new(field, "is required"));
    }
    name.strip_prefix("tasks/").and_then(task_id).ok_or_else(|| {
        Violation::new(
            field,
            "must look like tasks/{task}, with the 32 hexadecimal digits of a task's id",
        )
    })
}

/// Reads the name of an artifact.
pub(crate) fn parse_artifact(field: &str, name: &str) -> Result<(TaskId, ArtifactId), Violation> {
    if name.is_empty() {
        return Err(Violation::new(field, "is required"));
    }
    let parts = name
        .strip_prefix("tasks/")
        .and_then(|rest| rest.split_once("/artifacts/"));
    parts
        .and_then(|(task, artifact)| Some((task_id(task)?, artifact_id(artifact)?)))
        .ok_or_else(|| Violation::new(field, "must look like tasks/{task}/artifacts/{artifact}"))
}

/// Returns the name of an artifact.
pub(crate) fn artifact(task: TaskId, artifact: &ArtifactId) -> String {
    format!("{}/artifacts/{artifact}", task.resource_name())
}

/// Reads a caller's request id; empty means that there is none.
pub(crate) fn parse_request_id(field: &str, text: &str) -> Result<Option<Uuid>, Violation> {
    if text.is_empty() {
        return Ok(None);
    }
    match Uuid::try_parse(text) {
        Ok(id) if !id.is_nil() => Ok(Some(id)),
        _ => Err(Violation::new(field, "must be a UUID, and not the one of zeros")),
    }
}

fn task_id(text: &str) -> Option<TaskId> {
    let plain = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    plain.then(|| text.parse().ok()).flatten()
}

fn artifact_id(text: &str) -> Option<ArtifactId> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b':');
    let good = (1..=MAX_ARTIFACT_BYTES).contains(&text.len()) && text.bytes().all(plain) && !matches!(text, "." | "..");
    good.then(|| ArtifactId::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_their_own_text() {
        let task = TaskId::random();
        assert_eq!(parse_task("name", &task.resource_name()), Ok(task));
        let id = ArtifactId::new("call_1.output");
        assert_eq!(parse_artifact("name", &artifact(task, &id)), Ok((task, id)));
    }

    #[test]
    fn bad_names_are_refused_with_the_field_they_stood_in() {
        let task = TaskId::random();
        for name in [
            "",
            "tasks/",
            "tasks/x",
            &task.to_string(),
            &format!("tasks/{}", task.as_uuid()),
            "tasks/é",
        ] {
            assert_eq!(parse_task("name", name).unwrap_err().field, "name", "{name}");
        }
        for artifact in ["", "..", "a/b", "a b", "é", &"a".repeat(201)] {
            let name = format!("tasks/{task}/artifacts/{artifact}");
            assert_eq!(parse_artifact("name", &name).unwrap_err().field, "name", "{name}");
        }
    }

    #[test]
    fn a_request_id_is_a_uuid_or_nothing() {
        let id = Uuid::new_v4();
        assert_eq!(parse_request_id("request_id", ""), Ok(None));
        assert_eq!(parse_request_id("request_id", &id.to_string()), Ok(Some(id)));
        for bad in ["1", "00000000-0000-0000-0000-000000000000", " "] {
            assert!(parse_request_id("request_id", bad).is_err(), "{bad}");
        }
    }
}
