//! The file of principals as a running server sees it: read again when it has changed.
//!
//! A token that was revoked stops working within a second, and no stream of it is cut: what a call may
//! do was decided when it came. A file that is wrong or gone is said in the log and changes nothing.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::token_file::{self, Principal};

/// How often the file's status is looked at, at most.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Principals and where they come from.
#[derive(Debug)]
pub struct TokenSource {
    path: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    principals: Arc<Vec<Principal>>,
    status: Option<Status>,
    looked: Instant,
}

/// What differs when a file was replaced or written: inode, size and change time.
type Status = (u64, u64, i64, i64);

impl TokenSource {
    /// Reads the file; every fault is returned at once.
    pub fn open(path: PathBuf) -> Result<Self, Vec<String>> {
        let status = status(&path);
        let principals = read(&path)?;
        Ok(Self {
            path,
            known: Mutex::new(Known {
                principals: Arc::new(principals),
                status,
                looked: Instant::now(),
            }),
        })
    }

    /// Returns the principals as of now, or of a second ago.
    pub fn principals(&self) -> Arc<Vec<Principal>> {
        self.principals_at(Instant::now())
    }

    fn principals_at(&self, now: Instant) -> Arc<Vec<Principal>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(known.looked) >= LOOK_INTERVAL {
            known.looked = now;
            let status = status(&self.path);
            if status != known.status {
                known.status = status;
                match read(&self.path) {
                    Ok(principals) => {
                        tracing::info!(principals = principals.len(), "the token file was read again");
                        known.principals = Arc::new(principals);
                    }
                    Err(faults) => tracing::error!(
                        "the token file has changed and can't be used, so the tokens stay as they were: {}",
                        faults.join("; ")
                    ),
                }
            }
        }
        Arc::clone(&known.principals)
    }
}

fn status(path: &PathBuf) -> Option<Status> {
    let status = fs::metadata(path).ok()?;
    Some((status.ino(), status.size(), status.ctime(), status.ctime_nsec()))
}

fn read(path: &PathBuf) -> Result<Vec<Principal>, Vec<String>> {
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
            let principals = source.principals_at(opened + Duration::from_secs(seconds));
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
    }
}
