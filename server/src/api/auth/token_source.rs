//! The file of principals as a running server sees it: read again when it has changed.
//!
//! A token that was revoked stops working within a second, and no stream of it is cut: what a call may
//! do was decided when it came. A file that is wrong or gone is said in the log and changes nothing; one
//! whose last principal was revoked does, and then nobody may call.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::token_file::{self, Principal};
use crate::api::reloaded::Reloaded;

/// Principals and where they come from.
#[derive(Debug)]
pub struct TokenSource(Reloaded<Vec<Principal>>);

impl TokenSource {
    /// Reads the file; every fault is returned at once. To start with nobody is one.
    pub fn open(path: PathBuf) -> Result<Self, Vec<String>> {
        let file = path.clone();
        let nobody = vec![format!("token file {}: has no [[principal]]", path.display())];
        let source = Self(Reloaded::open("the file of principals", vec![path], move || {
            read(&file)
        })?);
        if source.principals().is_empty() {
            Err(nobody)
        } else {
            Ok(source)
        }
    }

    /// Returns the principals as of now, or of a second ago.
    pub fn principals(&self) -> Arc<Vec<Principal>> {
        self.0.value()
    }
}

fn read(path: &Path) -> Result<Vec<Principal>, Vec<String>> {
    let name = path.display();
    let text = fs::read_to_string(path).map_err(|error| vec![format!("token file {name}: {error}")])?;
    token_file::parse(&text).map_err(|faults| {
        faults
            .into_iter()
            .map(|fault| format!("token file {name}: {fault}"))
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::api::auth::token_file::edit::{NewToken, TokenFile};

    #[test]
    fn a_change_of_the_file_is_seen_after_a_second_and_a_fault_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        let create = |name: &str| {
            let new = NewToken {
                name: name.into(),
                ..NewToken::default()
            };
            TokenFile::open(&path).unwrap().create(&new).unwrap();
        };
        create("alice");
        let source = TokenSource::open(path.clone()).unwrap();
        let opened = Instant::now();
        let names = |seconds: u64| -> Vec<String> {
            let principals = source.0.value_at(opened + Duration::from_secs(seconds));
            principals
                .iter()
                .map(|known| known.caller.principal.to_string())
                .collect()
        };
        create("bob");
        assert_eq!(names(0), ["alice"]);
        assert_eq!(names(2), ["alice", "bob"]);
        fs::write(&path, "principal = 1").unwrap();
        assert_eq!(names(4), ["alice", "bob"]);
        fs::remove_file(&path).unwrap();
        assert_eq!(names(6), ["alice", "bob"]);
        create("carol");
        assert_eq!(names(8), ["carol"]);
        TokenFile::open(&path).unwrap().revoke("carol", None).unwrap();
        assert_eq!(names(10), [] as [&str; 0]);
        assert_eq!(TokenSource::open(path.clone()).unwrap_err().len(), 1);
    }
}
