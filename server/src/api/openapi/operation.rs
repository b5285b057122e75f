//! Which path of the gateway serves which call.

use serde_json::{Value, json};

use super::schema::Schemas;

/// One method of one path.
pub(super) struct Operation {
    /// Lower case, as the document has it.
    pub(super) method: &'static str,
    /// With its parameters in braces.
    pub(super) path: &'static str,
    /// The contract's call, or a name of its own.
    pub(super) id: &'static str,
    /// Heading that it stands under.
    pub(super) tag: &'static str,
    /// What it does, where the contract's comment does not say it.
    pub(super) note: Option<&'static str>,
    /// Message of the body.
    pub(super) body: Option<&'static str>,
    /// Whether there must be one.
    pub(super) is_body_required: bool,
    /// What may stand in the query, and in headers.
    pub(super) parameters: &'static [Parameter],
    /// What is answered.
    pub(super) answer: Answer,
    /// Whether the answer says where the Task is.
    pub(super) has_location: bool,
    /// Whether 204 may be answered.
    pub(super) ends_with_204: bool,
    /// Whether no token is ever needed.
    pub(super) is_open: bool,
}

/// Something in the query or in a header.
pub(super) enum Parameter {
    /// A field of the call's message.
    Field(&'static str, &'static str),
    /// Something of the gateway's own: name, place, schema type, what it is.
    Own(&'static str, &'static str, &'static str, &'static str),
}

/// What is answered.
pub(super) enum Answer {
    /// One message as JSON.
    Message(&'static str),
    /// Server-sent events whose data is this schema.
    Events(&'static str),
    /// Plain bytes.
    Text,
    /// JSON of the gateway's own.
    Health,
}

const CALL: Operation = Operation {
    method: "get",
    path: "",
    id: "",
    tag: "tasks",
    note: None,
    body: None,
    is_body_required: false,
    parameters: &[],
    answer: Answer::Text,
    has_location: false,
    ends_with_204: false,
    is_open: false,
};

/// Every operation, in the order of the page.
pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        method: "post",
        path: "/api/v1/tasks:run",
        id: "RunTask",
        body: Some("RunTaskRequest"),
        is_body_required: true,
        answer: Answer::Events("RunTaskResponse"),
        has_location: true,
        ..CALL
    },
    Operation {
        method: "post",
        path: "/api/v1/tasks",
        id: "CreateTask",
        body: Some("CreateTaskRequest"),
        is_body_required: true,
        answer: Answer::Message("CreateTaskResponse"),
        ..CALL
    },
    Operation {
        path: "/api/v1/tasks",
        id: "ListTasks",
        parameters: &[
            Parameter::Field("ListTasksRequest", "page_size"),
            Parameter::Field("ListTasksRequest", "page_token"),
            Parameter::Field("ListTasksRequest", "states"),
        ],
        answer: Answer::Message("ListTasksResponse"),
        ..CALL
    },
    Operation {
        path: "/api/v1/tasks/{task}",
        id: "GetTask",
        answer: Answer::Message("GetTaskResponse"),
        ..CALL
    },
    Operation {
        method: "delete",
        path: "/api/v1/tasks/{task}",
        id: "DeleteTask",
        answer: Answer::Message("DeleteTaskResponse"),
        ..CALL
    },
    Operation {
        path: "/api/v1/tasks/{task}/events",
        id: "WatchTask",
        parameters: &[
            Parameter::Own(
                "after",
                "query",
                "uint64",
                "The last sequence the caller has; 0 starts at the beginning. `Last-Event-ID` goes before it.",
            ),
            Parameter::Own("durable_only", "query", "boolean", "Leave out live-only events."),
            Parameter::Own(
                "last-event-id",
                "header",
                "uint64",
                "The `id` of the last event that was seen; a browser sends it by itself.",
            ),
        ],
        answer: Answer::Events("WatchTaskResponse"),
        ends_with_204: true,
        ..CALL
    },
    Operation {
        path: "/api/v1/tasks/{task}/artifacts/{artifact}",
        id: "ReadArtifact",
        parameters: &[Parameter::Own("offset", "query", "uint64", "First byte wanted.")],
        answer: Answer::Text,
        ..CALL
    },
    Operation {
        method: "post",
        path: "/api/v1/tasks/{task}:cancel",
        id: "CancelTask",
        body: Some("CancelTaskRequest"),
        answer: Answer::Message("CancelTaskResponse"),
        ..CALL
    },
    Operation {
        method: "post",
        path: "/api/v1/tasks/{task}:message",
        id: "SendMessage",
        body: Some("SendMessageRequest"),
        is_body_required: true,
        answer: Answer::Message("SendMessageResponse"),
        ..CALL
    },
    Operation {
        path: "/api/v1/server-info",
        id: "GetServerInfo",
        tag: "server",
        answer: Answer::Message("GetServerInfoResponse"),
        ..CALL
    },
    Operation {
        path: "/health",
        id: "health",
        tag: "server",
        note: Some("Whether the server takes work, and what it lacks."),
        answer: Answer::Health,
        is_open: true,
        ..CALL
    },
    Operation {
        method: "post",
        path: "/api/v1/code",
        id: "code",
        tag: "replaced service",
        note: Some(
            "Starts a task and streams it as the replaced service did. The first object names the task; its events \
             can be resumed at the path that it gives. Unknown fields are ignored.",
        ),
        body: Some("CodeRequest"),
        is_body_required: true,
        answer: Answer::Events("CodeObject"),
        has_location: true,
        ..CALL
    },
];

impl Operation {
    /// Returns the names in braces.
    pub(super) fn path_parameters(&self) -> impl Iterator<Item = &'static str> {
        let parts = self.path.split('{').skip(1);
        parts.filter_map(|part| part.split('}').next())
    }

    /// Returns whether the path says which Task, so that the body need not.
    pub(super) fn has_name_in_path(&self) -> bool {
        self.path.contains("{task}")
    }
}

impl Parameter {
    pub(super) fn described(&self, schemas: &mut Schemas<'_>) -> Value {
        match self {
            Self::Field(message, field) => schemas.query_parameter(message, field),
            Self::Own(name, place, kind, description) => {
                let schema = match *kind {
                    "boolean" => json!({"type": "boolean"}),
                    _ => json!({"type": "integer", "format": "uint64", "minimum": 0, "maximum": u64::MAX}),
                };
                json!({"name": name, "in": place, "description": description, "schema": schema})
            }
        }
    }
}

impl Answer {
    pub(super) fn described(&self, schemas: &mut Schemas<'_>) -> Value {
        match self {
            Self::Message(message) => json!({"application/json": {"schema": schemas.message(message)}}),
            Self::Text => json!({"text/plain": {"schema": {"type": "string"}}}),
            Self::Health => json!({"application/json": {"schema": schemas.health()}}),
            Self::Events(data) => {
                let schema = json!({
                    "type": "string",
                    "description": format!(
                        "Server-sent events. `data:` is a {data}, `id:` the sequence of a durable event; live ones \
                         have none. A failure in the middle is an event of the type `error` whose data is a Status."
                    ),
                });
                json!({"text/event-stream": {"schema": schema, "x-event-data": schemas.message(data)}})
            }
        }
    }
}
