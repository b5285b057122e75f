//! The proof: each check on the base beside the same check on the change.
//!
//! What the Task's result records goes before what was seen on the way; a Task that failed has no
//! result, and then what was seen is what there is.

use std::time::Duration;

use backspace_sdk::v1;
use backspace_sdk::v1::Verdict;

use super::{span_of, verdict_words};
use crate::escape;
use crate::measure;
use crate::paint::{Look, Paint};

const MAX_COMMAND_CHARS: usize = 48;

/// One side of a check.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Side {
    exit_code: Option<i32>,
    timed_out: bool,
    duration: Duration,
    verdict: Verdict,
}

impl Side {
    fn of(evidence: &v1::Evidence) -> Self {
        Self {
            exit_code: evidence.exit_code,
            timed_out: evidence.timed_out,
            duration: span_of(evidence.duration.as_ref()),
            verdict: evidence.verdict(),
        }
    }

    fn of_event(finished: &v1::VerificationFinished) -> Self {
        Self {
            exit_code: finished.exit_code,
            timed_out: finished.timed_out,
            duration: span_of(finished.duration.as_ref()),
            verdict: finished.verdict(),
        }
    }

    fn words(self) -> (Look, String) {
        let time = measure::span(self.duration);
        match self.exit_code {
            _ if self.timed_out => (Look::Red, format!("timed out after {time}")),
            Some(0) => (Look::Green, format!("green  {time}")),
            Some(code) => (Look::Red, format!("red, exit {code}  {time}")),
            None if self.verdict == Verdict::NotRun => (Look::Yellow, "not run".to_owned()),
            None => (Look::Red, format!("killed  {time}")),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Check {
    command: String,
    base: Option<Side>,
    change: Option<Side>,
}

/// The checks of one Task, in the order of their first appearance.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Checks {
    checks: Vec<Check>,
}

impl Checks {
    /// Takes in a check that was seen; a later round replaces an earlier one.
    pub(super) fn add(&mut self, finished: &v1::VerificationFinished) {
        self.set(&finished.command, finished.baseline, Side::of_event(finished));
    }

    /// The checks of a recorded result.
    pub(super) fn of_result(evidence: &[v1::Evidence]) -> Self {
        let mut checks = Self::default();
        for evidence in evidence {
            checks.set(&evidence.command, evidence.baseline, Side::of(evidence));
        }
        checks
    }

    fn set(&mut self, command: &str, baseline: bool, side: Side) {
        let known = self.checks.iter().position(|check| check.command == command);
        if known.is_none() {
            self.checks.push(Check {
                command: command.to_owned(),
                base: None,
                change: None,
            });
        }
        let index = known.unwrap_or(self.checks.len().saturating_sub(1));
        if let Some(check) = self.checks.get_mut(index) {
            let place = if baseline { &mut check.base } else { &mut check.change };
            *place = Some(side);
        }
    }

    /// The table; no lines when nothing was checked.
    pub(super) fn table(&self, paint: Paint) -> Vec<String> {
        if self.checks.is_empty() {
            return Vec::new();
        }
        let rows: Vec<_> = self.checks.iter().map(Row::of).collect();
        let width = |text: fn(&Row) -> &str, least: usize| {
            rows.iter()
                .map(|row| text(row).chars().count())
                .max()
                .unwrap_or_default()
                .max(least)
        };
        let commands = width(|row| &row.command, 5);
        let bases = width(|row| &row.base.1, 4);
        let changes = width(|row| &row.change.1, 6);
        let mut lines = vec![paint.text(
            Look::Bold,
            format!("  {:<commands$}  {:<bases$}  {:<changes$}", "check", "base", "change").trim_end(),
        )];
        for row in &rows {
            let cell = |(look, text): &(Look, String), width: usize| {
                let gap = " ".repeat(width.saturating_sub(text.chars().count()));
                format!("{}{gap}", paint.text(*look, text))
            };
            let line = format!(
                "  {:<commands$}  {}  {}  {}",
                row.command,
                cell(&row.base, bases),
                cell(&row.change, changes),
                paint.text(row.verdict.0, row.verdict.1)
            );
            lines.push(line.trim_end().to_owned());
        }
        lines
    }
}

struct Row {
    command: String,
    base: (Look, String),
    change: (Look, String),
    verdict: (Look, &'static str),
}

impl Row {
    fn of(check: &Check) -> Self {
        let absent = || (Look::Dim, "—".to_owned());
        let verdict = check.change.map_or(Verdict::Unspecified, |side| side.verdict);
        Self {
            command: command(&check.command),
            base: check.base.map_or_else(absent, Side::words),
            change: check.change.map_or_else(absent, Side::words),
            verdict: (look_of(verdict), verdict_words(verdict)),
        }
    }
}

/// The line of one check as it ends.
pub(super) fn line(finished: &v1::VerificationFinished, paint: Paint) -> String {
    let (look, words) = Side::of_event(finished).words();
    let where_it_ran = if finished.baseline {
        "on the base"
    } else {
        "on the change"
    };
    let mark = if look == Look::Green { "✓" } else { "✗" };
    // A red base is news, not a fault of the Task.
    let look = if finished.baseline && look == Look::Red {
        Look::Yellow
    } else {
        look
    };
    format!(
        "  {} {} {where_it_ran}: {}",
        paint.text(look, mark),
        command(&finished.command),
        paint.text(look, &words)
    )
}

fn command(command: &str) -> String {
    let shown = escape::line(command.trim());
    if shown.chars().count() <= MAX_COMMAND_CHARS {
        return shown;
    }
    shown.chars().take(MAX_COMMAND_CHARS - 1).chain(['…']).collect()
}

fn look_of(verdict: Verdict) -> Look {
    match verdict {
        Verdict::Passed => Look::Green,
        Verdict::NewlyRed => Look::Red,
        Verdict::FailedOnBaseToo | Verdict::NotRun => Look::Yellow,
        Verdict::Unspecified => Look::Dim,
    }
}
