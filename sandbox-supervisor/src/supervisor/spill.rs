//! The spilled outputs of a sandbox, which share one limit.
//!
//! Each output has a limit of its own (`SPILL_BYTES`); without a common one a model could fill the disk, or
//! memory where the folder lies in it, one command after another. The oldest finished spill goes first,
//! because the newest output is what is read. What an earlier supervisor left in the folder counts.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Most bytes of all spills together: four of the longest.
const TOTAL_BYTES: u64 = 256 << 20;

/// The folder of spills and what lies in it.
pub(super) struct Spills {
    folder: PathBuf,
    total_bytes: u64,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    used: u64,
    /// Oldest first.
    finished: VecDeque<(PathBuf, u64)>,
}

impl Spills {
    /// Takes over a folder, which is made if it is missing.
    pub(super) fn new(folder: &Path) -> Rc<Self> {
        Self::with_limit(folder, TOTAL_BYTES)
    }

    fn with_limit(folder: &Path, total_bytes: u64) -> Rc<Self> {
        // Without it outputs are not spilled, which their reports show.
        let _ = fs::create_dir_all(folder);
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut left: Vec<_> = entries
            .filter_map(|entry| {
                let metadata = entry.metadata().ok()?;
                Some((metadata.modified().ok()?, entry.path(), metadata.len()))
            })
            .collect();
        left.sort();
        let finished: VecDeque<_> = left.into_iter().map(|(_, path, bytes)| (path, bytes)).collect();
        let used = finished.iter().map(|(_, bytes)| bytes).sum();
        Rc::new(Self {
            folder: folder.to_path_buf(),
            total_bytes,
            state: RefCell::new(State { used, finished }),
        })
    }

    /// Returns where the output of a stream is spilled.
    pub(super) fn path(&self, stream: u32) -> PathBuf {
        self.folder.join(format!("output-{stream}.txt"))
    }

    /// Removes what an earlier command of the same stream left.
    pub(super) fn clear(&self, path: &Path) {
        let mut state = self.state.borrow_mut();
        if let Some(at) = state.finished.iter().position(|(other, _)| other == path)
            && let Some((_, bytes)) = state.finished.remove(at)
        {
            state.used = state.used.saturating_sub(bytes);
        }
        let _ = fs::remove_file(path);
    }

    /// Takes room for as many of the wanted bytes as there can be, and removes old spills for it.
    pub(super) fn take(&self, wanted: u64) -> u64 {
        let mut state = self.state.borrow_mut();
        while state.used + wanted > self.total_bytes {
            let Some((path, bytes)) = state.finished.pop_front() else {
                break;
            };
            let _ = fs::remove_file(path);
            state.used = state.used.saturating_sub(bytes);
        }
        let given = wanted.min(self.total_bytes.saturating_sub(state.used));
        state.used += given;
        given
    }

    /// From now on the spill may be removed to make room.
    pub(super) fn finish(&self, path: PathBuf, bytes: u64) {
        self.state.borrow_mut().finished.push_back((path, bytes));
    }

    /// Gives back the room of a spill that failed, and removes it.
    pub(super) fn give_up(&self, path: &Path, bytes: u64) {
        let mut state = self.state.borrow_mut();
        state.used = state.used.saturating_sub(bytes);
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spill(spills: &Spills, stream: u32, bytes: u64) -> u64 {
        let path = spills.path(stream);
        spills.clear(&path);
        let given = spills.take(bytes);
        fs::write(&path, vec![0; usize::try_from(given).unwrap()]).unwrap();
        spills.finish(path, given);
        given
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_oldest_finished_spill_makes_room_and_one_that_is_written_never_does() {
        let folder = tempfile::tempdir().unwrap();
        let spills = Spills::with_limit(folder.path(), 100);
        assert_eq!(spills.take(50), 50, "of a command that runs");
        assert_eq!((spill(&spills, 1, 30), spill(&spills, 2, 20)), (30, 20));
        assert_eq!(spill(&spills, 3, 10), 10);
        assert_eq!(names(folder.path()), ["output-2.txt", "output-3.txt"]);
        assert_eq!(spill(&spills, 3, 70), 50, "its own earlier file and all others went");
        assert_eq!(names(folder.path()), ["output-3.txt"]);
    }

    #[test]
    fn what_an_earlier_supervisor_left_counts() {
        let folder = tempfile::tempdir().unwrap();
        spill(&Spills::with_limit(folder.path(), 100), 1, 80);
        let spills = Spills::with_limit(folder.path(), 100);
        assert_eq!(spills.take(20), 20);
        assert_eq!(names(folder.path()), ["output-1.txt"]);
        assert_eq!(spills.take(1), 1);
        assert_eq!(names(folder.path()), Vec::<String>::new());
    }
}
