//! `glob`: files by a pattern over their path.

use serde::Deserialize;

use super::{Reply, ToolContext, ToolResult, unexpected};
use crate::model::ToolSpec;
use crate::sandbox::{FileReply, FileRequest};
use crate::task::text_cut::head_and_tail;

const MAX_FILES: u64 = 500;

pub(super) const SPEC: ToolSpec = ToolSpec {
    name: "glob",
    description: "Finds files by a pattern over their path, e.g. **/*_test.go, and shows up to 500. A pattern \
without a slash matches names in any folder. Folders of fetched or built things (node_modules, target, .venv) are \
left out unless the path names them.",
    schema: r#"{"type":"object","properties":{"pattern":{"type":"string","description":"Pattern; ** crosses folders."},"path":{"type":"string","description":"Folder to look in; the whole repository if left out."}},"required":["pattern"],"additionalProperties":false}"#,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::agent) struct Arguments {
    pattern: String,
    path: Option<String>,
}

impl Arguments {
    pub(super) async fn run(&self, context: &ToolContext<'_>) -> ToolResult {
        let request = FileRequest::Glob {
            pattern: self.pattern.clone(),
            path: self.path.clone().unwrap_or_else(|| ".".into()),
            limit: MAX_FILES,
        };
        let reply = context.file(request).await?;
        let FileReply::Lines { lines, truncated } = reply else {
            return Err(unexpected(&reply));
        };
        if lines.is_empty() {
            return Ok(Reply::ok("[no file matches]"));
        }
        let mut text = head_and_tail(&lines.join("\n"), context.config.tool_output_chars);
        if truncated {
            text.push_str("\n[there are more; narrow the pattern or the path]");
        }
        Ok(Reply::ok(text))
    }
}
