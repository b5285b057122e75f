//! Kept checkouts: fresh work trees of one commit each, which lie read-only under those of later sandboxes.
//!
//! `<state>/checkouts/<key>/{tree, bytes}`. A tree is the work tree of a sandbox that did nothing but check
//! out; the host moves it by one rename and never looks inside, so that what git noted of each file in
//! there stays true. Kept up to a size; the one not used for longest goes first, and none that is in use.

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

/// A checkout that was asked for is about to be used, before any sandbox tells of it.
const GRACE: Duration = Duration::from_secs(600);

/// All checkouts of one server.
#[derive(Debug)]
pub(super) struct Checkouts {
    folder: PathBuf,
    most_bytes: u64,
    entries: Mutex<HashMap<String, Entry>>,
    /// False once an overlay could not be mounted: this machine can't use them.
    usable: AtomicBool,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    bytes: u64,
    last_use: SystemTime,
}

impl Checkouts {
    /// Makes the folder if needed and finds what an earlier server kept; 0 bytes keep none.
    pub(super) fn prepare(state_folder: &Path, most_bytes: u64) -> io::Result<Self> {
        let folder = state_folder.join("checkouts");
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
        // The time outlives the server; without it the checkout only seems older than it is.
        let noted = File::options()
            .append(true)
            .open(folder.join("bytes"))
            .and_then(|file| file.set_modified(entry.last_use));
        if let Err(error) = noted {
            tracing::debug!(%error, "the use of a checkout could not be noted");
        }
        Some(folder.join("tree"))
    }

    /// Tells whether checkouts are kept here.
    pub(super) fn are_usable(&self) -> bool {
        self.usable.load(Ordering::Relaxed)
    }

    /// Stops using checkouts: one could not be laid under a work tree.
    pub(super) fn give_up(&self, error: &SandboxError) {
        if self.usable.swap(false, Ordering::Relaxed) {
            tracing::warn!(%error, "checkouts are not shared from now on: each work tree is checked out anew");
        }
    }

    /// Takes a work tree in under a key, unless there is one; returns where it is.
    pub(super) fn take(&self, key: &str, work_tree: &Path, bytes: u64) -> io::Result<PathBuf> {
        let place = self.folder.join(key);
        let mut entries = self.lock();
        if entries.contains_key(key) {
            return Ok(place.join("tree"));
        }
        let unfinished = self.folder.join(format!("{key}{UNFINISHED}"));
        fs::DirBuilder::new().mode(0o700).recursive(true).create(&unfinished)?;
        fs::rename(work_tree, unfinished.join("tree"))?;
        fs::write(unfinished.join("bytes"), bytes.to_string())?;
        fs::rename(unfinished, &place)?;
        let last_use = SystemTime::now();
        entries.insert(key.to_owned(), Entry { bytes, last_use });
        Ok(place.join("tree"))
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
            checkouts = count,
            checkouts_bytes = bytes,
            most_bytes = self.most_bytes,
            evicted = doomed.len(),
            "checkouts kept"
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
            if is_new || in_use.contains(&self.folder.join(&key).join("tree")) {
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
    if folder.to_str()?.ends_with(UNFINISHED) || !folder.join("tree").is_dir() {
        return None;
    }
    let path = folder.join("bytes");
    Some(Entry {
        bytes: fs::read_to_string(&path).ok()?.parse().ok()?,
        last_use: fs::metadata(path).and_then(|metadata| metadata.modified()).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(folder: &Path, names: &[&str]) -> Checkouts {
        let checkouts = Checkouts::prepare(folder, 25).unwrap();
        for name in names {
            let tree = folder.join("work");
            fs::create_dir(&tree).unwrap();
            fs::write(tree.join("name"), name).unwrap();
            checkouts.take(name, &tree, 10).unwrap();
        }
        checkouts
    }

    #[test]
    fn a_checkout_is_found_by_its_key_and_again_after_a_restart() {
        let state = tempfile::tempdir().unwrap();
        let tree = filled(state.path(), &["a"]).find("a").unwrap();
        assert_eq!(fs::read_to_string(tree.join("name")).unwrap(), "a");
        let again = Checkouts::prepare(state.path(), 25).unwrap();
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
}
