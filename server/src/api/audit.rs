//! One line in the log for every call that would change something: who, what, which Task, from where, how
//! it ended.
//!
//! Refusals are lines too, since an attempt is what an auditor looks for. Nothing that a caller wrote is in
//! a line but the id of a Task, and that only in its own form; so a line can neither leak nor be forged.

use std::net::SocketAddr;

use backspace_sdk::v1;
use tonic::{Code, Request, Response, Status};

use crate::api::convert::name;
use crate::api::edge::ConnectionInfo;
use crate::orchestrator::Caller;

/// Target of the lines, by which a filter lets them through or a collector finds them.
pub const TARGET: &str = "audit";

/// A call that is under way.
pub(crate) struct Audit {
    action: &'static str,
    principal: Option<String>,
    peer: Option<SocketAddr>,
    task: String,
}

/// What a call that changes something answers, as far as a line needs it.
pub(crate) trait Names {
    /// Returns the name of the Task; empty when the message has none.
    fn task(&self) -> &str {
        ""
    }
}

/// Returns what is done by a method of the contract, `None` when it only reads.
pub(crate) fn action_of(method: &str) -> Option<&'static str> {
    ["RunTask", "CreateTask", "CancelTask", "SendMessage", "DeleteTask"]
        .into_iter()
        .find(|action| *action == method)
}

impl Audit {
    /// Begins the line of a call that was let in.
    pub(crate) fn of<M: Names>(action: &'static str, request: &Request<M>) -> Self {
        let extensions = request.extensions();
        let principal = extensions.get::<Caller>().map(|caller| caller.principal.to_string());
        Self {
            action,
            principal,
            peer: extensions.get::<ConnectionInfo>().map(|info| info.peer),
            task: own_form(request.get_ref().task()),
        }
    }

    /// Writes the line and passes the answer on.
    pub(crate) fn end<M: Names>(self, answer: Result<Response<M>, Status>) -> Result<Response<M>, Status> {
        let named = answer.as_ref().map(|answer| answer.get_ref().task());
        self.write(named);
        answer
    }

    /// Writes the line of a stream that began, with the Task that it is of, or did not.
    pub(crate) fn write(&self, task: Result<&str, &Status>) {
        let code = task.err().map_or(Code::Ok, Status::code);
        let named = [task.unwrap_or_default(), &self.task];
        let task = named.into_iter().find(|task| !task.is_empty());
        write(self.action, self.principal.as_deref(), self.peer, task, code);
    }
}

/// Writes the line of a call that was not let in.
pub(crate) fn refused(action: &'static str, peer: Option<SocketAddr>, principal: Option<&str>, code: Code) {
    write(action, principal, peer, None, code);
}

fn write(action: &str, principal: Option<&str>, peer: Option<SocketAddr>, task: Option<&str>, code: Code) {
    tracing::info!(
        target: TARGET,
        action,
        principal.id = principal,
        task.id = task.map(|task| task.trim_start_matches("tasks/")),
        client = peer.map(|peer| peer.to_string()),
        outcome = ?code,
        "a call that changes something"
    );
}

/// A name that is not in its own form could hold anything, so it is left out.
fn own_form(text: &str) -> String {
    name::parse_task("name", text)
        .map(|id| id.resource_name())
        .unwrap_or_default()
}

impl Names for v1::RunTaskRequest {}
impl Names for v1::CreateTaskRequest {}
impl Names for v1::DeleteTaskResponse {}

impl Names for v1::CancelTaskRequest {
    fn task(&self) -> &str {
        &self.name
    }
}

impl Names for v1::SendMessageRequest {
    fn task(&self) -> &str {
        &self.name
    }
}

impl Names for v1::DeleteTaskRequest {
    fn task(&self) -> &str {
        &self.name
    }
}

fn name_of(task: Option<&v1::Task>) -> &str {
    task.map_or("", |task| task.name.as_str())
}

impl Names for v1::CreateTaskResponse {
    fn task(&self) -> &str {
        name_of(self.task.as_ref())
    }
}

impl Names for v1::CancelTaskResponse {
    fn task(&self) -> &str {
        name_of(self.task.as_ref())
    }
}

impl Names for v1::SendMessageResponse {
    fn task(&self) -> &str {
        name_of(self.task.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_in_its_own_form_is_written() {
        let id = "tasks/0190a6d5b7a17c5a9f3d2b1c0e4f5a6b";
        assert_eq!(own_form(id), id);
        for other in [
            "",
            "tasks/",
            "tasks/x y",
            "tasks/secret-token",
            "tasks/0a\n",
            "projects/0a",
        ] {
            assert_eq!(own_form(other), "", "{other:?}");
        }
    }

    #[test]
    fn calls_that_read_have_no_line() {
        let is_in = |method: &&str| action_of(method).is_some();
        let changing = ["RunTask", "CreateTask", "CancelTask", "SendMessage", "DeleteTask"];
        assert!(changing.iter().all(is_in));
        let reading = ["GetTask", "ListTasks", "WatchTask", "ReadArtifact", "GetServerInfo", ""];
        assert!(!reading.iter().any(is_in));
    }
}
