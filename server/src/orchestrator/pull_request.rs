//! The text of a pull request, written from recorded facts.
//!
//! What the model or the repository wrote is quoted as its account and can't act: no mention reaches
//! a person, no issue is closed, no image is loaded, nothing is hidden in a comment.

use crate::forge::marker;
use crate::task::record::TaskRecord;
use crate::task::result::{Evidence, Finding, FindingKind, Verdict};

/// Longest title.
const TITLE_CHARS: usize = 72;

/// Longest account of the model in the body.
const SUMMARY_CHARS: usize = 6_000;

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
}

/// Makes a title from the instruction's first line.
pub(super) fn title(instruction: &str) -> String {
    let line = instruction
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or("Change");
    let plain: String = line.chars().filter(|character| !is_hidden(*character)).collect();
    let plain = plain.split_whitespace().collect::<Vec<_>>().join(" ");
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
    push(&quote(&cut(&facts.record.spec.instruction, SUMMARY_CHARS)));
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
    push(&marker(facts.record.id));
    body
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

/// Shows a text as inline code; it can't end the code span.
fn code(text: &str) -> String {
    let shown = |character: char| match character {
        _ if character.is_whitespace() => ' ',
        _ if is_hidden(character) => '\u{fffd}',
        _ => character,
    };
    let plain: String = text.chars().map(shown).collect();
    let plain = plain
        .replace('`', "'")
        .replace('|', "\\|")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    format!("`{plain}`")
}

fn escape_line(text: &str) -> String {
    escape(text)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('|', "\\|")
}

/// Quotes untrusted Markdown line by line.
fn quote(text: &str) -> String {
    escape(text)
        .lines()
        .map(|line| format!("> {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Takes from Markdown what acts: mentions, issue references, HTML, images and hidden characters.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '@' => out.push_str("@\u{200b}"),
            '#' if !out.is_empty() && !out.ends_with(['\n', '#']) => out.push_str("#\u{200b}"),
            '#' => out.push('#'),
            '<' => out.push_str("&lt;"),
            // An image would be loaded from wherever the text says.
            '[' if out.ends_with('!') => out.push_str("\u{200b}["),
            '\n' | '\t' => out.push(character),
            _ if is_hidden(character) => out.push('\u{fffd}'),
            _ => out.push(character),
        }
    }
    // GH-12 and owner/name#12 are references too; the second was handled by `#`.
    let mut safe = out.replace("GH-", "GH\u{200b}-").replace("gh-", "gh\u{200b}-");
    if safe.starts_with('#') && safe.chars().nth(1).is_some_and(|next| next.is_ascii_digit()) {
        safe.insert(1, '\u{200b}');
    }
    let lines = safe.split('\n').map(|line| {
        let numbered = line
            .strip_prefix('#')
            .is_some_and(|rest| rest.starts_with(|next: char| next.is_ascii_digit()));
        if numbered {
            line.replacen('#', "#\u{200b}", 1)
        } else {
            line.to_owned()
        }
    });
    lines
        .collect::<Vec<_>>()
        .join("\n")
        .replace("https://", "https:\u{200b}//")
        .replace("http://", "http:\u{200b}//")
}

fn cut(text: &str, chars: usize) -> String {
    if text.chars().count() <= chars {
        return text.to_owned();
    }
    format!("{}…", text.chars().take(chars).collect::<String>())
}

/// Control, bidirectional, zero-width and tag characters: what a reader does not see.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}' | '\u{ad}' | '\u{180e}')
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
        assert_eq!(title(""), "Change");
    }

    #[test]
    fn untrusted_text_cannot_act() {
        let escaped =
            escape("@octocat closes #1\n#2 and x/y#3, GH-4 <!-- hidden --> ![i](https://evil.test/p.png)\u{202e}");
        for acting in [
            "@octocat",
            "#1",
            "#2",
            "#3",
            "GH-4",
            "<!--",
            "![",
            "https://evil",
            "\u{202e}",
        ] {
            assert!(!escaped.contains(acting), "{acting} is still in {escaped}");
        }
        assert_eq!(escape("# Heading\n\nplain text"), "# Heading\n\nplain text");
    }

    #[test]
    fn code_cannot_be_left() {
        assert_eq!(code("a`b|c\nd"), "`a'b\\|c d`");
    }
}
