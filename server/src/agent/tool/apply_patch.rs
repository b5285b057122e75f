//! `apply_patch`: changes to several files in the V4A format.
//!
//! Every hunk is matched before the first file is written, so a patch that does not fit changes nothing.

use serde::Deserialize;

use super::v4a::{self, Change};
use super::{Reply, ToolContext, ToolError, ToolResult, files, hunk};
use crate::model::ToolSpec;

pub(super) const SPEC: ToolSpec = ToolSpec {
    name: "apply_patch",
    description: "Changes several files at once by a patch in the V4A format:\n\
*** Begin Patch\n*** Update File: src/a.py\n@@ def f():\n     x = 1\n-    return 0\n+    return x\n\
*** Add File: src/b.py\n+print(1)\n*** Delete File: src/c.py\n*** End Patch\n\
Lines begin with a space (stays), - (goes) or + (comes); there are no line numbers. `@@ text` says after which line to \
look. `*** Move to: path` after an Update File line renames it.",
    schema: r#"{"type":"object","properties":{"patch":{"type":"string","description":"The patch, from *** Begin Patch to *** End Patch."}},"required":["patch"],"additionalProperties":false}"#,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::agent) struct Arguments {
    patch: String,
}

/// One step that is ready to be done.
enum Step {
    Write {
        path: String,
        content: String,
        verb: &'static str,
    },
    Remove {
        path: String,
    },
}

impl Arguments {
    pub(super) fn paths(&self) -> Vec<String> {
        let changes = v4a::parse(&self.patch).unwrap_or_default();
        changes
            .iter()
            .flat_map(|change| change.paths().map(str::to_owned))
            .collect()
    }

    pub(super) async fn run(&self, context: &ToolContext<'_>) -> ToolResult {
        let changes = v4a::parse(&self.patch)
            .map_err(|fault| ToolError::Rejected(format!("apply_patch: {fault}; nothing was changed")))?;
        let mut steps = Vec::new();
        for change in changes {
            steps.extend(prepare(context, change).await.map_err(untouched)?);
        }
        let mut done: Vec<String> = Vec::new();
        for step in steps {
            match perform(context, step).await {
                Ok(line) => done.push(line),
                Err(ToolError::Rejected(fault)) if !done.is_empty() => {
                    let so_far = done.join("\n");
                    return Err(ToolError::Rejected(format!(
                        "apply_patch: {fault}; only this was done:\n{so_far}"
                    )));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Reply::ok(done.join("\n")))
    }
}

fn untouched(error: ToolError) -> ToolError {
    match error {
        ToolError::Rejected(fault) => ToolError::Rejected(format!("apply_patch: {fault}; nothing was changed")),
        other => other,
    }
}

async fn prepare(context: &ToolContext<'_>, change: Change) -> Result<Vec<Step>, ToolError> {
    match change {
        Change::Add { path, content } => {
            if files::exists(context, &path).await? {
                return Err(ToolError::Rejected(format!(
                    "{path}: is there already; use *** Update File"
                )));
            }
            Ok(vec![Step::Write {
                path,
                content,
                verb: "created",
            }])
        }
        Change::Delete { path } => {
            if !files::exists(context, &path).await? {
                return Err(ToolError::Rejected(format!("{path}: no such file or folder")));
            }
            Ok(vec![Step::Remove { path }])
        }
        Change::Update { path, move_to, hunks } => {
            let text = files::read(context, &path).await?;
            let content =
                hunk::apply(&text, &hunks).map_err(|fault| ToolError::Rejected(format!("{path}: {fault}")))?;
            match move_to {
                None => Ok(vec![Step::Write {
                    path,
                    content,
                    verb: "changed",
                }]),
                Some(target) if files::exists(context, &target).await? => Err(ToolError::Rejected(format!(
                    "{target}: is there already; nothing can be moved there"
                ))),
                Some(target) => {
                    let write = Step::Write {
                        path: target,
                        content,
                        verb: "moved to",
                    };
                    Ok(vec![write, Step::Remove { path }])
                }
            }
        }
    }
}

async fn perform(context: &ToolContext<'_>, step: Step) -> Result<String, ToolError> {
    match step {
        Step::Write { path, content, verb } => {
            files::write(context, &path, content).await?;
            Ok(format!("{verb} {path}"))
        }
        Step::Remove { path } => {
            files::remove(context, &path).await?;
            Ok(format!("removed {path}"))
        }
    }
}
