//! The tools: their specs, the typed form of a call, and its execution in the sandbox.
//!
//! A call is parsed whole before anything runs, and every way of getting it wrong ends in a text that
//! says what is right. Tools open nothing on this machine: what they do, the sandbox does. They are
//! an enum and not a trait, so that what a call may do is known before it runs.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::agent::AgentConfig;
use crate::agent::repetition::Effect;
use crate::model::ToolSpec;
use crate::sandbox::{FileReply, FileRequest, Sandbox, SandboxError, Spill};
use crate::secret::Redactor;
use crate::task::event::{LivePayload, PlanStep, ToolOutcome};
use crate::task::id::CallId;
use crate::task::text_cut::head;

mod apply_patch;
mod bash;
mod edit_file;
mod files;
mod finish;
mod glob;
mod grep;
mod hunk;
mod read_file;
mod todo;
mod v4a;
mod write_file;

/// Longest arguments of a call, in bytes.
pub(super) const MAX_ARGUMENTS_BYTES: usize = 1 << 20;

/// Longest time of one file operation.
const FILE_TIMEOUT: Duration = Duration::from_secs(60);

/// How a model changes a part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Editing {
    /// `edit_file`: one exact place.
    Exact,
    /// `apply_patch`: V4A, for models that were trained on it; another form costs them failed edits.
    Patch,
}

/// Returns the tools that a model is told of; the same for its whole time, so that the cached prefix holds.
pub fn specs(editing: Editing) -> &'static [ToolSpec] {
    match editing {
        Editing::Exact => &EXACT,
        Editing::Patch => &PATCH,
    }
}

const EXACT: [ToolSpec; 8] = with(edit_file::SPEC);
const PATCH: [ToolSpec; 8] = with(apply_patch::SPEC);

const fn with(editing: ToolSpec) -> [ToolSpec; 8] {
    [
        bash::SPEC,
        read_file::SPEC,
        write_file::SPEC,
        editing,
        grep::SPEC,
        glob::SPEC,
        todo::SPEC,
        finish::SPEC,
    ]
}

/// A call that is well-formed.
#[derive(Debug)]
pub(super) enum Call {
    Bash(bash::Arguments),
    ReadFile(read_file::Arguments),
    WriteFile(write_file::Arguments),
    EditFile(edit_file::Arguments),
    ApplyPatch(apply_patch::Arguments),
    Grep(grep::Arguments),
    Glob(glob::Arguments),
    Todo(todo::Arguments),
    Finish(finish::Arguments),
}

/// What a tool gave.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) outcome: ToolOutcome,
    pub(super) text: String,
    pub(super) exit_code: Option<i32>,
    pub(super) spill: Option<Spill>,
    pub(super) plan: Option<Vec<PlanStep>>,
}

impl Reply {
    pub(super) fn ok(text: impl Into<String>) -> Self {
        Self {
            outcome: ToolOutcome::Ok,
            text: text.into(),
            exit_code: None,
            spill: None,
            plan: None,
        }
    }

    pub(super) fn failed(outcome: ToolOutcome, text: impl Into<String>) -> Self {
        Self {
            outcome,
            ..Self::ok(text)
        }
    }

    /// Returns whether the model should take it as an error.
    pub(super) fn is_error(&self) -> bool {
        self.outcome != ToolOutcome::Ok || self.exit_code.is_some_and(|code| code != 0)
    }
}

/// Why a tool gave nothing.
#[derive(Debug)]
pub(super) enum ToolError {
    /// The model can do something about it; says what.
    Rejected(String),
    /// It took too long.
    TimedOut(String),
    /// The sandbox failed; the run can't go on in it.
    Sandbox(SandboxError),
}

pub(super) type ToolResult = Result<Reply, ToolError>;

/// The shell of a sandbox, found at the first command.
#[derive(Debug, Default)]
pub(super) struct Shell(OnceLock<&'static str>);

/// What a call runs in.
pub(super) struct ToolContext<'a> {
    pub(super) sandbox: &'a dyn Sandbox,
    pub(super) config: &'a AgentConfig,
    pub(super) shell: &'a Shell,
    /// What is left of the agent's time.
    pub(super) remaining: Duration,
    pub(super) call_id: &'a CallId,
    pub(super) redactor: &'a Arc<Redactor>,
    pub(super) live: &'a (dyn Fn(LivePayload) + Send + Sync),
}

