//! Keeps the mirrors tidy: within a size, in few packs, and without what a crash left.
//!
//! A mirror that a quarantine borrows from is in use, and one that was just asked for may be about to be:
//! nothing is moved under either, because sandboxes read its objects. The one not used for longest goes
//! first. What history lost is kept by a repack, for a Task may have named it.

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::forge::git::GitStore;
use crate::forge::git::command::Call;
use crate::forge::git::error::GitError;
use crate::forge::git::mirror::remove_leftovers;

/// File of a mirror whose time is that of its last use.
const USED: &str = "used";

/// Ends the name of a mirror that is being removed.
const GONE: &str = "gone";

/// A mirror that was asked for may be used before any quarantine tells of it.
const GRACE: Duration = Duration::from_secs(600);

/// Longest time of a repack.
const REPACK_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// What was found and done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tidied {
    /// Mirrors that are kept.
    pub mirrors: usize,
    /// Their size.
    pub bytes: u64,
    /// Mirrors that were removed because all of them were too large.
    pub evicted: usize,
    /// Mirrors whose packs became one.
    pub repacked: usize,
}

/// A mirror as it lies on disk.
#[derive(Debug)]
struct Shelf {
    key: String,
    folder: PathBuf,
    last_use: SystemTime,
    bytes: u64,
    packs: usize,
}

impl GitStore {
    /// Brings the mirrors within their size and into few packs, as seen at a time: `now`, but for tests.
    pub async fn tidy_mirrors(&self, now: SystemTime) -> Result<Tidied, GitError> {
        let failed = |error| GitError::internal("mirror", error);
        let mut shelves = Vec::new();
        for entry in fs::read_dir(self.mirrors()).map_err(failed)?.flatten() {
            let path = entry.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("git") => shelves.extend(shelf(path)),
                Some(GONE) => tokio::fs::remove_dir_all(path).await.map_err(failed)?,
                _ => {}
            }
        }
        shelves.sort_by_key(|shelf| shelf.last_use);
        let mut tidied = Tidied {
            bytes: shelves.iter().map(|shelf| shelf.bytes).sum(),
            ..Tidied::default()
        };
        for shelf in shelves {
            // No fetch begins meanwhile, and what is in use by now is seen.
            let _lock = self.lock_mirror(&shelf.key).await;
            let is_new = |time: SystemTime| now.duration_since(time).is_ok_and(|age| age < GRACE);
            let is_idle = !is_new(last_use(&shelf.folder)) && !self.borrowed()?.contains(&shelf.folder);
            if is_idle && tidied.bytes > self.limits().mirrors_bytes {
                let gone = shelf.folder.with_extension(GONE);
                fs::rename(&shelf.folder, &gone).map_err(failed)?;
                tokio::fs::remove_dir_all(gone).await.map_err(failed)?;
                tidied.bytes -= shelf.bytes;
                tidied.evicted += 1;
                continue;
            }
            tidied.mirrors += 1;
            remove_leftovers(&shelf.folder);
            if is_idle && shelf.packs > self.limits().mirror_packs {
                self.repack(&shelf.folder).await?;
                tidied.repacked += 1;
            }
        }
        Ok(tidied)
    }

    /// Returns the mirrors that quarantines borrow from.
    fn borrowed(&self) -> Result<HashSet<PathBuf>, GitError> {
        let failed = |error| GitError::internal("quarantine", error);
        let mut borrowed = HashSet::new();
        for entry in fs::read_dir(self.quarantines()).map_err(failed)?.flatten() {
            let alternates = fs::read_to_string(entry.path().join("objects/info/alternates"));
            let folders = alternates.unwrap_or_default();
            borrowed.extend(
                folders
                    .lines()
                    .filter_map(|line| Path::new(line).parent().map(PathBuf::from)),
            );
        }
        Ok(borrowed)
    }

    async fn repack(&self, folder: &Path) -> Result<(), GitError> {
        let call = Call::new(["repack", "-a", "-d", "-k", "-q"])
            .git_dir(folder)
            .environment("GIT_CONFIG_COUNT", "2")
            .environment("GIT_CONFIG_KEY_0", "pack.threads")
            .environment("GIT_CONFIG_VALUE_0", "1")
            .environment("GIT_CONFIG_KEY_1", "pack.windowMemory")
            .environment("GIT_CONFIG_VALUE_1", "256m")
            .timeout(REPACK_TIMEOUT);
        self.git().run(call).await.map(|_| ())
    }
}

/// Notes that a mirror is used now.
pub(crate) fn note_use(folder: &Path) {
    let noted = File::create(folder.join(USED)).and_then(|file| file.set_modified(SystemTime::now()));
    if let Err(error) = noted {
        tracing::debug!(%error, "the use of a mirror could not be noted");
    }
}

fn last_use(folder: &Path) -> SystemTime {
    let noted = fs::metadata(folder.join(USED)).or_else(|_| fs::metadata(folder));
    noted
        .and_then(|metadata| metadata.modified())
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

fn shelf(folder: PathBuf) -> Option<Shelf> {
    let key = folder.file_stem()?.to_str()?.to_owned();
    let (mut bytes, mut packs) = (0, 0);
    for entry in fs::read_dir(folder.join("objects/pack"))
        .into_iter()
        .flatten()
        .flatten()
    {
        bytes += entry.metadata().map_or(0, |metadata| metadata.len());
        packs += usize::from(entry.path().extension().is_some_and(|extension| extension == "pack"));
    }
    Some(Shelf {
        key,
        last_use: last_use(&folder),
        folder,
        bytes,
        packs,
    })
}
