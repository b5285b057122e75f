//! What git work can fail with, and how git's own words become one of these cases.
//!
//! Git has no machine-readable errors, so its messages are matched (in the C locale). Only the
//! class is decided by them, never whether a push landed: that is asked of the remote.

use std::time::Duration;

/// Most bytes of git's own words that are kept in an error.
const MAX_MESSAGE_BYTES: usize = 2048;

/// What git work can fail with.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The installed git can't be used at all.
    #[error("git can't be used: {message}")]
    Unusable {
        /// What is wrong and what to do.
        message: String,
    },
    /// The repository, branch or commit does not exist, or the credential can't see it.
    #[error("{what} was not found")]
    NotFound {
        /// What was looked for.
        what: String,
    },
    /// The repository has no commit to start from.
    #[error("the repository has no commit yet; push a first one")]
    Empty,
    /// The credential is missing, wrong or expired.
    #[error("{remote} did not accept the credential")]
    Unauthenticated {
        /// Where.
        remote: String,
    },
    /// The remote refuses, and will refuse again.
    #[error("{remote} refused: {message}")]
    Refused {
        /// Where.
        remote: String,
        /// What it said.
        message: String,
    },
    /// Something is over a limit of the server.
    #[error("{what}")]
    TooLarge {
        /// What, and the limit.
        what: String,
    },
    /// What came out of a sandbox was refused.
    #[error("the objects from the sandbox were refused: {message}")]
    Hostile {
        /// Why.
        message: String,
    },
    /// Git ran longer than it may.
    #[error("git {what} took longer than {} s", after.as_secs())]
    TimedOut {
        /// Which command.
        what: String,
        /// Its limit.
        after: Duration,
    },
    /// The remote could not be reached, or failed on its own; trying again may help.
    #[error("{remote} is unavailable: {message}")]
    Unavailable {
        /// Where.
        remote: String,
        /// What git said.
        message: String,
    },
    /// Anything else.
    #[error("git {what} failed: {message}")]
    Internal {
        /// Which command.
        what: String,
        /// What git or the system said.
        message: String,
    },
}

impl GitError {
    /// Returns whether trying again may help.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::TimedOut { .. } | Self::Unavailable { .. } => true,
            Self::Unusable { .. }
            | Self::NotFound { .. }
            | Self::Empty
            | Self::Unauthenticated { .. }
            | Self::Refused { .. }
            | Self::TooLarge { .. }
            | Self::Hostile { .. }
            | Self::Internal { .. } => false,
        }
    }

    pub(crate) fn internal(what: &str, message: impl ToString) -> Self {
        Self::Internal {
            what: what.into(),
            message: message.to_string(),
        }
    }

    /// Makes an error of what git said while it talked to a remote.
    pub(crate) fn from_remote(remote: &str, stderr: &str) -> Self {
        let has = |parts: &[&str]| parts.iter().any(|part| stderr.contains(part));
        let remote = remote.to_owned();
        let message = stderr.to_owned();
        if has(&[
            "Authentication failed",
            "could not read Username",
            "returned error: 401",
        ]) {
            Self::Unauthenticated { remote }
        } else if has(&["shallow update not allowed", "shallow roots are not allowed"]) {
            Self::Refused {
                remote,
                message: "it is a shallow clone; complete it with `git fetch --unshallow`".into(),
            }
        } else if has(&["couldn't find remote ref", "not our ref", "unadvertised object"]) {
            Self::NotFound {
                what: "the commit or branch".into(),
            }
        } else if has(&["returned error: 404", "does not appear to be a git repository"])
            || (stderr.contains("repository '") && stderr.contains("' not found"))
        {
            Self::NotFound { what: remote }
        } else if has(&[
            "returned error: 403",
            "returned error: 30",
            "unable to update url base from redirection",
            "dubious ownership",
            "transport 'file' not allowed",
        ]) {
            Self::Refused { remote, message }
        } else {
            Self::Unavailable { remote, message }
        }
    }
}

/// Makes git's words fit for people: bounded, one line, without control characters and the secret.
pub(crate) fn clean_message(stderr: &[u8], secret: Option<&str>) -> String {
    let text = String::from_utf8_lossy(stderr);
    let text = match secret {
        Some(secret) if !secret.is_empty() => text.replace(secret, "***"),
        _ => text.into_owned(),
    };
    let mut clean = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if !clean.is_empty() {
            clean.push_str("; ");
        }
        clean.extend(line.chars().filter(|character| !character.is_control()));
        if clean.len() > MAX_MESSAGE_BYTES {
            let mut end = MAX_MESSAGE_BYTES;
            while !clean.is_char_boundary(end) {
                end -= 1;
            }
            clean.truncate(end);
            clean.push('…');
            break;
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gits_words_decide_the_class() {
        let class = |stderr: &str| GitError::from_remote("https://forge.test", stderr).to_string();
        for (stderr, expected) in [
            (
                "fatal: Authentication failed for 'https://forge.test/'",
                "https://forge.test did not accept the credential",
            ),
            (
                "fatal: could not read Username for 'https://forge.test': terminal prompts disabled",
                "https://forge.test did not accept the credential",
            ),
            (
                "fatal: repository 'https://forge.test/a/b/' not found",
                "https://forge.test was not found",
            ),
            (
                "fatal: unable to access 'https://forge.test/': The requested URL returned error: 403",
                "https://forge.test refused: fatal: unable to access 'https://forge.test/': The requested URL returned error: 403",
            ),
            (
                "fatal: the remote end hung up unexpectedly",
                "https://forge.test is unavailable: fatal: the remote end hung up unexpectedly",
            ),
        ] {
            assert_eq!(class(stderr), expected);
        }
    }

    #[test]
    fn messages_are_one_clean_line_without_the_secret() {
        let message = clean_message(
            b"remote: \x1b[31mno\x1b[0m token hunter2\r\n\n  fatal: x\n",
            Some("hunter2"),
        );
        assert_eq!(message, "remote: [31mno[0m token ***; fatal: x");
        assert!(clean_message("ü".repeat(5000).as_bytes(), None).len() <= MAX_MESSAGE_BYTES + 3);
    }
}
