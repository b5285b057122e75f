//! A value made of files, made again when one of them has changed: principals, certificates.
//!
//! Files are looked at when the value is asked for, at most once a second and by status only. What is
//! wrong with a changed file is said in the log and changes nothing: a slip in an editor, or a moment
//! in which a new certificate is there and its key is not, must lock nobody out.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often the files' status is looked at, at most.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What differs when a file was replaced or written: inode, size and change time.
type Status = Option<(u64, u64, i64, i64)>;

/// Makes the value, or tells everything that is wrong.
type Make<T> = Box<dyn Fn() -> Result<T, Vec<String>> + Send + Sync>;

/// A value and the files that it comes from.
pub(crate) struct Reloaded<T> {
    what: &'static str,
    files: Vec<PathBuf>,
    make: Make<T>,
    known: Mutex<Known<T>>,
}

struct Known<T> {
    value: Arc<T>,
    status: Vec<Status>,
    looked: Instant,
}

impl<T> Reloaded<T> {
    /// Makes the value for the first time. `what` is named in the log.
    pub(crate) fn open(
        what: &'static str,
        files: Vec<PathBuf>,
        make: impl Fn() -> Result<T, Vec<String>> + Send + Sync + 'static,
    ) -> Result<Self, Vec<String>> {
        // Before the files are read: a change in between is then seen as one.
        let status = files.iter().map(|file| status(file)).collect();
        let value = Arc::new(make()?);
        Ok(Self {
            what,
            files,
            make: Box::new(make),
            known: Mutex::new(Known {
                value,
                status,
                looked: Instant::now(),
            }),
        })
    }

    /// Returns the value as of now, or of a second ago.
    pub(crate) fn value(&self) -> Arc<T> {
        self.value_at(Instant::now())
    }

    /// Returns the value as of a moment; what tests call instead of waiting.
    pub(crate) fn value_at(&self, now: Instant) -> Arc<T> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(known.looked) >= LOOK_INTERVAL {
            known.looked = now;
            let status: Vec<_> = self.files.iter().map(|file| status(file)).collect();
            if status != known.status {
                known.status = status;
                match (self.make)() {
                    Ok(value) => {
                        tracing::info!("{} changed and was read again", self.what);
                        known.value = Arc::new(value);
                    }
                    Err(faults) => tracing::error!(
                        "{} has changed and can't be used, so all stays as it was: {}",
                        self.what,
                        faults.join("; ")
                    ),
                }
            }
        }
        Arc::clone(&known.value)
    }
}

impl<T> std::fmt::Debug for Reloaded<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Reloaded")
            .field("what", &self.what)
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

fn status(path: &Path) -> Status {
    let status = fs::metadata(path).ok()?;
    Some((status.ino(), status.size(), status.ctime(), status.ctime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_either_file_is_seen_after_a_second_and_a_fault_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let files = [folder.path().join("a"), folder.path().join("b")];
        let write = |index: usize, text: &str| fs::write(&files[index], text).unwrap();
        write(0, "1");
        write(1, "1");
        let read = files.clone();
        let make = move || {
            let [a, b] = [&read[0], &read[1]].map(|file| fs::read_to_string(file).unwrap_or_default());
            if a == b {
                Ok(a)
            } else {
                Err(vec!["a and b differ".to_owned()])
            }
        };
        let value = Reloaded::open("a value", files.to_vec(), make).unwrap();
        let opened = Instant::now();
        let at = |seconds: u64| value.value_at(opened + Duration::from_secs(seconds)).as_ref().clone();
        write(0, "22");
        write(1, "22");
        assert_eq!(at(0), "1");
        assert_eq!(at(2), "22");
        write(0, "333");
        assert_eq!(at(4), "22");
        write(1, "333");
        assert_eq!(at(6), "333");
        fs::remove_file(&files[0]).unwrap();
        assert_eq!(at(8), "333");
    }
}
