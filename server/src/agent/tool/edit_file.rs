//! `edit_file`: replaces one exact place in a file.
//!
//! No fuzzy matching: a wrong guess damages a file silently, while an error that shows what is there
//! costs one turn.

use serde::Deserialize;

use super::{Reply, ToolContext, ToolError, ToolResult, unexpected};
use crate::model::ToolSpec;
use crate::sandbox::{FileReply, FileRequest};

pub(super) const SPEC: ToolSpec = ToolSpec {
    name: "edit_file",
    description: "Replaces one place in a text file. `old` must stand in the file exactly once, with the same spaces, \
tabs and line ends; take in enough lines around the change to make it unique.",
    schema: r#"{"type":"object","properties":{"path":{"type":"string","description":"Path from the root of the repository, or absolute."},"old":{"type":"string","description":"Exact text that stands there once."},"new":{"type":"string","description":"What takes its place."}},"required":["path","old","new"],"additionalProperties":false}"#,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::agent) struct Arguments {
    pub(super) path: String,
    old: String,
    new: String,
}

impl Arguments {
    pub(super) async fn run(&self, context: &ToolContext<'_>) -> ToolResult {
        let reject = |text: &str| Err(ToolError::Rejected(format!("edit_file: {text}; nothing was changed")));
        if self.old.is_empty() {
            return reject("`old` is empty: use write_file to make a file, or name the text next to the change");
        }
        if self.old == self.new {
            return reject("`old` and `new` are the same");
        }
        let request = FileRequest::Edit {
            path: self.path.clone(),
            old: self.old.clone(),
            new: self.new.clone(),
        };
        match context.file(request).await? {
            FileReply::Changed { line, .. } => Ok(Reply::ok(format!("changed {} at line {line}", self.path))),
            other => Err(unexpected(&other)),
        }
    }
}
