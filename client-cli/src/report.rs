//! A Task as a person reads it: events in, lines out.
//!
//! Pure: it neither writes nor asks for the time, so that what is shown can be compared as text. Every
//! text of a model, a repository or a server goes through `escape` here, on its way into a line.

use std::collections::HashMap;
use std::time::Duration;

use backspace_sdk::v1;
use backspace_sdk::v1::task::State;
use backspace_sdk::v1::task_event::Payload;

use crate::escape;
use crate::measure;
use crate::paint::{Look, Output, Paint};

mod bar;
mod call;
mod checks;
mod ending;
mod remark;
mod words;

pub(crate) use bar::bar;
pub(crate) use words::{state_word, verdict_words};

use call::Call;
use checks::Checks;

/// Lines of a command's output that are shown when all is asked for.
const MAX_OUTPUT_LINES: usize = 400;
const MAX_FILES: usize = 12;

/// How much of a Task is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// What happens.
    Events,
    /// The output of commands and the checkpoints too.
    Everything,
}

/// How a report looks.
#[derive(Clone, Debug)]
pub(crate) struct Style {
    /// Colours.
    pub(crate) paint: Paint,
    /// Whether a bar shows the progress; without one, progress is lines.
    pub(crate) bar: Output,
    /// How much is shown.
    pub(crate) detail: Detail,
    /// How to call this command again, in hints.
    pub(crate) invocation: String,
}

/// Turns a Task's events into lines.
pub(crate) struct Report {
    style: Style,
    calls: HashMap<String, Call>,
    checks: Checks,
    percent: u32,
    step: String,
    state: State,
    doing: String,
    usage: v1::Usage,
}

impl Report {
    /// Makes an empty one.
    pub(crate) fn new(style: Style) -> Self {
        Self {
            style,
            calls: HashMap::new(),
            checks: Checks::default(),
            percent: 0,
            step: String::new(),
            state: State::Unspecified,
            doing: String::new(),
            usage: v1::Usage::default(),
        }
    }

    /// The lines above all: which Task, where, and what for.
    pub(crate) fn header(&self, name: &str, spec: &v1::TaskSpec) -> Vec<String> {
        let paint = self.style.paint;
        let url = spec
            .repository
            .as_ref()
            .map(|repository| escape::line(&repository.url))
            .unwrap_or_default();
        let mut lines = vec![format!(
            "{}  {}",
            paint.text(Look::Bold, &escape::line(name)),
            paint.text(Look::Cyan, &url)
        )];
        let instruction = escape::block(spec.instruction.trim());
        let mut told = instruction.lines();
        lines.extend(told.by_ref().take(3).map(|line| format!("  {line}")));
        if told.next().is_some() {
            lines.push("  …".to_owned());
        }
        if !spec.model.is_empty() {
            lines.push(paint.text(Look::Dim, &format!("  model {}", escape::line(&spec.model))));
        }
        lines.push(String::new());
        lines
    }

