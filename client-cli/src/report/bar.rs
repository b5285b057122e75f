//! The status line: a bar, the step, the time. One line, never wider than the terminal, since a line
//! that wraps cannot be erased again.

use std::time::Duration;

use crate::paint::{Look, Paint};

const WIDTH: usize = 20;

/// Returns the status line for a terminal of so many columns; `doing` must be escaped.
pub(crate) fn bar(paint: Paint, percent: u32, doing: &str, elapsed: Duration, columns: usize) -> String {
    let filled = (percent.min(100) as usize * WIDTH) / 100;
    let (done, left) = ("█".repeat(filled), "░".repeat(WIDTH - filled));
    let time = format!("{}:{:02}", elapsed.as_secs() / 60, elapsed.as_secs() % 60);
    let fixed = WIDTH + format!("[] {percent:>3} %  {time}  ").chars().count();
    let doing = fit(doing, columns.saturating_sub(fixed + 1));
    if columns <= fixed {
        return fit(&format!("{percent:>3} %"), columns.saturating_sub(1));
    }
    format!(
        "[{}{left}] {percent:>3} %  {}  {doing}",
        paint.text(Look::Green, &done),
        paint.text(Look::Dim, &time)
    )
}

/// Cuts a text to so many columns. A character outside ASCII is taken to be two wide: that is never too
/// little, and saves a table of widths.
fn fit(text: &str, columns: usize) -> String {
    let width = |character: char| if character.is_ascii() { 1 } else { 2 };
    if text.chars().map(width).sum::<usize>() <= columns {
        return text.to_owned();
    }
    let mut left = columns.saturating_sub(2);
    let mut out = String::new();
    for character in text.chars() {
        if width(character) > left {
            break;
        }
        left -= width(character);
        out.push(character);
    }
    if columns >= 2 {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills_and_tells_step_and_time() {
        let line = bar(Paint::PLAIN, 45, "bash cargo test", Duration::from_millis(65_900), 80);
        assert_eq!(line, "[█████████░░░░░░░░░░░]  45 %  1:05  bash cargo test");
        let line = bar(Paint::PLAIN, 400, "", Duration::ZERO, 80);
        assert_eq!(line, "[████████████████████] 400 %  0:00  ");
    }

    #[test]
    fn the_line_is_narrower_than_the_terminal() {
        for columns in 0..100 {
            let line = bar(
                Paint::PLAIN,
                45,
                "日本語 and a rather long step",
                Duration::from_secs(5),
                columns,
            );
            let shown: usize = line
                .chars()
                .map(|character| if character > '\u{2fff}' { 2 } else { 1 })
                .sum();
            assert!(shown < columns.max(1) || line.is_empty(), "{columns}: {line}");
        }
    }
}
