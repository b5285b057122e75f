//! `read_file`: lines of a text file.

use serde::Deserialize;

use super::{Reply, ToolContext, ToolError, ToolResult, unexpected};
use crate::model::ToolSpec;
use crate::sandbox::{FileReply, FileRequest};
use crate::task::text_cut::head_and_tail;

const DEFAULT_LINES: u64 = 2000;

pub(super) const SPEC: ToolSpec = ToolSpec {
    name: "read_file",
    description: "Reads a text file as it is, without line numbers, up to 2,000 lines at a time. The last line in \
square brackets, if there is one, is not part of the file: it says where to go on.",
    schema: r#"{"type":"object","properties":{"path":{"type":"string","description":"Path from the root of the repository, or absolute."},"offset":{"type":"integer","minimum":1,"description":"First line, from 1. Optional."},"limit":{"type":"integer","minimum":1,"maximum":2000,"description":"Most lines. Optional."}},"required":["path"],"additionalProperties":false}"#,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::agent) struct Arguments {
    pub(super) path: String,
    offset: Option<u64>,
    limit: Option<u64>,
}

impl Arguments {
    pub(super) async fn run(&self, context: &ToolContext<'_>) -> ToolResult {
        let first_line = self.offset.unwrap_or(1).max(1);
        let request = FileRequest::Read {
            path: self.path.clone(),
            first_line,
            lines: self.limit.unwrap_or(DEFAULT_LINES).clamp(1, DEFAULT_LINES),
            max_bytes: context.config.tool_output_chars as u64,
        };
        let (text, total_lines, truncated) = match context.file(request).await? {
            FileReply::Text {
                text,
                total_lines,
                truncated,
            } => (text, total_lines, truncated),
            other => return Err(unexpected(&other)),
        };
        if text.is_empty() && total_lines == 0 {
            return Ok(Reply::ok("[the file is empty]"));
        }
        if first_line > total_lines {
            return Err(ToolError::Rejected(format!(
                "{}: has only {total_lines} lines",
                self.path
            )));
        }
        let mut shown = head_and_tail(&text, context.config.tool_output_chars);
        if truncated {
            if !shown.ends_with('\n') {
                shown.push('\n');
            }
            let last = (first_line + text.lines().count() as u64).saturating_sub(1);
            shown.push_str(&format!("[lines {first_line} to {last} of {total_lines}]"));
        }
        Ok(Reply::ok(shown))
    }
}
