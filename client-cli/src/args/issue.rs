//! REPO with an issue behind it: `owner/name#12`, an address with `#12`, or the address of the issue itself.
//!
//! What exists here as a folder is a folder, whatever it is called.

use std::path::Path;

/// Where `owner/name` is, without a host.
const USUAL_HOST: &str = "https://github.com";

/// Takes the number of an issue off REPO; `None` when there is none.
pub(super) fn split(text: &str, folder: &Path) -> (String, Option<String>) {
    let whole = || (text.to_owned(), None);
    if folder.join(text).exists() {
        return whole();
    }
    let is_number = |text: &str| (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_address = text.contains("://") || text.starts_with("git@");
    if let Some((repository, number)) = text.rsplit_once('#').filter(|(_, number)| is_number(number)) {
        if is_address {
            return (repository.to_owned(), Some(number.to_owned()));
        }
        if is_short(repository) {
            return (format!("{USUAL_HOST}/{repository}"), Some(number.to_owned()));
        }
        return whole();
    }
    match text.trim_end_matches('/').rsplit_once("/issues/") {
        Some((repository, number)) if is_address && is_number(number) => {
            (repository.to_owned(), Some(number.to_owned()))
        }
        _ => whole(),
    }
}

/// Returns whether a text is `owner/name`.
fn is_short(text: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    text.split_once('/')
        .is_some_and(|(owner, name)| is_part(owner) && is_part(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issue_is_taken_off_the_repository() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("here/x#1")).unwrap();
        for (text, repository, issue) in [
            ("octo/hello#12", "https://github.com/octo/hello", Some("12")),
            (
                "https://git.example.com/o/r#7",
                "https://git.example.com/o/r",
                Some("7"),
            ),
            ("git@github.com:o/r#7", "git@github.com:o/r", Some("7")),
            ("https://github.com/o/r/issues/7", "https://github.com/o/r", Some("7")),
            ("https://github.com/o/r", "https://github.com/o/r", None),
            ("here/x#1", "here/x#1", None),
            ("octo/hello", "octo/hello", None),
            ("../hello#1", "../hello#1", None),
            ("octo/hello#x", "octo/hello#x", None),
            (".", ".", None),
        ] {
            let expected = (repository.to_owned(), issue.map(str::to_owned));
            assert_eq!(split(text, folder.path()), expected, "{text}");
        }
    }
}