    /// The lines of one event; none for one that is not worth a line, or not known.
    pub(crate) fn event(&mut self, event: &v1::TaskEvent) -> Vec<String> {
        let Some(payload) = &event.payload else {
            return Vec::new();
        };
        match payload {
            Payload::StateChanged(change) => self.state_changed(change.state()),
            Payload::Progress(progress) => self.progressed(progress),
            Payload::AssistantMessage(message) => self.said(message),
            Payload::ToolCallStarted(started) => self.call_started(started),
            Payload::ToolCallFinished(finished) => self.call_finished(finished),
            Payload::PlanUpdated(plan) => self.planned(plan),
            Payload::FilesChanged(changed) => self.files_changed(changed),
            Payload::VerificationStarted(started) => {
                self.doing = format!("checking: {}", escape::line(&started.command));
                Vec::new()
            }
            Payload::VerificationFinished(finished) => self.verified(finished),
            Payload::UsageUpdated(updated) => {
                self.usage = updated.usage.unwrap_or_default();
                Vec::new()
            }
            Payload::AssistantDelta(_) => {
                "the model is answering".clone_into(&mut self.doing);
                Vec::new()
            }
            Payload::ToolOutputDelta(_) => Vec::new(),
            Payload::TaskFinished(finished) => {
                self.doing.clear();
                finished.task.as_ref().map(|task| self.ending(task)).unwrap_or_default()
            }
            Payload::CheckpointSaved(saved) => match self.style.detail {
                Detail::Events => Vec::new(),
                Detail::Everything => vec![self.dim(&format!("saved {}", short(&saved.commit)))],
            },
            Payload::RetryScheduled(_)
            | Payload::PullRequestOpened(_)
            | Payload::ContextCompacted(_)
            | Payload::Warning(_)
            | Payload::CancelRequested(_)
            | Payload::PolicyDenied(_)
            | Payload::UserMessage(_)
            | Payload::RunResumed(_) => remark::remark(payload, self.style.paint)
                .map(|line| format!("  {line}"))
                .into_iter()
                .collect(),
        }
    }

    /// The text of the status line.
    pub(crate) fn status(&self, elapsed: Duration, columns: usize) -> String {
        let doing = if self.doing.is_empty() { &self.step } else { &self.doing };
        let doing = if doing.is_empty() {
            state_word(self.state)
        } else {
            doing
        };
        bar(self.style.paint, self.percent, doing, elapsed, columns)
    }

    /// A remark of the command itself; `text` must be escaped.
    pub(crate) fn notice(&self, text: &str) -> String {
        self.style.paint.text(Look::Yellow, &format!("  ⚠ {text}"))
    }

    fn state_changed(&mut self, state: State) -> Vec<String> {
        self.state = state;
        self.doing.clear();
        match state {
            // Its end is told by TaskFinished, with all there is to say.
            State::Succeeded | State::Failed | State::Cancelled => Vec::new(),
            State::Unspecified
            | State::Queued
            | State::Preparing
            | State::Running
            | State::Verifying
            | State::Publishing => vec![self.style.paint.text(Look::Bold, &format!("▶ {}", state_word(state)))],
        }
    }

    fn progressed(&mut self, progress: &v1::Progress) -> Vec<String> {
        self.percent = progress.percent.min(100);
        let step = escape::line(&progress.step);
        let same = step == self.step;
        self.step = step;
        self.doing.clear();
        match self.style.bar {
            Output::Terminal => Vec::new(),
            Output::Other if same || self.step.is_empty() => Vec::new(),
            Output::Other => vec![self.dim(&format!("[{:>3} %] {}", self.percent, self.step))],
        }
    }

    fn said(&mut self, message: &v1::AssistantMessage) -> Vec<String> {
        self.doing.clear();
        let mut lines = indented(&message.text);
        if message.text_truncated {
            lines.push(self.cut(&message.artifact));
        }
        lines
    }

    fn call_started(&mut self, started: &v1::ToolCallStarted) -> Vec<String> {
        let call = Call::started(started);
        self.doing = call.in_words();
        self.calls.insert(started.call_id.clone(), call);
        Vec::new()
    }

    fn call_finished(&mut self, finished: &v1::ToolCallFinished) -> Vec<String> {
        self.doing.clear();
        let call = self.calls.remove(&finished.call_id).unwrap_or_default();
        // What these did is on the screen anyway: the plan, and the summary at the end.
        let told_elsewhere = matches!(finished.tool.as_str(), "todo" | "finish");
        let went_well = finished.outcome == i32::from(v1::tool_call_finished::Outcome::Ok);
        if self.style.detail == Detail::Events && told_elsewhere && went_well {
            return Vec::new();
        }
        let mut lines = vec![call.finished(finished, self.style.paint)];
        if self.style.detail == Detail::Everything {
            lines.extend(self.output(&finished.output));
            if finished.output_truncated {
                lines.push(self.cut(&finished.artifact));
            }
        }
        lines
    }

