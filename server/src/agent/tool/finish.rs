//! `finish`: the model says that it is done. What it claims is its account, never our result.

use serde::Deserialize;

use super::{Reply, ToolError, ToolResult};
use crate::model::ToolSpec;

pub(super) const SPEC: ToolSpec = ToolSpec {
    name: "finish",
    description: "Ends the work. Call it alone, after the last check has run, when the task is done, when nothing has \
to change, or when it can't be done; the summary says which, and why.",
    schema: r#"{"type":"object","properties":{"summary":{"type":"string","description":"What was changed and why, what was checked and how it ended, what is left open; Markdown, for the reviewer."}},"required":["summary"],"additionalProperties":false}"#,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::agent) struct Arguments {
    pub(super) summary: String,
}

impl Arguments {
    pub(super) fn run(&self) -> ToolResult {
        if self.summary.trim().is_empty() {
            return Err(ToolError::Rejected(
                "finish: the summary is empty; say what was done, or why nothing was".into(),
            ));
        }
        Ok(Reply::ok("the work is ended"))
    }
}
