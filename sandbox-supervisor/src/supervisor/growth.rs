//! Watches how much the work tree takes, and the home folder where it is on a disk, where no file system limits them.
//!
//! Looks while commands run, and ends them when the tree has outgrown its limit: a bound that holds within
//! seconds, not a wall. Only growth ends a command, so that one which cleans up can do so. What is measured is
//! blocks, as the disk has them; a file with several names counts once.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::supervisor::confine::Confinement;
use crate::supervisor::worker::{Worker, become_confined};

/// Between two looks, at least.
const PAUSE: Duration = Duration::from_secs(1);

/// So many times longer than a look took is the pause after it.
const PAUSE_SHARE: u32 = 20;

/// A look that takes longer is given up; the next one comes after the longest pause.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Bytes of a size on its way.
const SIZE_BYTES: usize = 8;

/// A block in a status record, whatever the file system's own are.
const BLOCK_BYTES: u64 = 512;

/// Knows when to look, and what was there the last time.
pub(super) struct GrowthWatch {
    limit_bytes: Option<u64>,
    last_bytes: u64,
    next: Instant,
    look: Option<(Worker, Instant)>,
}

impl GrowthWatch {
    /// Makes a watch that never looks when there is no limit.
    pub(super) fn new(limit_bytes: Option<u64>) -> Self {
        Self {
            limit_bytes,
            last_bytes: 0,
            next: Instant::now(),
            look: None,
        }
    }

    /// Returns when to look next, if there is no look under way.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        (self.limit_bytes.is_some() && self.look.is_none()).then_some(self.next)
    }

    /// Returns what looks now, to wait for it.
    pub(super) fn worker(&self) -> Option<&Worker> {
        self.look.as_ref().map(|(worker, _)| worker)
    }

    /// Begins to look if it is time, or takes what a look has found; true when the tree has outgrown its limit.
    pub(super) fn advance(&mut self, watched: &[PathBuf], confinement: &Confinement) -> bool {
        let Some(limit_bytes) = self.limit_bytes else {
            return false;
        };
        let Some((worker, begun)) = &mut self.look else {
            if self.next <= Instant::now() {
                self.begin(watched, confinement);
            }
            return false;
        };
        let Some(answer) = worker.advance() else {
            return false;
        };
        self.next = Instant::now() + (begun.elapsed() * PAUSE_SHARE).max(PAUSE);
        self.look = None;
        let Ok(bytes) = answer.try_into().map(u64::from_le_bytes) else {
            return false;
        };
        let grew = bytes > self.last_bytes;
        self.last_bytes = bytes;
        grew && bytes > limit_bytes
    }

    fn begin(&mut self, watched: &[PathBuf], confinement: &Confinement) {
        let look = Worker::start(TIME_LIMIT, SIZE_BYTES, || {
            let size = become_confined(confinement).and_then(|()| size_of_all(watched));
            size.map_or_else(|_| Vec::new(), |bytes| bytes.to_le_bytes().to_vec())
        });
        match look {
            Ok(worker) => self.look = Some((worker, Instant::now())),
            Err(_) => self.next = Instant::now() + PAUSE,
        }
    }
}

fn size_of_all(trees: &[PathBuf]) -> io::Result<u64> {
    trees.iter().map(|tree| size_of(tree)).sum()
}

/// Adds up what a tree takes. What comes or goes meanwhile may or may not be counted.
fn size_of(work_tree: &Path) -> io::Result<u64> {
    let mut bytes = 0_u64;
    let mut several_names = HashSet::new();
    let mut folders = vec![PathBuf::from(work_tree)];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(_) if folder != work_tree => continue,
            Err(error) => return Err(error),
        };
        for entry in entries.flatten() {
            let Ok(status) = entry.metadata() else { continue };
            if status.is_dir() {
                folders.push(entry.path());
            } else if status.nlink() > 1 && !several_names.insert(status.ino()) {
                continue;
            }
            bytes = bytes.saturating_add(status.blocks().saturating_mul(BLOCK_BYTES));
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_counts_once_and_a_hole_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let empty = size_of(folder.path()).unwrap();
        fs::create_dir(folder.path().join("deep")).unwrap();
        let with_folder = size_of(folder.path()).unwrap();
        fs::write(folder.path().join("deep/file"), vec![7; 1 << 20]).unwrap();
        let with_file = size_of(folder.path()).unwrap();
        assert!(
            with_file >= with_folder + (1 << 20),
            "{empty} {with_folder} {with_file}"
        );
        fs::hard_link(folder.path().join("deep/file"), folder.path().join("other")).unwrap();
        let hole = fs::File::create(folder.path().join("hole")).unwrap();
        hole.set_len(1 << 30).unwrap();
        assert!(size_of(folder.path()).unwrap() < with_file + (1 << 20));
    }
}