impl ToolContext<'_> {
    /// Does a file operation inside; what it refuses is text for the model.
    async fn file(&self, request: FileRequest) -> Result<FileReply, ToolError> {
        match tokio::time::timeout(FILE_TIMEOUT, self.sandbox.file(request)).await {
            Err(_) => Err(ToolError::TimedOut(format!(
                "the file operation took longer than {} s; narrow it down",
                FILE_TIMEOUT.as_secs()
            ))),
            Ok(Err(error)) => Err(ToolError::Sandbox(error)),
            Ok(Ok(Err(error))) => Err(ToolError::Rejected(error.to_string())),
            Ok(Ok(Ok(reply))) => Ok(reply),
        }
    }
}

impl Call {
    /// Reads a call; the error says what is right. Both ways of editing are taken from every model: a fallback
    /// may go on with what it sees in the conversation.
    pub(super) fn parse(name: &str, arguments: &str) -> Result<Self, String> {
        if arguments.len() > MAX_ARGUMENTS_BYTES {
            return Err(format!(
                "{name}: the arguments are longer than 1 MiB; nothing was done. Split the work into several calls."
            ));
        }
        match name {
            "bash" => read(&bash::SPEC, arguments).map(Self::Bash),
            "read_file" => read(&read_file::SPEC, arguments).map(Self::ReadFile),
            "write_file" => read(&write_file::SPEC, arguments).map(Self::WriteFile),
            "edit_file" => read(&edit_file::SPEC, arguments).map(Self::EditFile),
            "apply_patch" => read(&apply_patch::SPEC, arguments).map(Self::ApplyPatch),
            "grep" => read(&grep::SPEC, arguments).map(Self::Grep),
            "glob" => read(&glob::SPEC, arguments).map(Self::Glob),
            "todo" => read(&todo::SPEC, arguments).map(Self::Todo),
            "finish" => read(&finish::SPEC, arguments).map(Self::Finish),
            _ => Err("there is no tool of that name; nothing was done. Use one of the tools you were told of.".into()),
        }
    }

    /// Returns whether it can't change anything, so that it may run beside others.
    pub(super) fn is_read_only(&self) -> bool {
        matches!(self, Self::ReadFile(_) | Self::Grep(_) | Self::Glob(_))
    }

    /// Returns the command line, for a call that runs one.
    pub(super) fn command(&self) -> &str {
        match self {
            Self::Bash(arguments) => &arguments.command,
            _ => "",
        }
    }

    /// Returns what it does to the work tree when it succeeds.
    pub(super) fn effect(&self) -> Effect {
        match self {
            Self::WriteFile(_) | Self::EditFile(_) | Self::ApplyPatch(_) => Effect::ChangedFile,
            _ => Effect::Unknown,
        }
    }

    /// Returns the files it reads or changes by name.
    pub(super) fn paths(&self) -> Vec<String> {
        match self {
            Self::ReadFile(arguments) => vec![arguments.path.clone()],
            Self::WriteFile(arguments) => vec![arguments.path.clone()],
            Self::EditFile(arguments) => vec![arguments.path.clone()],
            Self::ApplyPatch(arguments) => arguments.paths(),
            _ => Vec::new(),
        }
    }

    /// Returns the summary of a `finish`.
    pub(super) fn summary(&self) -> Option<&str> {
        match self {
            Self::Finish(arguments) => Some(&arguments.summary),
            _ => None,
        }
    }

    /// Runs it. Dropping the future kills what runs.
    pub(super) async fn run(&self, context: &ToolContext<'_>) -> ToolResult {
        match self {
            Self::Bash(arguments) => arguments.run(context).await,
            Self::ReadFile(arguments) => arguments.run(context).await,
            Self::WriteFile(arguments) => arguments.run(context).await,
            Self::EditFile(arguments) => arguments.run(context).await,
            Self::ApplyPatch(arguments) => arguments.run(context).await,
            Self::Grep(arguments) => arguments.run(context).await,
            Self::Glob(arguments) => arguments.run(context).await,
            Self::Todo(arguments) => arguments.run(),
            Self::Finish(arguments) => arguments.run(),
        }
    }
}

