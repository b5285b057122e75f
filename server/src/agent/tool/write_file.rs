//! `write_file`: the whole content of a file.

use serde::Deserialize;

use super::files::{self, Written};
use super::{Reply, ToolContext, ToolResult};
use crate::model::ToolSpec;

pub(super) const SPEC: ToolSpec = ToolSpec {
    name: "write_file",
    description: "Writes the whole content of a file and makes its folders. For new files and small ones; use edit_file \
to change a part of a file, because what is not in the content is lost.",
    schema: r#"{"type":"object","properties":{"path":{"type":"string","description":"Path from the root of the repository, or absolute."},"content":{"type":"string","description":"The whole content."}},"required":["path","content"],"additionalProperties":false}"#,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::agent) struct Arguments {
    pub(super) path: String,
    content: String,
}

impl Arguments {
    pub(super) async fn run(&self, context: &ToolContext<'_>) -> ToolResult {
        let lines = self.content.lines().count();
        match files::write(context, &self.path, self.content.clone()).await? {
            Written::Created => Ok(Reply::ok(format!("created {} with {lines} lines", self.path))),
            Written::Replaced => Ok(Reply::ok(format!("replaced {} with {lines} lines", self.path))),
        }
    }
}
