//! `todo`: the visible plan, kept by the model and shown to people.

use serde::Deserialize;

use super::{Reply, ToolError, ToolResult};
use crate::model::ToolSpec;
use crate::task::event::{PlanStep, PlanStepState};

const MAX_STEPS: usize = 50;
const MAX_TITLE_CHARS: usize = 200;

pub(super) const SPEC: ToolSpec = ToolSpec {
    name: "todo",
    description: "Writes the plan that people who watch see: all its steps, each time. Use it when the work has three \
steps or more, and when a step begins or ends.",
    schema: r#"{"type":"object","properties":{"items":{"type":"array","maxItems":50,"items":{"type":"object","properties":{"title":{"type":"string"},"status":{"type":"string","enum":["pending","in_progress","done"]}},"required":["title","status"],"additionalProperties":false}}},"required":["items"],"additionalProperties":false}"#,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::agent) struct Arguments {
    items: Vec<Item>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    title: String,
    status: Status,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Pending,
    InProgress,
    #[serde(alias = "completed")]
    Done,
}

impl Arguments {
    pub(super) fn run(&self) -> ToolResult {
        let too_long = |item: &Item| item.title.chars().count() > MAX_TITLE_CHARS;
        if self.items.len() > MAX_STEPS || self.items.iter().any(too_long) {
            return Err(ToolError::Rejected(format!(
                "todo: a plan has at most {MAX_STEPS} steps of at most {MAX_TITLE_CHARS} characters; nothing was done"
            )));
        }
        let steps = self.items.iter().map(|item| PlanStep {
            title: item.title.clone(),
            state: match item.status {
                Status::Pending => PlanStepState::Pending,
                Status::InProgress => PlanStepState::InProgress,
                Status::Done => PlanStepState::Done,
            },
        });
        Ok(Reply {
            plan: Some(steps.collect()),
            ..Reply::ok("the plan is noted")
        })
    }
}
