//! The report as a table for people: what was solved and spent, then why the rest was not.

use std::fmt::Write as _;

use super::{Grade, Line, Report, Spent};

const HEADINGS: [&str; 9] = [
    "exercise", "language", "result", "turns", "input", "cached", "output", "USD", "seconds",
];

/// How many columns, from the left, hold words; the rest are numbers.
const WORDS: usize = 3;

/// Renders a report.
pub(crate) fn render(report: &Report) -> String {
    let totals = &report.totals;
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    let is_repeated = report.attempts.iter().any(|line| line.attempt > 1);
    for line in &report.attempts {
        let name = if is_repeated {
            format!("{} #{}", line.exercise, line.attempt)
        } else {
            line.exercise.clone()
        };
        rows.push(row(name, line.language.clone(), word(line.result).into(), &line.spent));
    }
    rows.push(row("all".into(), String::new(), String::new(), &totals.spent));
    let mut text = align(&rows);
    let measured = totals.solved + totals.unsolved;
    let _ = write!(text, "\n{}: {} of {measured} solved", report.model, totals.solved);
    if let (Some(share), Some([low, high])) = (totals.solved_share, totals.share_interval_95) {
        let percent = |share: f64| share * 100.0;
        let _ = write!(
            text,
            " ({:.0} %; 95 % interval {:.0} to {:.0} %)",
            percent(share),
            percent(low),
            percent(high)
        );
    }
    if totals.not_measured > 0 {
        let _ = write!(text, ", {} not measured", totals.not_measured);
    }
    text.push('\n');
    reasons(&mut text, report, Grade::Unsolved, "Unsolved");
    reasons(&mut text, report, Grade::NotMeasured, "Not measured");
    text
}

fn word(result: Grade) -> &'static str {
    match result {
        Grade::Solved => "solved",
        Grade::Unsolved => "UNSOLVED",
        Grade::NotMeasured => "NOT MEASURED",
    }
}

fn row(name: String, language: String, result: String, spent: &Spent) -> [String; 9] {
    let micro = |amount: u64| format!("{}.{:04}", amount / 1_000_000, amount % 1_000_000 / 100);
    [
        name,
        language,
        result,
        spent.turns.to_string(),
        spent.input_tokens.to_string(),
        spent.cached_input_tokens.to_string(),
        spent.output_tokens.to_string(),
        spent.cost_micro_usd.map_or_else(|| "?".into(), micro),
        format!("{}.{}", spent.wall_ms / 1000, spent.wall_ms % 1000 / 100),
    ]
}

fn align(rows: &[[String; 9]]) -> String {
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let width = rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or_default();
            if column < WORDS {
                format!("{cell:<width$}")
            } else {
                format!("{cell:>width$}")
            }
        });
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  "));
    }
    text
}

fn reasons(text: &mut String, report: &Report, result: Grade, heading: &str) {
    let mut of_kind: Vec<&Line> = report.attempts.iter().filter(|line| line.result == result).collect();
    of_kind.sort_by(|one, other| one.exercise.cmp(&other.exercise));
    if of_kind.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{heading}:");
    for line in of_kind {
        let why = line.why.as_deref().unwrap_or_default().replace('\n', "\n    ");
        let _ = writeln!(text, "  {} ({}):\n    {why}", line.exercise, line.task);
        for finding in &line.findings {
            let _ = writeln!(text, "    the server found: {finding}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::line;
    use super::super::{Report, Totals};
    use super::*;

    #[test]
    fn a_table_has_every_number_and_says_why() {
        let attempts = vec![line(Grade::Solved, Some(1_234_567)), line(Grade::Unsolved, None)];
        let report = Report {
            model: "provider/model".into(),
            server_version: "0".into(),
            totals: Totals::of(&attempts),
            attempts,
        };
        let wanted = "\
exercise    language  result    turns  input  cached  output     USD  seconds
py-example  python    solved        3   1000     600      50  1.2345      1.5
py-example  python    UNSOLVED      3   1000     600      50       ?      1.5
all                                 6   2000    1200     100       ?      3.0

provider/model: 1 of 2 solved (50 %; 95 % interval 9 to 91 %)

Unsolved:
  py-example (tasks/1):
    the check said no
    in two lines
    the server found: test_skipped a_test.go: TestA is skipped
";
        assert_eq!(render(&report), wanted);
    }
}
