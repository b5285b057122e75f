//! Makes text of models and people fit to stand in Markdown that a forge shows: nothing in it acts.
//!
//! No mention reaches a person, no issue is closed or told, no image is loaded, no link is made, nothing is
//! hidden. A character that shows nothing is put into what would act, so that the text still reads the
//! same; where even that is not wanted, in code, the text is put into a code span.

use crate::forge::git::is_plain;

/// Parts a text without being seen.
const SPLIT: char = '\u{200b}';

/// Shows a text as inline code; it can't end the code span.
pub(super) fn code(text: &str) -> String {
    let shown = |character: char| match character {
        _ if character.is_whitespace() => ' ',
        _ if !is_plain(character) => '\u{fffd}',
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

/// Makes one line of it, fit for a table.
pub(super) fn escape_line(text: &str) -> String {
    escape(text)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('|', "\\|")
}

/// Quotes untrusted Markdown line by line.
pub(super) fn quote(text: &str) -> String {
    escape(text)
        .lines()
        .map(|line| format!("> {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Takes from Markdown what acts.
pub(super) fn escape(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        let next = rest.clone().next();
        let splits_after = match character {
            '@' => true,
            // Headings stay; `#12` and `owner/name#12` do not.
            '#' => next.is_some_and(|next| next.is_ascii_digit()),
            '!' => next == Some('['),
            // A definition of a link shows nothing: a text could be hidden in it.
            ']' => next == Some(':'),
            // An entity would be read as the character that it names.
            '&' => next.is_some_and(|next| next == '#' || next.is_ascii_alphabetic()),
            ':' => rest.as_str().starts_with("//"),
            'h' | 'H' => next == Some('-') && ends_with_letter(&out, 'g'),
            'w' | 'W' => next == Some('.') && ends_with_letter(&out, 'w'),
            _ => false,
        };
        match character {
            '<' => out.push_str("&lt;"),
            '\n' | '\t' => out.push(character),
            _ if !is_plain(character) => out.push('\u{fffd}'),
            _ => out.push(character),
        }
        if splits_after {
            out.push(SPLIT);
        }
    }
    out
}

fn ends_with_letter(text: &str, letter: char) -> bool {
    text.chars()
        .next_back()
        .is_some_and(|last| last.eq_ignore_ascii_case(&letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untrusted_text_cannot_act() {
        for (text, acting) in [
            ("@octocat and @org/team", "@o"),
            ("closes #1", "#1"),
            ("#2 at the start", "#2"),
            ("##3", "#3"),
            ("fixes x/y#4", "#4"),
            ("GH-5", "GH-"),
            ("gH-6", "gH-"),
            ("<!-- hidden -->", "<!"),
            ("<details>", "<d"),
            ("![i](x.png)", "!["),
            ("https://evil.test/?q=secret", "://"),
            ("HTTPS://evil.test", "://"),
            ("www.evil.test", "www."),
            ("[//]: # (hidden)", "]:"),
            ("&#64;octocat", "&#"),
            ("&commat;octocat", "&c"),
            ("a\u{202e}b", "\u{202e}"),
            ("a\u{e0041}b", "\u{e0041}"),
            ("a\u{1b}[31m", "\u{1b}"),
        ] {
            let escaped = escape(text);
            assert!(!escaped.contains(acting), "{acting:?} is still in {escaped:?}");
        }
    }

    #[test]
    fn harmless_text_stays_as_it_is() {
        let text = "# Heading\n\nplain *text* with `a && b`, a: b, [x](y), 1 < 2\n\n- [ ] one\n\t- two! [really]\n";
        assert_eq!(escape(text), text.replace('<', "&lt;"));
    }

    #[test]
    fn code_cannot_be_left() {
        assert_eq!(code("a`b|c\nd"), "`a'b\\|c d`");
    }
}