    fn planned(&self, plan: &v1::PlanUpdated) -> Vec<String> {
        use v1::plan_updated::State as Step;
        let paint = self.style.paint;
        let step = |step: &v1::plan_updated::Step| {
            let title = escape::line(&step.title);
            match step.state() {
                Step::Done => paint.text(Look::Dim, &format!("  ☑ {title}")),
                Step::InProgress => paint.text(Look::Bold, &format!("  ◐ {title}")),
                Step::Pending | Step::Unspecified => format!("  ☐ {title}"),
            }
        };
        plan.steps.iter().map(step).collect()
    }

    fn files_changed(&self, changed: &v1::FilesChanged) -> Vec<String> {
        use v1::files_changed::Status;
        let paint = self.style.paint;
        let mut lines: Vec<String> = changed
            .files
            .iter()
            .take(MAX_FILES)
            .map(|file| {
                let (mark, look) = match file.status() {
                    Status::Added => ("A", Look::Green),
                    Status::Deleted => ("D", Look::Red),
                    Status::Renamed => ("R", Look::Cyan),
                    Status::Modified | Status::Unspecified => ("M", Look::Yellow),
                };
                let old = match file.old_path.as_str() {
                    "" => String::new(),
                    old => format!("{} → ", escape::line(old)),
                };
                let size = if file.binary {
                    "binary".to_owned()
                } else {
                    format!(
                        "{} {}",
                        paint.text(Look::Green, &format!("+{}", file.added)),
                        paint.text(Look::Red, &format!("−{}", file.removed))
                    )
                };
                format!("  {} {old}{}  {size}", paint.text(look, mark), escape::line(&file.path))
            })
            .collect();
        let more = changed.files.len().saturating_sub(MAX_FILES);
        if more > 0 {
            lines.push(self.dim(&format!("and {}", measure::plural(more as u64, "more file"))));
        }
        lines
    }

    fn verified(&mut self, finished: &v1::VerificationFinished) -> Vec<String> {
        self.doing.clear();
        self.checks.add(finished);
        let mut lines = vec![checks::line(finished, self.style.paint)];
        if self.style.detail == Detail::Everything {
            lines.extend(self.output(&finished.output));
            if !finished.artifact.is_empty() {
                lines.push(self.cut(&finished.artifact));
            }
        }
        lines
    }

    fn output(&self, text: &str) -> Vec<String> {
        let shown = escape::block(text);
        let all: Vec<&str> = shown.lines().collect();
        let mut lines: Vec<String> = all
            .iter()
            .take(MAX_OUTPUT_LINES)
            .map(|line| self.style.paint.text(Look::Dim, &format!("    │ {line}")))
            .collect();
        let more = all.len().saturating_sub(MAX_OUTPUT_LINES);
        if more > 0 {
            lines.push(self.dim(&format!("  │ and {}", measure::plural(more as u64, "more line"))));
        }
        lines
    }

    fn cut(&self, artifact: &str) -> String {
        match artifact.rsplit_once("/artifacts/") {
            Some((task, name)) => self.dim(&format!(
                "  cut here; the whole: {} logs {} --artifact {}",
                self.style.invocation,
                escape::line(task),
                escape::line(name)
            )),
            None => self.dim("  cut here"),
        }
    }

    fn dim(&self, text: &str) -> String {
        self.style.paint.text(Look::Dim, &format!("  {text}"))
    }
}

fn indented(text: &str) -> Vec<String> {
    escape::block(text.trim())
        .lines()
        .map(|line| {
            if line.is_empty() {
                String::new()
            } else {
                format!("  {line}")
            }
        })
        .collect()
}

/// The first digits of a commit id.
fn short(commit: &str) -> String {
    escape::line(commit).chars().take(12).collect()
}

/// A span as the contract has it; a negative one is none.
pub(crate) fn span_of(duration: Option<&prost_types::Duration>) -> Duration {
    duration
        .and_then(|duration| Duration::try_from(*duration).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
