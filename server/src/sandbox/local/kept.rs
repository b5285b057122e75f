//! What is kept to lie read-only under the folders of later sandboxes: checkouts, and what set-up commands left.
//!
//! `<state>/<what>/<key>/{tree, home, note, bytes}`. A tree was the work tree of a sandbox that did nothing else; the
//! host moves it by one rename and never looks inside, so that what git noted of each file in there stays true, and
//! because untrusted commands may have made it. Kept up to a size; the one not used for longest goes first, and none in use.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::super::SandboxError;
use super::folder::remove_tree;

/// Ends the name of what is half made or half removed.
const UNFINISHED: &str = ".unfinished";

/// What was asked for is about to be used, before any sandbox tells of it.
const GRACE: Duration = Duration::from_secs(600);

/// Name of a kept work tree.
const TREE: &str = "tree";

/// Name of a home folder that is kept beside a work tree.
pub(super) const KEPT_HOME: &str = "home";

const NOTE: &str = "note";
const BYTES: &str = "bytes";

/// Everything of one sort that a server keeps.
#[derive(Debug)]
pub(super) struct Kept {
    /// Its sort, in words, and the name of its folder.
    what: &'static str,
    folder: PathBuf,
    most_bytes: u64,
    entries: Mutex<HashMap<String, Entry>>,
    /// False once an overlay could not be mounted: this machine can't use any.
    usable: AtomicBool,
}

/// What a sandbox leaves to be kept.
#[derive(Debug)]
pub(super) struct Left<'a> {
    /// Its work tree.
    pub(super) work_tree: &'a Path,
    /// Its home folder, and a note.
    pub(super) home: Option<(&'a Path, &'a str)>,
    /// What both take.
    pub(super) bytes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    bytes: u64,
    last_use: SystemTime,
}

impl Kept {
    /// Makes the folder if needed and finds what an earlier server kept; 0 bytes keep none.
    pub(super) fn prepare(state_folder: &Path, what: &'static str, most_bytes: u64) -> io::Result<Self> {
        let folder = state_folder.join(what);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let folder = fs::canonicalize(folder)?;
        let mut entries = HashMap::new();
        for entry in fs::read_dir(&folder)? {
            let name = entry?.file_name();
            let Some(name) = name.to_str() else { continue };
            if let Some(entry) = read_entry(&folder.join(name)) {
                entries.insert(name.to_owned(), entry);
            }
        }
        Ok(Self {
            what,
            folder,
            most_bytes,
            entries: Mutex::new(entries),
            usable: AtomicBool::new(most_bytes > 0),
        })
    }

    /// Returns the tree kept under a key.
    pub(super) fn find(&self, key: &str) -> Option<PathBuf> {
        if !self.are_usable() {
            return None;
        }
        let mut entries = self.lock();
        let entry = entries.get_mut(key)?;
        entry.last_use = SystemTime::now();
        let folder = self.folder.join(key);
        // The time outlives the server; without it this only seems older than it is.
        let noted = File::options()
            .append(true)
            .open(folder.join(BYTES))
            .and_then(|file| file.set_modified(entry.last_use));
        if let Err(error) = noted {
            tracing::debug!(%error, "the use of {key} of {} could not be noted", self.what);
        }
        Some(folder.join(TREE))
    }

    /// Returns the note beside a tree that was found.
    pub(super) fn note(tree: &Path) -> Option<String> {
        fs::read_to_string(tree.with_file_name(NOTE)).ok()
    }

    /// Tells whether anything is kept here.
    pub(super) fn are_usable(&self) -> bool {
        self.usable.load(Ordering::Relaxed)
    }

