//! `Redactor`: masks secrets in texts that leave the server, by value and then by pattern.
//!
//! By value means every form in `variant`, also a part of it; no token length is assumed. Patterns
//! catch what the server does not know, and so can hit harmless text: what the model reads back and
//! writes into files is masked by value only (`mask_values`), or a test fixture would be corrupted.
//! Time is linear in the text: one automaton, regular expressions without backtracking.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, Input};
use regex::bytes::Regex;

use crate::secret::Secret;
use crate::secret::variant::{self, MIN_VALUE_BYTES};
use crate::task::event::floor_char_boundary;

const MASK: &str = "[redacted]";

/// Shapes of well-known tokens. Prefixes are what counts; lengths change over the years.
static PATTERNS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let token = concat!(
        r"(?-u)\b(?:gh[opusr]_|github_pat_|glpat-|sk-(?:ant-|proj-|or-)?|xox[abeprs]-|npm_|pypi-|hf_|AIza|ya29\.)",
        r"[A-Za-z0-9_\-.]{16,}",
    );
    let all = [
        token,
        r"(?-u)\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
        r"(?-u)\beyJ[A-Za-z0-9_\-]{8,}\.eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}",
        r"(?-u)-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----(?s:.)*?(?:-----END [A-Z ]{0,30}PRIVATE KEY-----|\z)",
    ];
    Regex::new(&all.join("|")).ok()
});

/// Userinfo of a URL: the part between the colon and the @.
static URL_PASSWORD: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?-u)://[A-Za-z0-9._~%\-]{0,100}:([^\s:/@]{3,400})@").ok());

/// Knows secrets and finds them.
#[derive(Clone, Default)]
pub struct Redactor {
    forms: Vec<Vec<u8>>,
    automaton: Option<AhoCorasick>,
    /// For each pattern of the automaton: which form, and where in it the window starts.
    windows: Vec<(usize, usize)>,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor")
            .field("forms", &self.forms.len())
            .finish_non_exhaustive()
    }
}

/// What to look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Values,
    ValuesAndPatterns,
}

impl Redactor {
    /// Makes a redactor for these values; those under eight bytes are not looked for.
    pub fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        let mut forms = Vec::new();
        for secret in secrets {
            let value = secret.expose().trim();
            if value.len() >= MIN_VALUE_BYTES {
                forms.extend(variant::forms(value.as_bytes()));
            }
        }
        let mut patterns = Vec::new();
        let mut windows = Vec::new();
        for (index, form) in forms.iter().enumerate() {
            for (start, window) in variant::windows(form) {
                patterns.push(window.to_vec());
                windows.push((index, start));
            }
        }
        #[expect(
            clippy::expect_used,
            reason = "fails only over 2^31 states, and running on without the masks would leak"
        )]
        let automaton = (!patterns.is_empty()).then(|| {
            AhoCorasick::builder()
                .ascii_case_insensitive(true)
                .build(&patterns)
                .expect("the secrets of a server fit an automaton")
        });
        Self {
            forms,
            automaton,
            windows,
        }
    }

    /// Masks values and patterns: for events, logs, and texts for people.
    pub fn mask<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.replace(text, Scope::ValuesAndPatterns)
    }

    /// Masks values only: for what the model reads and may write back.
    pub fn mask_values<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.replace(text, Scope::Values)
    }

    /// Overwrites values and patterns with as many asterisks, so that offsets stay true.
    pub fn mask_in_place(&self, bytes: &mut [u8]) {
        for span in self.spans(bytes) {
            if let Some(part) = bytes.get_mut(span) {
                part.fill(b'*');
            }
        }
    }

    /// Returns whether a value, in whatever form, is in the bytes: for what is about to leave the server for good.
    pub fn holds_value(&self, bytes: &[u8]) -> bool {
        !self.find(bytes, Scope::Values).is_empty()
    }

    /// Returns where values and patterns are, in order and apart from each other.
    pub(super) fn spans(&self, bytes: &[u8]) -> Vec<Range<usize>> {
        self.find(bytes, Scope::ValuesAndPatterns)
    }

    /// Returns the length of the longest form.
    pub(super) fn longest_bytes(&self) -> usize {
        self.forms.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// Returns whether a form has white space in it.
    pub(super) fn has_spaced_form(&self) -> bool {
        self.forms.iter().any(|form| form.iter().any(u8::is_ascii_whitespace))
    }

    fn replace<'a>(&self, text: &'a str, scope: Scope) -> Cow<'a, str> {
        let spans = self.find(text.as_bytes(), scope);
        if spans.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut masked = String::with_capacity(text.len());
        let mut rest = 0;
        for span in spans {
            let start = floor_char_boundary(text, span.start).max(rest);
            masked.push_str(text.get(rest..start).unwrap_or_default());
            masked.push_str(MASK);
            rest = (span.end..text.len())
                .find(|end| text.is_char_boundary(*end))
                .unwrap_or(text.len());
        }
        masked.push_str(text.get(rest..).unwrap_or_default());
        Cow::Owned(masked)
    }

    fn find(&self, bytes: &[u8], scope: Scope) -> Vec<Range<usize>> {
        let mut spans = self.find_values(bytes);
        if scope == Scope::ValuesAndPatterns {
            if let Some(patterns) = PATTERNS.as_ref() {
                spans.extend(patterns.find_iter(bytes).map(|found| found.range()));
            }
            if let Some(password) = URL_PASSWORD.as_ref() {
                spans.extend(
                    password
                        .captures_iter(bytes)
                        .filter_map(|found| found.get(1))
                        .map(|part| part.range()),
                );
            }
        }
        merged(spans)
    }

    fn find_values(&self, bytes: &[u8]) -> Vec<Range<usize>> {
        let mut spans = Vec::new();
        let Some(automaton) = &self.automaton else {
            return spans;
        };
        let mut from = 0;
        while let Some(found) = automaton.find(Input::new(bytes).range(from..)) {
            let window = self.windows.get(found.pattern().as_usize());
            let span = match window.and_then(|(form, start)| Some((self.forms.get(*form)?, *start))) {
                Some((form, start)) => grown(bytes, found.range(), form, start),
                None => found.range(),
            };
            from = span.end.max(found.end());
            spans.push(span);
        }
        spans
    }
}

