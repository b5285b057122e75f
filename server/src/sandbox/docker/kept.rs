//! Kept checkouts: volumes with fresh work trees of one commit each, over which later work trees are laid.
//!
//! `<state>/checkouts/<key>` names the volume of a key and its bytes; with `.making` behind it the volume is being
//! finished, and not used yet; when nobody is at it, a crash or a failure left it. Kept up to a size; the one not used for longest goes first, and none that lies under a work tree.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::{Mutex, MutexGuard};

use super::volumes::Volumes;
use crate::sandbox::SandboxError;

/// Ends the name of a note whose volume is not to be used yet.
const MAKING: &str = ".making";

/// A checkout that was asked for is about to be used, before any layer tells of it.
const GRACE: Duration = Duration::from_secs(600);

/// All checkouts of one server.
pub(super) struct Checkouts {
    folder: PathBuf,
    volumes: Volumes,
    most_bytes: u64,
    /// False once an overlay could not be mounted: this engine can't use them.
    usable: AtomicBool,
    /// Held from the look for a key until a volume is kept under it.
    keeping: Mutex<()>,
}

/// A note of a checkout.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Note {
    path: PathBuf,
    volume: String,
    bytes: u64,
    last_use: SystemTime,
}

impl Note {
    fn is_making(&self) -> bool {
        self.path.to_str().is_some_and(|path| path.ends_with(MAKING))
    }
}

impl Checkouts {
    /// Makes the folder of notes if needed; 0 bytes keep none.
    pub(super) fn prepare(state_folder: &Path, volumes: Volumes, most_bytes: u64) -> io::Result<Self> {
        let folder = state_folder.join("checkouts");
        fs::create_dir_all(&folder)?;
        Ok(Self {
            folder,
            volumes,
            most_bytes,
            usable: AtomicBool::new(most_bytes > 0),
            keeping: Mutex::default(),
        })
    }

    /// Tells whether checkouts are kept.
    pub(super) fn are_usable(&self) -> bool {
        self.usable.load(Ordering::Relaxed)
    }

    /// Stops using checkouts: one could not be laid under a work tree.
    pub(super) fn give_up(&self, error: &SandboxError) {
        if self.usable.swap(false, Ordering::Relaxed) {
            tracing::warn!(%error, "checkouts are not shared from now on: each work tree is checked out anew");
        }
    }

    /// Returns the volume that is kept under a key.
    pub(super) async fn find(&self, key: &str) -> Option<String> {
        if !self.are_usable() {
            return None;
        }
        let path = self.folder.join(key);
        let note = read(&path)?;
        match self.volumes.find(&note.volume).await {
            Ok(Some(_)) => {}
            // Somebody has tidied up at the engine.
            Ok(None) => {
                let _ = fs::remove_file(&path);
                return None;
            }
            Err(_) => return None,
        }
        // The time outlives the server; without it the checkout only seems older than it is.
        let _ = fs::File::options()
            .append(true)
            .open(&path)
            .and_then(|file| file.set_modified(SystemTime::now()));
        Some(note.volume)
    }

    /// Waits until nobody keeps a checkout. The note of one whose volume lies under a work tree is never replaced.
    pub(super) async fn keeping(&self) -> MutexGuard<'_, ()> {
        self.keeping.lock().await
    }

    /// Notes a volume that is to be kept, so that no sweep takes it, and is not used before `made`.
    pub(super) fn note(&self, key: &str, volume: &str, bytes: u64) -> Result<(), SandboxError> {
        let path = self.folder.join(format!("{key}{MAKING}"));
        fs::write(&path, format!("{volume} {bytes}\n")).map_err(|error| failed(&path, &error))
    }

    /// Has a noted volume be used from now on.
    pub(super) fn made(&self, key: &str) -> Result<(), SandboxError> {
        let path = self.folder.join(key);
        fs::rename(self.folder.join(format!("{key}{MAKING}")), &path).map_err(|error| failed(&path, &error))
    }

    /// Returns the volumes that are kept, those that are being made among them, and forgets those that never will be.
    pub(super) async fn settle(&self) -> HashSet<String> {
        let _keeping = self.keeping().await;
        let (left, kept): (Vec<_>, Vec<_>) = self.notes().into_iter().partition(Note::is_making);
        for note in left {
            let _ = fs::remove_file(note.path);
        }
        kept.into_iter().map(|note| note.volume).collect()
    }

    /// Removes what is over the size.
    pub(super) async fn evict(&self) -> Result<(), SandboxError> {
        let in_use = self
            .volumes
            .list()
            .await?
            .into_iter()
            .filter_map(|volume| volume.checkout);
        for note in choose(self.notes(), &in_use.collect(), self.most_bytes, SystemTime::now()) {
            fs::remove_file(&note.path).map_err(|error| failed(&note.path, &error))?;
            self.volumes.remove(&note.volume).await?;
        }
        Ok(())
    }

    fn notes(&self) -> Vec<Note> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| read(&entry.path())).collect()
    }
}

/// Chooses what has to go.
fn choose(mut notes: Vec<Note>, in_use: &HashSet<String>, most_bytes: u64, now: SystemTime) -> Vec<Note> {
    notes.sort_by_key(|note| note.last_use);
    let mut total: u64 = notes.iter().map(|note| note.bytes).sum();
    let mut doomed = Vec::new();
    for note in notes {
        if total <= most_bytes {
            break;
        }
        let is_new = now.duration_since(note.last_use).is_ok_and(|age| age < GRACE);
        if is_new || note.is_making() || in_use.contains(&note.volume) {
            continue;
        }
        total -= note.bytes;
        doomed.push(note);
    }
    doomed
}

fn read(path: &Path) -> Option<Note> {
    let text = fs::read_to_string(path).ok()?;
    let (volume, bytes) = text.trim().split_once(' ')?;
    Some(Note {
        path: path.to_path_buf(),
        volume: volume.to_owned(),
        bytes: bytes.parse().ok()?,
        last_use: fs::metadata(path).and_then(|metadata| metadata.modified()).ok()?,
    })
}

fn failed(path: &Path, error: &io::Error) -> SandboxError {
    SandboxError::Internal {
        message: format!("keep the note of a checkout {}: {error}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_longest_and_is_in_no_use_goes_first() {
        let now = SystemTime::now();
        let note = |name: &str, age_seconds: u64| Note {
            path: name.into(),
            volume: format!("volume-{name}"),
            bytes: 10,
            last_use: now - Duration::from_secs(age_seconds),
        };
        let notes = vec![
            note("a", 4000),
            note("b", 3000),
            note("c", 2000),
            note("d", 1),
            note("e.making", 5000),
        ];
        let in_use = HashSet::from(["volume-a".to_owned()]);
        let names = |most_bytes| -> Vec<String> {
            let doomed = choose(notes.clone(), &in_use, most_bytes, now);
            doomed.into_iter().map(|note| note.volume).collect()
        };
        assert_eq!(names(50), Vec::<String>::new());
        assert_eq!(names(35), ["volume-b", "volume-c"]);
        assert_eq!(names(45), ["volume-b"]);
        assert_eq!(names(0), ["volume-b", "volume-c"]);
    }
}
