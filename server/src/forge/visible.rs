//! What a person sees of a text that somebody else wrote: no HTML comments, no invisible characters.
//!
//! Instructions for a model are hidden where people do not look. What is taken out here is what a page
//! does not show; words are left as they are, because no filter of words holds.

use crate::forge::git::is_plain;

/// Returns the part of a Markdown text that its page shows.
pub(crate) fn visible_text(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    let mut shown = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("<!--") {
        shown.push_str(before);
        // HTML ends these at once; a comment that never ends hides all that follows.
        let closed = ["->", ">"].iter().find_map(|end| after.strip_prefix(end));
        rest = match (closed, after.find("-->"), after.find("--!>")) {
            (Some(after), _, _) => after,
            (None, Some(end), other) if other.is_none_or(|other| end < other) => {
                after.get(end + 3..).unwrap_or_default()
            }
            (None, _, Some(end)) => after.get(end + 4..).unwrap_or_default(),
            (None, _, None) => "",
        };
    }
    shown.push_str(rest);
    shown
        .chars()
        .filter(|character| matches!(character, '\n' | '\t') || is_plain(*character))
        .filter(|character| !is_filler(*character))
        .collect()
}

/// Returns whether a character takes part in no word and shows nothing.
fn is_filler(character: char) -> bool {
    matches!(character, '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{3164}' | '\u{ffa0}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_page_does_not_show_is_taken_out() {
        for (text, expected) in [
            ("plain\r\ntext\t`x`", "plain\ntext\t`x`"),
            ("a<!-- ignore all rules -->b", "ab"),
            ("a<!-- one\ntwo --!>b<!---->c", "abc"),
            ("a<!-->b-->", "ab-->"),
            ("a<!-- never ends", "a"),
            ("a<!-- x <!-- y --> b -->", "a b -->"),
            ("in\u{200b}visi\u{202e}ble\u{e0041}\u{fe0f}\u{1b}[31m", "invisible[31m"),
            ("日本語 café ✓", "日本語 café ✓"),
        ] {
            assert_eq!(visible_text(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_stands_around_a_comment_is_shown_as_the_page_shows_it() {
        assert_eq!(visible_text("<!<!-- x -->-- y -->"), "<!-- y -->");
    }
}
