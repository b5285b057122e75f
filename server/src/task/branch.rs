//! Branch names: git's own rules (`git check-ref-format --branch`), and ours on top.
//!
//! Git accepts names that would be a trap as the name of a branch to create, such as `HEAD` or
//! `refs/heads/x`; those are refused with a reason of their own.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A checked branch name, without `refs/heads/`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BranchName(String);

/// Why a branch name was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BranchError {
    /// It is empty or longer than a file system would take.
    #[error("a branch name must be 1 to 200 bytes long")]
    Length,
    /// Git's rules refuse it.
    #[error("not a valid branch name (see git check-ref-format)")]
    Malformed,
    /// Git would take it, but it would not mean what it says.
    #[error("must not be HEAD or end with _HEAD, start with `refs/`, look like an object id or have hidden characters")]
    Misleading,
}

impl BranchName {
    /// Parses a name as a caller gave it.
    pub fn parse(text: &str) -> Result<Self, BranchError> {
        if text.is_empty() || text.len() > 200 {
            return Err(BranchError::Length);
        }
        if !is_valid_ref_path(text) || text.starts_with('-') {
            return Err(BranchError::Malformed);
        }
        let looks_like_id = matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let lower = text.to_ascii_lowercase();
        let names_head = lower == "head" || lower.ends_with("_head") || text == "@";
        if names_head || lower.starts_with("refs/") || looks_like_id || text.chars().any(is_hidden) {
            return Err(BranchError::Misleading);
        }
        Ok(Self(text.into()))
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the full ref, `refs/heads/{name}`.
    pub fn to_ref(&self) -> String {
        format!("refs/heads/{}", self.0)
    }
}

impl fmt::Display for BranchName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for BranchName {
    type Error = BranchError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<BranchName> for String {
    fn from(name: BranchName) -> Self {
        name.0
    }
}

/// Characters that make a name look like another one: invisible, or changing the direction of text.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The rules of git-check-ref-format(1) for the part after `refs/heads/`.
fn is_valid_ref_path(text: &str) -> bool {
    let bad_byte = |byte: u8| byte <= b' ' || matches!(byte, 0x7f | b'~' | b'^' | b':' | b'?' | b'*' | b'[' | b'\\');
    let bad_part = |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
    !(text.bytes().any(bad_byte)
        || text.contains("..")
        || text.contains("@{")
        || text.ends_with('.')
        || text.split('/').any(bad_part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_names_are_kept_as_given() {
        for name in [
            "main",
            "feature/x",
            "a.b",
            "Ünïcode",
            "user@host",
            "release-1.0",
            "a/-b",
        ] {
            assert_eq!(BranchName::parse(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn bad_names_are_refused() {
        for name in [
            "a..b", "a b", ".a", "a/.b", "a.lock", "a.lock/b", "a/", "/a", "a//b", "a@{b", "a~", "a^", "a:b", "a\\b",
            "a.", "-a", "a\u{7f}",
        ] {
            assert_eq!(BranchName::parse(name), Err(BranchError::Malformed), "{name}");
        }
        let id = "a".repeat(40);
        for name in [
            "HEAD",
            "head",
            "FETCH_HEAD",
            "refs/heads/x",
            "@",
            &id,
            "ma\u{200b}in",
            "x\u{202e}y",
        ] {
            assert_eq!(BranchName::parse(name), Err(BranchError::Misleading), "{name}");
        }
        assert_eq!(BranchName::parse(""), Err(BranchError::Length));
    }
}