/// Reads arguments strictly: one JSON object, known fields, right types.
fn read<T: DeserializeOwned>(spec: &ToolSpec, arguments: &str) -> Result<T, String> {
    let arguments = match arguments.trim() {
        "" => "{}",
        given => given,
    };
    let mut reader = serde_json::Deserializer::from_str(arguments);
    let read = T::deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    read.map_err(|error| {
        let ToolSpec { name, schema, .. } = spec;
        format!(
            "{name}: the arguments are wrong: {error}. Nothing was done. Give one JSON object of this schema: {schema}"
        )
    })
}

/// A reply that does not belong to the request.
fn unexpected(reply: &FileReply) -> ToolError {
    let message = format!("a file operation was answered with {reply:?}");
    ToolError::Sandbox(SandboxError::Protocol {
        message: head(&message, 200),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bad_call_is_told_what_is_right() {
        let bad = [
            ("shell", "{}", "one of the tools you were told of"),
            ("bash", "", "missing field `command`"),
            ("bash", "{\"command\": \"ls\"", "EOF while parsing"),
            (
                "bash",
                "{\"command\": \"ls\"}{\"command\": \"ls\"}",
                "trailing characters",
            ),
            ("bash", "\"{\\\"command\\\": \\\"ls\\\"}\"", "invalid type: string"),
            ("bash", "{\"command\": 7}", "invalid type: integer"),
            ("bash", "{\"command\": \"ls\", \"cwd\": \"/\"}", "unknown field `cwd`"),
            ("bash", "{\"command\": \"ls\", \"command\": \"id\"}", "duplicate field"),
            (
                "bash",
                "{\"command\": \"ls\", \"timeout_seconds\": -1}",
                "invalid value",
            ),
            (
                "todo",
                "{\"items\": [{\"title\": \"a\", \"status\": \"maybe\"}]}",
                "unknown variant `maybe`",
            ),
        ];
        for (name, arguments, right) in bad {
            let message = Call::parse(name, arguments).unwrap_err();
            assert!(message.contains(right), "{name} {arguments}: {message}");
            assert!(message.contains("othing was done"), "{message}");
        }
        let long = format!("{{\"command\": \"{}\"}}", "x".repeat(MAX_ARGUMENTS_BYTES));
        assert!(Call::parse("bash", &long).unwrap_err().contains("longer than 1 MiB"));
    }

    #[test]
    fn every_schema_is_json_and_every_tool_parses_its_least_arguments() {
        let least = [
            ("bash", r#"{"command": "ls"}"#),
            ("read_file", r#"{"path": "a"}"#),
            ("write_file", r#"{"path": "a", "content": ""}"#),
            ("edit_file", r#"{"path": "a", "old": "x", "new": "y"}"#),
            ("apply_patch", r#"{"patch": ""}"#),
            ("grep", r#"{"pattern": "x"}"#),
            ("glob", r#"{"pattern": "*"}"#),
            ("todo", r#"{"items": []}"#),
            ("finish", r#"{"summary": "done"}"#),
        ];
        let every = specs(Editing::Exact).iter().chain(specs(Editing::Patch));
        for spec in every {
            let (name, arguments) = least.into_iter().find(|(name, _)| *name == spec.name).unwrap();
            let schema: serde_json::Value = serde_json::from_str(spec.schema).unwrap();
            assert_eq!(schema["type"], "object", "{name}");
            assert_eq!(schema["additionalProperties"], false, "{name}");
            let given: serde_json::Value = serde_json::from_str(arguments).unwrap();
            for required in schema["required"].as_array().unwrap() {
                assert!(given.get(required.as_str().unwrap()).is_some(), "{name} {required}");
            }
            Call::parse(name, arguments).unwrap();
        }
    }
}
