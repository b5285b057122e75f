//! What a run measured: one line an attempt, and totals with their uncertainty; JSON for scripts.

use std::time::Duration;

use serde::Serialize;

use crate::Exit;
use crate::attempt::{Attempt, Solution};
use crate::exercise::Exercise;

pub(crate) mod table;

/// The report of a run, as it is written to `--output`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// The model as asked for.
    pub(crate) model: String,
    /// Version of the server that ran the Tasks.
    pub(crate) server_version: String,
    pub(crate) totals: Totals,
    pub(crate) attempts: Vec<Line>,
}

/// One attempt.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) exercise: String,
    pub(crate) language: String,
    /// From 1.
    pub(crate) attempt: u32,
    pub(crate) result: Grade,
    /// Why it was not solved or not measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
    pub(crate) task: String,
    #[serde(flatten)]
    pub(crate) spent: Spent,
    /// What the service reported of the change: weakened tests and the like.
    pub(crate) findings: Vec<String>,
}

/// The three things that an attempt can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Grade {
    Solved,
    Unsolved,
    NotMeasured,
}

/// What an attempt, or all of them, took.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Spent {
    pub(crate) turns: u64,
    /// Cached ones included.
    pub(crate) input_tokens: u64,
    pub(crate) cached_input_tokens: u64,
    pub(crate) output_tokens: u64,
    /// Null where the price of the model is unknown.
    pub(crate) cost_micro_usd: Option<u64>,
    pub(crate) wall_ms: u64,
}

/// All attempts together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Totals {
    pub(crate) attempts: u32,
    pub(crate) solved: u32,
    pub(crate) unsolved: u32,
    pub(crate) not_measured: u32,
    /// Of those that were measured; null when none was.
    pub(crate) solved_share: Option<f64>,
    /// Where the share would be found again in 95 of 100 such runs: Wilson's interval.
    pub(crate) share_interval_95: Option<[f64; 2]>,
    #[serde(flatten)]
    pub(crate) spent: Spent,
}

impl Line {
    pub(crate) fn new(exercise: &Exercise, number: u32, attempt: Attempt) -> Self {
        let (result, why) = match attempt.outcome {
            Solution::Solved => (Grade::Solved, None),
            Solution::Unsolved(why) => (Grade::Unsolved, Some(why)),
            Solution::NotMeasured(why) => (Grade::NotMeasured, Some(why)),
        };
        let usage = attempt.usage;
        Self {
            exercise: exercise.name.clone(),
            language: exercise.settings.language.clone(),
            attempt: number,
            result,
            why,
            task: attempt.task,
            spent: Spent {
                turns: usage.turns.into(),
                input_tokens: usage.input_tokens,
                cached_input_tokens: usage.cached_input_tokens,
                output_tokens: usage.output_tokens,
                cost_micro_usd: usage.cost_micro_usd,
                wall_ms: milliseconds(attempt.wall),
            },
            findings: attempt.findings,
        }
    }
}

impl Totals {
    pub(crate) fn of(lines: &[Line]) -> Self {
        let count = |result| lines.iter().filter(|line| line.result == result).count();
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let (solved, unsolved) = (number(count(Grade::Solved)), number(count(Grade::Unsolved)));
        let measured = solved.saturating_add(unsolved);
        Self {
            attempts: number(lines.len()),
            solved,
            unsolved,
            not_measured: number(count(Grade::NotMeasured)),
            solved_share: (measured > 0).then(|| f64::from(solved) / f64::from(measured)),
            share_interval_95: (measured > 0).then(|| interval(solved, measured)),
            spent: sum(lines),
        }
    }

    pub(crate) fn exit(&self) -> Exit {
        if self.not_measured > 0 {
            Exit::NotMeasured
        } else if self.unsolved > 0 {
            Exit::Unsolved
        } else {
            Exit::Solved
        }
    }
}

fn sum(lines: &[Line]) -> Spent {
    let total = |field: fn(&Spent) -> u64| lines.iter().map(|line| field(&line.spent)).sum();
    Spent {
        turns: total(|spent| spent.turns),
        input_tokens: total(|spent| spent.input_tokens),
        cached_input_tokens: total(|spent| spent.cached_input_tokens),
        output_tokens: total(|spent| spent.output_tokens),
        // A sum that leaves out what is unknown would look like a price. An attempt without a turn cost nothing.
        cost_micro_usd: lines
            .iter()
            .filter(|line| line.spent.turns > 0)
            .map(|line| line.spent.cost_micro_usd)
            .sum(),
        wall_ms: total(|spent| spent.wall_ms),
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Wilson's score interval of a share, at 95 %.
fn interval(solved: u32, measured: u32) -> [f64; 2] {
    const Z: f64 = 1.96;
    let (count, share) = (f64::from(measured), f64::from(solved) / f64::from(measured));
    let middle = share + Z * Z / (2.0 * count);
    let half = Z * (share * (1.0 - share) / count + Z * Z / (4.0 * count * count)).sqrt();
    let whole = 1.0 + Z * Z / count;
    [((middle - half) / whole).max(0.0), ((middle + half) / whole).min(1.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn line(result: Grade, cost_micro_usd: Option<u64>) -> Line {
        Line {
            exercise: "py-example".into(),
            language: "python".into(),
            attempt: 1,
            result,
            why: (result != Grade::Solved).then(|| "the check said no\nin two lines".into()),
            task: "tasks/1".into(),
            spent: Spent {
                turns: 3,
                input_tokens: 1000,
                cached_input_tokens: 600,
                output_tokens: 50,
                cost_micro_usd,
                wall_ms: 1500,
            },
            findings: vec!["test_skipped a_test.go: TestA is skipped".into()],
        }
    }

    #[test]
    fn totals_count_what_was_measured_and_never_guess_a_price() {
        let lines = [
            line(Grade::Solved, Some(40)),
            line(Grade::Unsolved, Some(2)),
            line(Grade::NotMeasured, None),
        ];
        let totals = Totals::of(&lines);
        assert_eq!((totals.solved, totals.unsolved, totals.not_measured), (1, 1, 1));
        assert_eq!(totals.solved_share, Some(0.5));
        assert_eq!((totals.spent.turns, totals.spent.cost_micro_usd), (9, None));
        assert_eq!(Totals::of(&lines[..2]).spent.cost_micro_usd, Some(42));
        assert_eq!(Totals::of(&lines[2..]).solved_share, None);
    }

    #[test]
    fn the_exit_code_tells_unsolved_from_not_measured() {
        let exit = |results: &[Grade]| {
            let lines: Vec<_> = results.iter().map(|result| line(*result, None)).collect();
            Totals::of(&lines).exit()
        };
        assert_eq!(exit(&[Grade::Solved]), Exit::Solved);
        assert_eq!(exit(&[Grade::Solved, Grade::Unsolved]), Exit::Unsolved);
        assert_eq!(exit(&[Grade::Unsolved, Grade::NotMeasured]), Exit::NotMeasured);
    }

    #[test]
    fn the_interval_is_wilsons() {
        let near = |found: [f64; 2], wanted: [f64; 2]| {
            assert!(
                found.iter().zip(wanted).all(|(one, other)| (one - other).abs() < 0.001),
                "{found:?}"
            );
        };
        near(interval(14, 14), [0.785, 1.0]);
        near(interval(7, 14), [0.268, 0.732]);
        near(interval(0, 14), [0.0, 0.215]);
    }
}
