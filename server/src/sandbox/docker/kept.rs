//! What is kept to lie under the folders of later sandboxes: checkouts, and what set-up commands left, in volumes.
//!
//! `<state>/<what>/<key>` names the volume of a key and its bytes, and for a set-up that of the home folder and a note; with `.making` behind it the volume is being
//! finished, and not used yet; when nobody is at it, a crash or a failure left it. Kept up to a size; the one not used for
//! longest goes first, and none that lies under a folder.

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

/// What was asked for is about to be used, before any layer tells of it.
const GRACE: Duration = Duration::from_secs(600);

/// Everything of one sort that a server keeps.
pub(super) struct Kept {
    /// Its sort, in words, and the name of its folder.
    what: &'static str,
    folder: PathBuf,
    volumes: Volumes,
    most_bytes: u64,
    /// False once an overlay could not be mounted: this engine can't use any.
    usable: AtomicBool,
    /// Held from the look for a key until a volume is kept under it.
    keeping: Mutex<()>,
}

/// Volumes that are kept under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// With a work tree.
    pub(super) tree: String,
    /// With a home folder, and what was noted of both.
    pub(super) home: Option<(String, String)>,
}

impl Held {
    /// Returns the names of the volumes.
    pub(super) fn volumes(&self) -> impl Iterator<Item = &str> {
        let home = self.home.as_ref().map(|(volume, _)| volume.as_str());
        std::iter::once(self.tree.as_str()).chain(home)
    }
}

/// A note of what is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Note {
    path: PathBuf,
    held: Held,
    bytes: u64,
    last_use: SystemTime,
}

impl Note {
    fn is_making(&self) -> bool {
        self.path.to_str().is_some_and(|path| path.ends_with(MAKING))
    }
}

impl Kept {
    /// Makes the folder of notes if needed; 0 bytes keep none.
    pub(super) fn prepare(
        state_folder: &Path,
        what: &'static str,
        volumes: Volumes,
        most_bytes: u64,
    ) -> io::Result<Self> {
        let folder = state_folder.join(what);
        fs::create_dir_all(&folder)?;
        Ok(Self {
            what,
            folder,
            volumes,
            most_bytes,
            usable: AtomicBool::new(most_bytes > 0),
            keeping: Mutex::default(),
        })
    }

    /// Tells whether so many bytes would ever be kept.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        self.are_usable() && bytes <= self.most_bytes
    }

    /// Tells whether any are kept.
    pub(super) fn are_usable(&self) -> bool {
        self.usable.load(Ordering::Relaxed)
    }

    /// Stops using what is kept: it could not be laid under a folder.
    pub(super) fn give_up(&self, error: &SandboxError) {
        if self.usable.swap(false, Ordering::Relaxed) {
            tracing::warn!(%error, "{} are not shared from now on: each is made anew", self.what);
        }
    }

    /// Returns what is kept under a key.
    pub(super) async fn find(&self, key: &str) -> Option<Held> {
        if !self.are_usable() {
            return None;
        }
        let path = self.folder.join(key);
        let note = read(&path)?;
        for volume in note.held.volumes() {
            match self.volumes.find(volume).await {
                Ok(Some(_)) => {}
                // Somebody has tidied up at the engine.
                Ok(None) => {
                    let _ = fs::remove_file(&path);
                    return None;
                }
                Err(_) => return None,
            }
        }
        // The time outlives the server; without it this only seems older than it is.
        let _ = fs::File::options()
            .append(true)
            .open(&path)
            .and_then(|file| file.set_modified(SystemTime::now()));
        Some(note.held)
    }

    /// Waits until nobody keeps anything. The note of what lies under a folder is never replaced.
    pub(super) async fn keeping(&self) -> MutexGuard<'_, ()> {
        self.keeping.lock().await
    }

    /// Notes volumes that are to be kept, so that no sweep takes them, and that are not used before `made`.
    pub(super) fn note(&self, key: &str, held: &Held, bytes: u64) -> Result<(), SandboxError> {
        let path = self.folder.join(format!("{key}{MAKING}"));
        let mut text = format!("{} {bytes}\n", held.tree);
        if let Some((home, note)) = &held.home {
            text.push_str(&format!("{home} {note}\n"));
        }
        fs::write(&path, text).map_err(|error| failed(&path, &error))
    }

    /// Has noted volumes be used from now on.
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
        kept.iter()
            .flat_map(|note| note.held.volumes())
            .map(str::to_owned)
            .collect()
    }

    /// Removes what is over the size.
    pub(super) async fn evict(&self) -> Result<(), SandboxError> {
        let in_use = self.volumes.list().await?.into_iter().flat_map(|volume| volume.lower);
        for note in choose(self.notes(), &in_use.collect(), self.most_bytes, SystemTime::now()) {
            fs::remove_file(&note.path).map_err(|error| failed(&note.path, &error))?;
            for volume in note.held.volumes() {
                self.volumes.remove(volume).await?;
            }
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
        if is_new || note.is_making() || note.held.volumes().any(|volume| in_use.contains(volume)) {
            continue;
        }
        total -= note.bytes;
        doomed.push(note);
    }
    doomed
}

fn read(path: &Path) -> Option<Note> {
    let text = fs::read_to_string(path).ok()?;
    let mut lines = text.lines();
    let (tree, bytes) = lines.next()?.split_once(' ')?;
    let home = lines.next().and_then(|line| line.split_once(' '));
    Some(Note {
        path: path.to_path_buf(),
        held: Held {
            tree: tree.to_owned(),
            home: home.map(|(volume, note)| (volume.to_owned(), note.to_owned())),
        },
        bytes: bytes.parse().ok()?,
        last_use: fs::metadata(path).and_then(|metadata| metadata.modified()).ok()?,
    })
}

fn failed(path: &Path, error: &io::Error) -> SandboxError {
    SandboxError::Internal {
        message: format!("keep the note {}: {error}", path.display()),
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
            held: Held {
                tree: format!("volume-{name}"),
                home: Some((format!("home-{name}"), String::new())),
            },
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
        let in_use = HashSet::from(["home-a".to_owned()]);
        let names = |most_bytes| -> Vec<String> {
            let doomed = choose(notes.clone(), &in_use, most_bytes, now);
            doomed.into_iter().map(|note| note.held.tree).collect()
        };
        assert_eq!(names(50), Vec::<String>::new());
        assert_eq!(names(35), ["volume-b", "volume-c"]);
        assert_eq!(names(45), ["volume-b"]);
        assert_eq!(names(0), ["volume-b", "volume-c"]);
    }

    #[test]
    fn a_note_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        for (text, home) in [
            ("backspace-1-tree 7\n", None),
            (
                "backspace-1-tree 7\nbackspace-1-home {\"a\": 1}\n",
                Some(("backspace-1-home", "{\"a\": 1}")),
            ),
        ] {
            let path = folder.path().join("key");
            fs::write(&path, text).unwrap();
            let note = read(&path).unwrap();
            let held = Held {
                tree: "backspace-1-tree".into(),
                home: home.map(|(volume, note)| (volume.to_owned(), note.to_owned())),
            };
            assert_eq!((note.held, note.bytes), (held, 7));
        }
    }
}