    /// Tells whether so many bytes would ever be kept.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        self.are_usable() && bytes <= self.most_bytes
    }

    /// Stops using what is kept: it could not be laid under a folder.
    pub(super) fn give_up(&self, error: &SandboxError) {
        if self.usable.swap(false, Ordering::Relaxed) {
            tracing::warn!(%error, "{} are not shared from now on: each is made anew", self.what);
        }
    }

    /// Takes what a sandbox left in under a key, unless there is something; returns where the tree is.
    pub(super) fn take(&self, key: &str, left: &Left<'_>) -> io::Result<PathBuf> {
        let bytes = left.bytes;
        let place = self.folder.join(key);
        let mut entries = self.lock();
        if entries.contains_key(key) {
            return Ok(place.join(TREE));
        }
        let unfinished = self.folder.join(format!("{key}{UNFINISHED}"));
        fs::DirBuilder::new().mode(0o700).recursive(true).create(&unfinished)?;
        fs::rename(left.work_tree, unfinished.join(TREE))?;
        if let Some((home, note)) = left.home {
            fs::rename(home, unfinished.join(KEPT_HOME))?;
            fs::write(unfinished.join(NOTE), note)?;
        }
        fs::write(unfinished.join(BYTES), bytes.to_string())?;
        fs::rename(unfinished, &place)?;
        let last_use = SystemTime::now();
        entries.insert(key.to_owned(), Entry { bytes, last_use });
        Ok(place.join(TREE))
    }

    /// Removes what is over the size, and what a crash left half done. `in_use` are trees under work trees.
    pub(super) async fn evict(&self, in_use: &HashSet<PathBuf>) -> Result<(), SandboxError> {
        let doomed = self.choose(in_use, SystemTime::now());
        for key in &doomed {
            let place = self.folder.join(key);
            let unfinished = self.folder.join(format!("{key}{UNFINISHED}"));
            fs::rename(&place, unfinished).map_err(|error| SandboxError::Internal {
                message: format!("rename {}: {error}", place.display()),
            })?;
        }
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            // One that is being made is there for less than a moment, under the lock.
            if !self.lock().contains_key(&name) {
                remove_tree(entry.path()).await?;
            }
        }
        let (count, bytes) = self.size();
        tracing::info!(
            kept = count,
            kept_bytes = bytes,
            most_bytes = self.most_bytes,
            evicted = doomed.len(),
            "{} kept",
            self.what
        );
        Ok(())
    }

    /// Takes out of the table what has to go.
    fn choose(&self, in_use: &HashSet<PathBuf>, now: SystemTime) -> Vec<String> {
        let mut entries = self.lock();
        let mut total: u64 = entries.values().map(|entry| entry.bytes).sum();
        let mut by_use: Vec<_> = entries
            .iter()
            .map(|(key, entry)| (entry.last_use, key.clone()))
            .collect();
        by_use.sort();
        let mut doomed = Vec::new();
        for (last_use, key) in by_use {
            if total <= self.most_bytes {
                break;
            }
            let is_new = now.duration_since(last_use).is_ok_and(|age| age < GRACE);
            if is_new || in_use.contains(&self.folder.join(&key).join(TREE)) {
                continue;
            }
            total -= entries.remove(&key).map_or(0, |entry| entry.bytes);
            doomed.push(key);
        }
        doomed
    }

    fn size(&self) -> (usize, u64) {
        let entries = self.lock();
        (entries.len(), entries.values().map(|entry| entry.bytes).sum())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_entry(folder: &Path) -> Option<Entry> {
    if folder.to_str()?.ends_with(UNFINISHED) || !folder.join(TREE).is_dir() {
        return None;
    }
    let path = folder.join(BYTES);
    Some(Entry {
        bytes: fs::read_to_string(&path).ok()?.parse().ok()?,
        last_use: fs::metadata(path).and_then(|metadata| metadata.modified()).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(folder: &Path, names: &[&str]) -> Kept {
        let checkouts = Kept::prepare(folder, "checkouts", 25).unwrap();
        for name in names {
            let tree = folder.join("work");
            fs::create_dir(&tree).unwrap();
            fs::write(tree.join("name"), name).unwrap();
            let left = Left {
                work_tree: &tree,
                home: None,
                bytes: 10,
            };
            checkouts.take(name, &left).unwrap();
        }
        checkouts
    }

    #[test]
    fn a_checkout_is_found_by_its_key_and_again_after_a_restart() {
        let state = tempfile::tempdir().unwrap();
        let tree = filled(state.path(), &["a"]).find("a").unwrap();
        assert_eq!(fs::read_to_string(tree.join("name")).unwrap(), "a");
        let again = Kept::prepare(state.path(), "checkouts", 25).unwrap();
        assert_eq!((again.find("a"), again.find("b")), (Some(tree), None));
        assert_eq!(again.size(), (1, 10));
    }

    #[tokio::test]
    async fn what_was_not_used_for_longest_and_is_in_no_use_goes_first() {
        let state = tempfile::tempdir().unwrap();
        let checkouts = filled(state.path(), &["a", "b", "c", "d"]);
        let in_use = HashSet::from([checkouts.folder.join("a/tree")]);
        assert_eq!(checkouts.choose(&in_use, SystemTime::now()), Vec::<String>::new());
        let later = SystemTime::now() + 2 * GRACE;
        assert_eq!(checkouts.choose(&in_use, later), ["b", "c"]);
        assert_eq!(checkouts.size(), (2, 20));
    }

    #[tokio::test]
    async fn what_a_crash_left_half_done_is_removed() {
        let state = tempfile::tempdir().unwrap();
        let checkouts = filled(state.path(), &["a"]);
        fs::create_dir(checkouts.folder.join("b.unfinished")).unwrap();
        fs::create_dir(checkouts.folder.join("c")).unwrap();
        checkouts.evict(&HashSet::new()).await.unwrap();
        let left: Vec<_> = fs::read_dir(&checkouts.folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["a"]);
    }

    #[test]
    fn a_home_folder_is_kept_beside_the_tree_with_its_note_or_nothing_is() {
        let state = tempfile::tempdir().unwrap();
        let setups = Kept::prepare(state.path(), "setups", 25).unwrap();
        let (tree, home) = (state.path().join("work"), state.path().join("home"));
        let left = Left {
            work_tree: &tree,
            home: Some((&home, "of today")),
            bytes: 10,
        };
        fs::create_dir(&tree).unwrap();
        setups.take("a", &left).unwrap_err();
        assert_eq!(setups.find("a"), None);
        let again = Kept::prepare(state.path(), "setups", 25).unwrap();
        assert_eq!(again.find("a"), None);

        for folder in [&tree, &home] {
            fs::create_dir(folder).unwrap();
        }
        let kept = setups.take("b", &left).unwrap();
        assert!(kept.with_file_name(KEPT_HOME).is_dir());
        assert_eq!(Kept::note(&kept).as_deref(), Some("of today"));
        assert_eq!(setups.find("b"), Some(kept));
    }
}