/// Extends a window's match to both sides as far as the text goes on like the form.
fn grown(bytes: &[u8], found: Range<usize>, form: &[u8], start: usize) -> Range<usize> {
    let same = |(a, b): &(&u8, &u8)| a.eq_ignore_ascii_case(b);
    let before = bytes.get(..found.start).unwrap_or_default().iter().rev();
    let form_before = form.get(..start).unwrap_or_default().iter().rev();
    let left = before.zip(form_before).take_while(same).count();
    let after = bytes.get(found.end..).unwrap_or_default().iter();
    let form_after = form.get(start + found.len()..).unwrap_or_default().iter();
    let right = after.zip(form_after).take_while(same).count();
    found.start - left..found.end + right
}

fn merged(mut spans: Vec<Range<usize>>) -> Vec<Range<usize>> {
    spans.sort_by_key(|span| span.start);
    let mut merged: Vec<Range<usize>> = Vec::with_capacity(spans.len());
    for span in spans {
        match merged.last_mut() {
            Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
            _ => merged.push(span),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "k9Zq+X/72mVw.Lq0e-Rt55_yHb3c8fUoPa1sD4gJ6";

    fn redactor() -> Redactor {
        Redactor::new([Secret::new(KEY), Secret::new("short"), Secret::new("tiny-token")])
    }

    #[test]
    fn a_value_is_masked_in_every_cheap_form() {
        let reversed: String = KEY.chars().rev().collect();
        let hex: String = KEY.bytes().map(|byte| format!("{byte:02X}")).collect();
        let url: String = KEY.replace('+', "%2b").replace('/', "%2F");
        for form in [
            KEY.to_owned(),
            KEY.to_uppercase(),
            reversed,
            hex,
            url,
            STANDARD.encode(KEY),
            STANDARD.encode(format!("x{KEY}")),
            URL_SAFE.encode(format!("xy{KEY}")),
        ] {
            let masked = redactor().mask_values(&format!("see {form} here")).into_owned();
            assert!(masked.starts_with("see ") && masked.contains(MASK), "{form} → {masked}");
            assert!(masked.len() < 40, "{form} → {masked}");
        }
        assert_eq!(redactor().mask_values("nothing here, short"), "nothing here, short");
        assert_eq!(redactor().mask("a tiny-token!"), "a [redacted]!");
    }

    #[test]
    fn a_value_without_its_first_seven_characters_is_masked_whole() {
        let part = KEY.get(7..).unwrap();
        assert_eq!(redactor().mask_values(&format!("<{part}>")), "<[redacted]>");
    }

    #[test]
    fn patterns_mask_what_no_value_is_known_of_but_not_for_the_model() {
        let redactor = Redactor::default();
        let text = "token ghp_abcdefghijklmnopqrst and https://me:hunter22@example.com/x";
        assert_eq!(
            redactor.mask(text),
            "token [redacted] and https://me:[redacted]@example.com/x"
        );
        assert_eq!(redactor.mask_values(text), text);
        let key = "a\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nb";
        assert_eq!(redactor.mask(key), "a\n[redacted]\nb");
        for harmless in ["task-id", "sk-ip", "the npm_config", "AKIA", "http://host:80/a@b"] {
            assert_eq!(redactor.mask(harmless), harmless);
        }
    }

    #[test]
    fn masking_in_place_keeps_every_offset() {
        let mut bytes = format!("a {KEY} b").into_bytes();
        redactor().mask_in_place(&mut bytes);
        assert_eq!(bytes, format!("a {} b", "*".repeat(KEY.len())).into_bytes());
    }

    static SHARED: LazyLock<Redactor> = LazyLock::new(redactor);

    proptest! {
        #[test]
        fn no_piece_of_nineteen_bytes_comes_through(
            before in "\\PC{0,30}", after in "\\PC{0,30}", start in 0usize..20,
        ) {
            let piece = &KEY[start..start + 19];
            let masked = SHARED.mask(&format!("{before}{piece}{after}")).into_owned();
            prop_assert!(!masked.contains(piece));
        }
    }
}
