//! The words of a commit: cleaned message, author and co-author.
//!
//! They come from people and models, and end in `git log`, terminals and web pages. Control and
//! direction-changing characters go; trailers are ours alone, because they are the last paragraph.

use crate::task::id::Timestamp;

/// Longest subject, in characters.
const SUBJECT_CHARS: usize = 72;

/// Longest body, in bytes.
const BODY_BYTES: usize = 16 * 1024;

/// Who made a commit, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Name.
    pub name: String,
    /// Mail address.
    pub email: String,
    /// When; the same for every repetition of a publication.
    pub time: Timestamp,
}

/// A commit message, fit to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitMessage(String);

impl CommitMessage {
    /// Makes a message of a subject, a body and the requester, `Name <address>` or another text that is then
    /// not named.
    pub fn new(subject: &str, body: &str, co_author: Option<&str>) -> Self {
        let subject = clean_line(subject);
        let mut text: String = subject.chars().take(SUBJECT_CHARS).collect();
        if text.trim().is_empty() {
            text = "Change by Backspace".into();
        }
        let body = clean_text(body);
        for paragraph in [body.trim(), &co_author.and_then(trailer).unwrap_or_default()] {
            if !paragraph.is_empty() {
                text.push_str("\n\n");
                text.push_str(paragraph);
            }
        }
        text.push('\n');
        Self(text)
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Returns whether a character may stand in text for people: no control, direction or invisible ones.
pub(crate) fn is_plain(character: char) -> bool {
    !(character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'))
}

/// Returns a text as one line of plain characters.
pub(crate) fn clean_line(text: &str) -> String {
    let plain = text
        .chars()
        .map(|character| if character.is_whitespace() { ' ' } else { character });
    let plain: String = plain.filter(|character| is_plain(*character)).collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn clean_text(text: &str) -> String {
    let mut clean = String::new();
    for line in text.lines() {
        let line: String = line
            .chars()
            .filter(|character| *character == '\t' || is_plain(*character))
            .collect();
        if clean.len() + line.len() > BODY_BYTES {
            clean.push('…');
            break;
        }
        clean.push_str(&without_references(line.trim_end()));
        clean.push('\n');
    }
    clean
}

/// Parts what a forge acts on in a message: mentions, and issues, which a commit can close.
///
/// With a space that is seen, since a message holds no other.
fn without_references(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut rest = line.chars();
    while let Some(character) = rest.next() {
        let next = rest.clone().next();
        text.push(character);
        let is_number = |at: usize| rest.clone().nth(at).is_some_and(|digit| digit.is_ascii_digit());
        let acts = match character {
            '@' => next.is_some_and(char::is_alphanumeric),
            '#' => is_number(0),
            'h' | 'H' => next == Some('-') && is_number(1),
            '/' => rest.as_str().starts_with("issues/") || rest.as_str().starts_with("pull/"),
            _ => false,
        };
        if acts {
            text.push(' ');
        }
    }
    text
}

fn trailer(co_author: &str) -> Option<String> {
    let (name, rest) = co_author.split_once('<')?;
    let email = rest.trim_end().strip_suffix('>')?;
    let name = clean_line(name);
    let is_address = email.contains('@')
        && email
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"<>\"".contains(&byte));
    (is_address && !name.is_empty()).then(|| format!("Co-authored-by: {name} <{email}>"))
}

impl Signature {
    /// Returns the name as git takes it.
    pub(crate) fn clean_name(&self) -> String {
        let name = clean_line(&self.name).replace(['<', '>'], "");
        if name.trim().is_empty() {
            "Backspace".into()
        } else {
            name
        }
    }

    /// Returns the address as git takes it.
    pub(crate) fn clean_email(&self) -> String {
        clean_line(&self.email).replace(['<', '>', ' '], "")
    }

    /// Returns the time in git's raw form, in UTC; the `@` makes small numbers a time too.
    pub(crate) fn raw_time(&self) -> String {
        format!("@{} +0000", self.time.0.div_euclid(1_000_000).max(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_closes_no_issue_and_calls_nobody() {
        let message = CommitMessage::new(
            "Fix #12",
            "Closes #1, fixes o/r#2 and GH-3, see https://github.com/o/r/issues/4\n@octocat a#b # c x@ y",
            None,
        );
        let expected = "Fix #12\n\nCloses # 1, fixes o/r# 2 and GH -3, see https://github.com/o/r/ issues/4\n\
                        @ octocat a#b # c x@ y\n";
        assert_eq!(message.as_str(), expected);
    }

    #[test]
    fn a_message_is_subject_body_and_our_trailer() {
        let message = CommitMessage::new(
            "Fix\u{202e} the\n\x1b[31mthing",
            "why  \r\nnot\n",
            Some("A Person <a@b.test>"),
        );
        assert_eq!(
            message.as_str(),
            "Fix the [31mthing\n\nwhy\nnot\n\nCo-authored-by: A Person <a@b.test>\n"
        );
    }

    #[test]
    fn a_requester_without_a_plain_address_is_not_named() {
        for requester in [
            "default",
            "A <a@b> B",
            "<a@b>",
            "A <a b@c>",
            "A <a@b>\nSigned-off-by: X <x@y>",
        ] {
            let message = CommitMessage::new("s", "", Some(requester));
            assert_eq!(message.as_str(), "s\n", "{requester}");
        }
    }

    #[test]
    fn long_and_empty_texts_stay_in_bounds() {
        let message = CommitMessage::new(&"x".repeat(100), &"line\n".repeat(10_000), None);
        assert_eq!(message.as_str().lines().next().unwrap().len(), SUBJECT_CHARS);
        assert!(message.as_str().len() < BODY_BYTES + 200);
        assert_eq!(
            CommitMessage::new("\u{200b}", "", None).as_str(),
            "Change by Backspace\n"
        );
    }
}
