//! Makes text of others harmless to a terminal: the one way in which anything from a model, a
//! repository or a server reaches the screen.
//!
//! A terminal obeys what it is shown: a file name can move the cursor, retitle the window, write to the
//! clipboard or make `rm` look like `ls`. So every character that is not plainly visible is written as
//! its escape. What is visible stays as it is, in any script.

use std::fmt::Write as _;

/// Escapes for a place that is one line: line breaks are shown too.
pub(crate) fn line(text: &str) -> String {
    escape(text, Breaks::Shown)
}

/// Escapes for a place of several lines: line breaks and tabs stay, a carriage return does not.
pub(crate) fn block(text: &str) -> String {
    escape(text, Breaks::Kept)
}

/// Escapes bytes that may not be UTF-8, for a place of several lines.
pub(crate) fn block_of_bytes(bytes: &[u8]) -> String {
    block(&String::from_utf8_lossy(bytes))
}

/// Escapes JSON: the same characters, as JSON writes them, so that the value stays the same.
///
/// `serde_json` leaves everything from U+007F on as it is, so a C1 control or a bidi override would
/// reach a terminal through `--output json`. Outside strings JSON has none of these characters.
pub(crate) fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character == '\n' || !is_dangerous(character) {
            out.push(character);
            continue;
        }
        let mut units = [0_u16; 2];
        for unit in character.encode_utf16(&mut units) {
            write_to(&mut out, format_args!("\\u{unit:04x}"));
        }
    }
    out
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Breaks {
    Shown,
    Kept,
}

fn escape(text: &str, breaks: Breaks) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, breaks) {
            // A line ended the other way is still just a line.
            ('\r', Breaks::Kept) if characters.peek() == Some(&'\n') => {}
            ('\n' | '\t', Breaks::Kept) => out.push(character),
            ('\n', Breaks::Shown) => out.push_str("\\n"),
            ('\t', Breaks::Shown) => out.push_str("\\t"),
            ('\r', _) => out.push_str("\\r"),
            _ if !is_dangerous(character) => out.push(character),
            _ if u32::from(character) < 0x100 => write_to(&mut out, format_args!("\\x{:02x}", u32::from(character))),
            _ => write_to(&mut out, format_args!("\\u{{{:x}}}", u32::from(character))),
        }
    }
    out
}

fn write_to(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = out.write_fmt(arguments);
}

/// Whether a character acts on the terminal, on the order of the text, or is not there to be seen.
fn is_dangerous(character: char) -> bool {
    matches!(character,
        // C0, DEL and C1: cursor, colours, titles, clipboard (CSI, OSC, DCS in both their forms).
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}'
        // Order of the text.
        | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}'
        // Line and paragraph separators.
        | '\u{2028}' | '\u{2029}'
        // Nothing to see: soft hyphen, zero-width characters (the joiners stay: scripts and emoji need
        // them), invisible operators, fillers, byte order mark, interlinear marks.
        | '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}' | '\u{2060}'..='\u{2065}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        // Tags and supplementary variation selectors: whole hidden texts have been written in them.
        | '\u{e0000}'..='\u{e0fff}'
        // Musical and shorthand format controls.
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a terminal or a bidi algorithm would act on, written down apart from the rule above.
    fn acts(character: char) -> bool {
        character.is_control()
            || "\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}\u{200e}\u{200f}\u{61c}\u{200b}\u{feff}\u{2028}\u{2029}"
                .contains(character)
            || ('\u{e0000}'..='\u{e007f}').contains(&character)
    }

    #[test]
    fn attacks_are_shown_and_not_obeyed() {
        let table = [
            ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
            ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
            ("\x1b]52;c;aGk=\x1b\\", "\\x1b]52;c;aGk=\\x1b\\"),
            ("\u{9b}2J\u{9d}8;;", "\\x9b2J\\x9d8;;"),
            ("safe\rrm -rf", "safe\\rrm -rf"),
            ("a\u{8}\u{8}b", "a\\x08\\x08b"),
            ("\u{202e}txt.exe", "\\u{202e}txt.exe"),
            ("x\u{e0041}", "x\\u{e0041}"),
            ("a\nb\tc\r\n", "a\\nb\\tc\\r\\n"),
        ];
        for (text, expected) in table {
            assert_eq!(line(text), expected);
        }
        assert_eq!(block("a\r\nb\tc\rd\n"), "a\nb\tc\\rd\n");
        assert_eq!(block_of_bytes(b"\xff\x1b[0m"), "\u{fffd}\\x1b[0m");
    }

    #[test]
    fn what_people_write_stays_as_it_is() {
        for text in ["fix: Grüße → 日本語 العربية हिन्दी", "👩‍👩‍👧 ✓ ❤️", "a\\x1b is text already"]
        {
            assert_eq!(line(text), text);
            assert_eq!(block(text), text);
            assert_eq!(json(text), text);
        }
    }

    fn hostile() -> impl Strategy<Value = String> {
        let picked = prop_oneof![
            any::<char>(),
            prop::sample::select(vec![
                '\x1b',
                '[',
                ']',
                '\u{9b}',
                '\u{9c}',
                '\r',
                '\n',
                '\t',
                '\u{202e}',
                '\u{e0061}',
                'a'
            ]),
        ];
        prop::collection::vec(picked, 0..60).prop_map(|characters| characters.into_iter().collect())
    }

    proptest! {
        #[test]
        fn nothing_that_acts_gets_through(text in hostile()) {
            prop_assert!(!line(&text).chars().any(acts));
            prop_assert!(!block(&text).chars().any(|character| acts(character) && character != '\n' && character != '\t'));
            prop_assert_eq!(block(&text).matches('\n').count(), text.matches('\n').count());
        }

        #[test]
        fn any_bytes_are_made_harmless(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let shown = block_of_bytes(&bytes);
            prop_assert!(!shown.chars().any(|character| acts(character) && character != '\n' && character != '\t'));
        }

        #[test]
        fn escaping_twice_is_escaping_once(text in hostile()) {
            prop_assert_eq!(line(&line(&text)), line(&text));
            prop_assert_eq!(block(&block(&text)), block(&text));
        }

        #[test]
        fn escaped_json_is_one_harmless_line_with_the_same_value(text in hostile()) {
            let value = serde_json::json!({ "text": text });
            let shown = json(&value.to_string());
            prop_assert!(!shown.chars().any(acts));
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
        }
    }
}
