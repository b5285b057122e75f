//! The text of a pull request, written from recorded facts.
//!
//! What the model or the repository wrote is quoted as its account and can't act: no mention reaches
//! a person, no issue is closed, no image is loaded, nothing is hidden in a comment.

use crate::forge::git::clean_line;
use crate::forge::{marker, visible_text};
use crate::orchestrator::markdown::{code, escape, escape_line, quote};
use crate::orchestrator::review;
use crate::task::record::TaskRecord;
use crate::task::result::{Evidence, Finding, FindingKind, Verdict};

/// Longest title.
const TITLE_CHARS: usize = 72;

/// Longest account of the model in the body.
const SUMMARY_CHARS: usize = 6_000;

/// Longest template of a repository that is repeated.
const TEMPLATE_CHARS: usize = 4_000;

/// What the body is written from.
pub(super) struct Facts<'a> {
    pub(super) record: &'a TaskRecord,
    pub(super) summary: Option<&'a str>,
    pub(super) stopped: Option<&'a str>,
    pub(super) evidence: &'a [Evidence],
    pub(super) findings: &'a [Finding],
    pub(super) denied: &'a [String],
    pub(super) notes: &'a [String],
    pub(super) model: &'a str,
    /// Where the Task is shown.
    pub(super) link: Option<String>,
    /// What the repository wants to be told.
    pub(super) template: Option<&'a str>,
}

/// Makes a title from the instruction's first line.
pub(super) fn title(instruction: &str) -> String {
    let line = instruction
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or("Change");
    let plain = clean_line(line);
    if plain.chars().count() <= TITLE_CHARS {
        return plain;
    }
    let cut: String = plain.chars().take(TITLE_CHARS - 1).collect();
    let cut = cut
        .rsplit_once(' ')
        .filter(|(head, _)| head.chars().count() > TITLE_CHARS / 2)
        .map_or(cut.as_str(), |(head, _)| head);
    format!("{cut}…")
}

/// Writes the body.
pub(super) fn body(facts: &Facts<'_>) -> String {
    let mut body = String::new();
    let mut push = |text: &str| {
        body.push_str(text);
        body.push('\n');
    };
    push(&format!("Asked for by {}:", escape_line(&facts.record.requester)));
    let asked = review::request(&facts.record.spec.instruction);
    push(&quote(&cut(asked, SUMMARY_CHARS)));
    push("");
    if let Some(stopped) = facts.stopped {
        push(&format!("**This work is not finished:** {}", escape_line(stopped)));
        push("");
    }
    if let Some(summary) = facts.summary {
        push("### The agent's account");
        push(&quote(&cut(summary, SUMMARY_CHARS)));
        push("");
    }
    if let Some(answers) = review::answers(&facts.record.spec.instruction, facts.summary) {
        push(&format!("### Review comments\n\n{answers}"));
    }
    if let Some(issue) = &facts.record.spec.issue {
        let verb = if facts.stopped.is_some() { "About" } else { "Closes" };
        push(&format!("{verb} #{issue}\n"));
    }
    if let Some(template) = facts.template.and_then(|template| unanswered(template, facts.summary)) {
        push(&format!(
            "### For the author, from the repository's template\n\n{template}\n"
        ));
    }
    push("### Verification (recorded by the server)");
    push(&evidence_table(facts.evidence));
    if !facts.findings.is_empty() {
        push("### Look at these first");
        facts.findings.iter().for_each(|finding| push(&finding_line(finding)));
        push("");
    }
    if !facts.denied.is_empty() {
        push("### Refused while working");
        facts
            .denied
            .iter()
            .for_each(|line| push(&format!("- {}", escape_line(line))));
        push("");
    }
    if !facts.notes.is_empty() {
        push("### Notes");
        facts
            .notes
            .iter()
            .for_each(|line| push(&format!("- {}", escape_line(line))));
        push("");
    }
    let usage = &facts.record.usage;
    let cost = usage.cost_micro_usd.map_or("unknown".to_owned(), |cost| {
        format!("${}.{:04}", cost / 1_000_000, cost % 1_000_000 / 100)
    });
    push("---");
    push(&format!(
        "Made by an agent (Backspace): model {}, {} turns, {} input tokens ({} cached), {} output tokens, cost {cost}.",
        code(facts.model),
        usage.turns,
        usage.input_tokens,
        usage.cached_input_tokens,
        usage.output_tokens
    ));
    if let Some(link) = &facts.link {
        push(&format!("All that happened: {link}"));
    }
    push(&marker(facts.record.id));
    body
}

