//! `grep`: lines of files by a regular expression.

use serde::Deserialize;

use super::{Reply, ToolContext, ToolResult, unexpected};
use crate::model::ToolSpec;
use crate::sandbox::{FileReply, FileRequest};
use crate::task::text_cut::{head, head_and_tail};

const MAX_MATCHES: u64 = 200;
const MAX_LINE_CHARS: usize = 500;

pub(super) const SPEC: ToolSpec = ToolSpec {
    name: "grep",
    description: "Finds lines by a regular expression (Rust syntax, case-sensitive; (?i) at the start makes it not so) \
and shows up to 200 as path:line: text. Folders of fetched or built things (node_modules, target, .venv) are left out \
unless the path names them.",
    schema: r#"{"type":"object","properties":{"pattern":{"type":"string","description":"Regular expression."},"path":{"type":"string","description":"Folder or file; the whole repository if left out."},"glob":{"type":"string","description":"Only files whose path matches, e.g. **/*.rs. Optional."}},"required":["pattern"],"additionalProperties":false}"#,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::agent) struct Arguments {
    pattern: String,
    path: Option<String>,
    glob: Option<String>,
}

impl Arguments {
    pub(super) async fn run(&self, context: &ToolContext<'_>) -> ToolResult {
        let request = FileRequest::Grep {
            pattern: self.pattern.clone(),
            path: self.path.clone().unwrap_or_else(|| ".".into()),
            glob: self.glob.clone(),
            limit: MAX_MATCHES,
        };
        let reply = context.file(request).await?;
        let FileReply::Lines { lines, truncated } = reply else {
            return Err(unexpected(&reply));
        };
        if lines.is_empty() {
            return Ok(Reply::ok("[no line matches]"));
        }
        let lines: Vec<String> = lines.iter().map(|line| head(line, MAX_LINE_CHARS)).collect();
        let mut text = head_and_tail(&lines.join("\n"), context.config.tool_output_chars);
        if truncated {
            text.push_str("\n[there are more; narrow the pattern, the path or the glob]");
        }
        Ok(Reply::ok(text))
    }
}
