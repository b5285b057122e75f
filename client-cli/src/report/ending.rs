//! The last lines: how the Task ended, its proof, what it cost, and where the work is.

use backspace_sdk::v1;
use backspace_sdk::v1::task::{Outcome, State};
use backspace_sdk::v1::task_result::Kind;

use super::words::{finding_words, reason_words};
use super::{Checks, Report, indented, state_word};
use crate::diff;
use crate::escape;
use crate::measure;
use crate::paint::{Look, Paint};

impl Report {
    /// The lines of a Task that has ended, or of one as it stands.
    pub(crate) fn ending(&self, task: &v1::Task) -> Vec<String> {
        let paint = self.style.paint;
        let mut lines = vec![String::new(), verdict(task, paint)];
        let mut patch = None;
        match &task.outcome {
            Some(Outcome::Result(result)) => {
                lines.extend(indented(&result.summary));
                patch = Some((result.patch.as_str(), result.patch_truncated));
            }
            Some(Outcome::Failure(failure)) => lines.extend(failed(failure, paint)),
            None => {}
        }
        self.section(&mut lines, self.checks_of(task).table(paint));
        if let Some(work) = &task.preserved_work {
            patch = Some((work.patch.as_str(), work.patch_truncated));
        }
        let statistics = patch.map(|(patch, cut)| statistics(patch, cut)).unwrap_or_default();
        self.section(&mut lines, statistics.iter().map(|line| format!("  {line}")).collect());
        self.section(&mut lines, findings(&task.findings, paint));
        let mut facts = Facts::default();
        if let Some(usage) = &task.usage {
            facts.add("spent", measure::usage(usage));
        }
        self.whereabouts(task, &mut facts);
        self.section(&mut lines, facts.lines(paint));
        lines
    }

    fn section(&self, lines: &mut Vec<String>, section: Vec<String>) {
        if !section.is_empty() {
            lines.push(String::new());
            lines.extend(section);
        }
    }

    fn checks_of(&self, task: &v1::Task) -> Checks {
        match &task.outcome {
            Some(Outcome::Result(result)) if !result.evidence.is_empty() => Checks::of_result(&result.evidence),
            _ => self.checks.clone(),
        }
    }

    fn whereabouts(&self, task: &v1::Task, facts: &mut Facts) {
        let name = escape::line(&task.name);
        let command = &self.style.invocation;
        let mut diff = false;
        match &task.outcome {
            Some(Outcome::Result(result)) => match result.kind() {
                Kind::NoChange => {}
                Kind::PullRequest | Kind::Branch | Kind::Patch | Kind::Unspecified => {
                    facts.pull_request("pull request", result.pull_request.as_ref());
                    facts.add("branch", branch(&result.branch, result.pull_request.as_ref()));
                    if result.kind() == Kind::Patch {
                        facts.add("apply", format!("{command} diff {name} | git apply"));
                    }
                    diff = true;
                }
            },
            Some(Outcome::Failure(_)) | None => {}
        }
        if let Some(work) = &task.preserved_work {
            facts.pull_request("kept in", work.pull_request.as_ref());
            facts.add("kept on", branch(&work.branch, work.pull_request.as_ref()));
            if work.branch.is_empty() && !work.patch.is_empty() {
                facts.add("kept as", "a patch on the server".to_owned());
            }
            diff = diff || !work.patch.is_empty() || !work.branch.is_empty();
        }
        if diff {
            facts.add("diff", format!("{command} diff {name}"));
        }
        if matches!(task.state(), State::Failed) {
            facts.add("log", format!("{command} logs {name}"));
        }
    }
}

fn verdict(task: &v1::Task, paint: Paint) -> String {
    let took = match (&task.create_time, &task.end_time) {
        (Some(start), Some(end)) => {
            let ms = (end.seconds.saturating_sub(start.seconds)).saturating_mul(1_000)
                + i64::from(end.nanos - start.nanos) / 1_000_000;
            format!(
                " in {}",
                measure::span(std::time::Duration::from_millis(u64::try_from(ms).unwrap_or_default()))
            )
        }
        _ => String::new(),
    };
    match (task.state(), &task.outcome) {
        (State::Succeeded, Some(Outcome::Result(result))) if result.kind() == Kind::NoChange => {
            paint.text(Look::Green, &format!("✓ No change needed{took}"))
        }
        (State::Succeeded, _) => paint.text(Look::Green, &format!("✓ Succeeded{took}")),
        (State::Failed, _) => paint.text(Look::Red, &format!("✗ Failed{took}")),
        (State::Cancelled, _) => paint.text(Look::Yellow, &format!("■ Cancelled{took}")),
        (state, _) => paint.text(Look::Bold, &format!("▶ {}", state_word(state))),
    }
}

fn failed(failure: &v1::Failure, paint: Paint) -> Vec<String> {
    let mut lines = vec![format!(
        "  {}: {}",
        reason_words(failure.reason()),
        escape::line(&failure.message)
    )];
    if failure.retryable {
        lines.push(paint.text(Look::Dim, "  the same task may succeed when it is run again"));
    }
    lines
}

/// Names a branch, and its repository where that is a fork.
fn branch(name: &str, request: Option<&v1::PullRequest>) -> String {
    match request.map(|request| request.head_repository.as_str()) {
        Some(fork) if !fork.is_empty() => format!("{} in {}", escape::line(name), escape::line(fork)),
        _ => escape::line(name),
    }
}

fn statistics(patch: &str, cut: bool) -> Vec<String> {
    if patch.is_empty() || cut {
        // Half a patch would give numbers that look whole.
        return Vec::new();
    }
    vec![diff::total(&diff::statistics(patch.as_bytes()))]
}

fn findings(findings: &[v1::Finding], paint: Paint) -> Vec<String> {
    if findings.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![paint.text(Look::Bold, "  look at this first")];
    lines.extend(findings.iter().map(|finding| {
        let what = paint.text(Look::Yellow, finding_words(finding.kind()));
        format!(
            "  ! {what}  {}  {}",
            escape::line(&finding.path),
            escape::line(&finding.message)
        )
        .trim_end()
        .to_owned()
    }));
    lines
}

/// Names and what they are, one beside the other.
#[derive(Default)]
pub(super) struct Facts {
    facts: Vec<(&'static str, String)>,
}

impl Facts {
    fn add(&mut self, name: &'static str, text: String) {
        if !text.is_empty() {
            self.facts.push((name, text));
        }
    }

    fn pull_request(&mut self, name: &'static str, request: Option<&v1::PullRequest>) {
        if let Some(request) = request {
            let draft = if request.draft { "  (draft)" } else { "" };
            self.add(name, format!("{}{draft}", escape::line(&request.url)));
        }
    }

    fn lines(&self, paint: Paint) -> Vec<String> {
        let width = self
            .facts
            .iter()
            .map(|(name, _)| name.chars().count())
            .max()
            .unwrap_or_default();
        let line = |(name, text): &(&str, String)| {
            let gap = " ".repeat(width.saturating_sub(name.chars().count()) + 2);
            format!("  {}{gap}{text}", paint.text(Look::Dim, name))
        };
        self.facts.iter().map(line).collect()
    }
}