/// Returns the repository's template unless the account has one of its headings, and so answers it.
fn unanswered(template: &str, summary: Option<&str>) -> Option<String> {
    let shown = visible_text(template);
    let summary = summary.unwrap_or_default().to_lowercase();
    let headings = shown.lines().filter_map(|line| line.strip_prefix('#'));
    let mut headings = headings.map(|line| line.trim_start_matches('#').trim().to_lowercase());
    let is_answered = headings.any(|heading| !heading.is_empty() && summary.contains(&heading));
    (!is_answered && !shown.trim().is_empty()).then(|| escape(&cut(shown.trim(), TEMPLATE_CHARS)))
}

fn evidence_table(evidence: &[Evidence]) -> String {
    let changed: Vec<_> = evidence.iter().filter(|fact| !fact.baseline).collect();
    if changed.is_empty() {
        return "Nothing was verified: the repository has no command that the server found or was given.\n".to_owned();
    }
    let mut table =
        String::from("| command | on the base | on this change | took | verdict |\n| --- | --- | --- | --- | --- |\n");
    for fact in &changed {
        let base = evidence
            .iter()
            .find(|base| base.baseline && base.command == fact.command);
        let base = base.map_or("not run".to_owned(), exit);
        let verdict = match fact.verdict {
            Verdict::Passed => "passed",
            Verdict::FailedOnBaseToo => "failed on the base too",
            Verdict::NewlyRed => "**newly red**",
            Verdict::NotRun => "not run",
        };
        let seconds = fact.duration.as_millis() as f64 / 1000.0;
        table.push_str(&format!(
            "| {} | {base} | {} | {seconds:.1} s | {verdict} |\n",
            code(&fact.command),
            exit(fact)
        ));
    }
    if let Some(fact) = changed.first() {
        table.push_str(&format!(
            "\nThey ran on tree `{}`, which is the tree of this pull request's head.\n",
            fact.tree
        ));
    }
    table
}

fn exit(fact: &Evidence) -> String {
    match (fact.timed_out, fact.exit_code) {
        (true, _) => "timed out".to_owned(),
        (false, Some(0)) => "exit 0".to_owned(),
        (false, Some(code)) => format!("exit {code}"),
        (false, None) => "killed".to_owned(),
    }
}

fn finding_line(finding: &Finding) -> String {
    let kind = match finding.kind {
        FindingKind::TestDeleted => "test deleted",
        FindingKind::TestSkipped => "test skipped",
        FindingKind::TestWeakened => "test weakened",
        FindingKind::ConfigurationTouched => "configuration touched",
        FindingKind::SensitivePath => "sensitive path",
        FindingKind::Secret => "possible secret",
        FindingKind::UnusualFile => "unusual file",
    };
    format!(
        "- **{kind}** {}: {}",
        code(&finding.path),
        escape_line(&finding.message)
    )
}

fn cut(text: &str, chars: usize) -> String {
    if text.chars().count() <= chars {
        return text.to_owned();
    }
    format!("{}…", text.chars().take(chars).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_short_and_plain() {
        assert_eq!(title("\n  Add   tests\nmore"), "Add tests");
        let long = title(&"word ".repeat(40));
        assert!(long.chars().count() <= TITLE_CHARS && long.ends_with("word…"), "{long}");
        assert_eq!(title("a\u{202e}b\u{7}c"), "abc");
        assert_eq!(title("Add\ttests"), "Add tests");
        assert_eq!(title(""), "Change");
    }

    #[test]
    fn a_template_stands_there_until_it_is_answered() {
        let template = "<!-- Thank you! -->\n## What and why\n\n## How was it tested\n\n- [ ] ask @maintainers\n";
        let shown = "## What and why\n\n## How was it tested\n\n- [ ] ask @\u{200b}maintainers";
        assert_eq!(unanswered(template, Some("Done.")).as_deref(), Some(shown));
        assert_eq!(unanswered(template, Some("## How was it tested\n\nBy hand.")), None);
        assert_eq!(unanswered("<!-- nothing -->", None), None);
    }
}
