//! Tells whether the work tree differs from what it was at the last survey, without git.
//!
//! A walk over names and status records costs a fraction of what `git status` does, and starts no
//! program. What it compares can't be set by a command: the change time is the kernel's. The top
//! `.git` is left out, since reading commands write its index, and times of folders are, since a file
//! that came and went is no change. It runs in a process of its own, confined as file operations are.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::protocol::ChangesReply;
use crate::supervisor::confine::Confinement;
use crate::supervisor::worker::{Worker, become_confined};

/// A walk that takes longer is given up: then git has to tell.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// Most entries looked at.
const MAX_ENTRIES: u64 = 1_000_000;

/// A fingerprint on its way.
const FINGERPRINT_BYTES: usize = 16;

/// What a tree looked like: equal values mean an unchanged tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fingerprint {
    entries: u64,
    sum: u64,
}

/// Knows whether the work tree may have changed since it was asked last.
pub(super) struct ChangeWatch {
    /// Whether anything that may write has begun since the work tree was last looked at.
    began: bool,
    survey: Option<Survey>,
    last: Option<Fingerprint>,
}

impl ChangeWatch {
    pub(super) fn new() -> Self {
        Self {
            began: true,
            survey: None,
            last: None,
        }
    }

    /// Notes that something begins that may write.
    pub(super) fn note(&mut self) {
        self.began = true;
    }

    /// Answers at once when nothing could have written; else begins to look, and `advance` has the answer.
    pub(super) fn ask(
        &mut self,
        stream: u32,
        running: bool,
        work_tree: &Path,
        confinement: &Confinement,
    ) -> Option<ChangesReply> {
        if self.survey.is_some() {
            return Some(ChangesReply { possible: true });
        }
        if !self.began && !running {
            return Some(ChangesReply { possible: false });
        }
        match Survey::start(stream, running, work_tree, confinement) {
            Ok(survey) => {
                self.survey = Some(survey);
                self.began = running;
                None
            }
            Err(_) => Some(ChangesReply { possible: true }),
        }
    }

    /// Returns what looks at the work tree now, to wait for it.
    pub(super) fn worker(&self) -> Option<&Worker> {
        self.survey.as_ref().map(|survey| &survey.worker)
    }

    /// Returns the answer of a survey that has ended, with the request that it answers.
    pub(super) fn advance(&mut self) -> Option<(u32, ChangesReply)> {
        let survey = self.survey.as_mut()?;
        let found = survey.advance()?;
        let possible = survey.disturbed || found.is_none() || found != self.last;
        let stream = survey.stream;
        self.survey = None;
        self.last = found;
        Some((stream, ChangesReply { possible }))
    }
}

/// A running survey.
struct Survey {
    /// The request that it answers.
    stream: u32,
    /// Whether something could write when it began.
    disturbed: bool,
    worker: Worker,
}

impl Survey {
    fn start(stream: u32, disturbed: bool, work_tree: &Path, confinement: &Confinement) -> io::Result<Self> {
        let worker = Worker::start(TIME_LIMIT, FINGERPRINT_BYTES, || {
            let found = become_confined(confinement).and_then(|()| fingerprint(work_tree));
            found.map_or_else(|_| Vec::new(), |found| found.to_bytes().to_vec())
        })?;
        Ok(Self {
            stream,
            disturbed,
            worker,
        })
    }

    /// Returns what was found when it is over: `Some(None)` when it could not be told.
    fn advance(&mut self) -> Option<Option<Fingerprint>> {
        let answer = self.worker.advance()?;
        Some(answer.try_into().ok().map(Fingerprint::from_bytes))
    }
}

impl Fingerprint {
    fn to_bytes(self) -> [u8; FINGERPRINT_BYTES] {
        ((u128::from(self.entries) << 64) | u128::from(self.sum)).to_le_bytes()
    }

    fn from_bytes(bytes: [u8; FINGERPRINT_BYTES]) -> Self {
        let number = u128::from_le_bytes(bytes);
        Self {
            entries: (number >> 64) as u64,
            sum: number as u64,
        }
    }
}

/// Walks a tree. The order of a folder's entries does not matter.
fn fingerprint(work_tree: &Path) -> io::Result<Fingerprint> {
    let mut found = Fingerprint { entries: 0, sum: 0 };
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(work_tree.join(&folder)) {
            Ok(entries) => entries,
            // One that git can't read either; that it is so is part of what is seen.
            Err(error) => {
                found.add(&folder, &[error.raw_os_error().unwrap_or(0).into()]);
                continue;
            }
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            if folder.as_os_str().is_empty() && name.as_bytes() == b".git" {
                continue;
            }
            let path = folder.join(&name);
            let status = match entry.metadata() {
                Ok(status) => status,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if status.is_dir() {
                found.add(&path, &[status.mode().into()]);
                folders.push(path);
            } else {
                let fields = [
                    status.mode().into(),
                    status.ino() as i64,
                    status.size() as i64,
                    status.mtime(),
                    status.mtime_nsec(),
                    status.ctime(),
                    status.ctime_nsec(),
                ];
                found.add(&path, &fields);
            }
            if found.entries > MAX_ENTRIES {
                return Err(io::Error::other("the tree is too large to be surveyed"));
            }
        }
    }
    Ok(found)
}

impl Fingerprint {
    fn add(&mut self, path: &Path, fields: &[i64]) {
        let mut hasher = DefaultHasher::new();
        path.as_os_str().as_bytes().hash(&mut hasher);
        fields.hash(&mut hasher);
        self.entries += 1;
        self.sum = self.sum.wrapping_add(hasher.finish());
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    /// A change of a tree, and whether it is one.
    type Change = (&'static str, fn(&Path), bool);

    #[test]
    fn every_change_of_a_file_shows_and_reading_does_not() {
        let changes: [Change; 12] = [
            ("nothing", |_| {}, false),
            ("read", |tree| drop(fs::read(tree.join("a")).unwrap()), false),
            ("same size", |tree| fs::write(tree.join("a"), "two").unwrap(), true),
            ("new file", |tree| fs::write(tree.join("b"), "").unwrap(), true),
            ("new folder", |tree| fs::create_dir(tree.join("d")).unwrap(), true),
            ("removed", |tree| fs::remove_file(tree.join("a")).unwrap(), true),
            (
                "renamed",
                |tree| fs::rename(tree.join("a"), tree.join("sub/a")).unwrap(),
                true,
            ),
            ("link", |tree| symlink("a", tree.join("l")).unwrap(), true),
            (
                "mode",
                |tree| fs::set_permissions(tree.join("a"), fs::Permissions::from_mode(0o755)).unwrap(),
                true,
            ),
            (
                "the old time put back",
                |tree| {
                    let time = fs::metadata(tree.join("a")).unwrap().modified().unwrap();
                    fs::write(tree.join("a"), "two").unwrap();
                    fs::File::options()
                        .write(true)
                        .open(tree.join("a"))
                        .and_then(|file| file.set_modified(time))
                        .unwrap();
                },
                true,
            ),
            (
                "came and went",
                |tree| {
                    fs::write(tree.join("t"), "x").unwrap();
                    fs::remove_file(tree.join("t")).unwrap();
                },
                false,
            ),
            (
                "git's own",
                |tree| fs::write(tree.join(".git/index"), "x").unwrap(),
                false,
            ),
        ];
        for (name, change, shows) in changes {
            let tree = tempfile::tempdir().unwrap();
            fs::create_dir_all(tree.path().join("sub/.git")).unwrap();
            fs::create_dir(tree.path().join(".git")).unwrap();
            fs::write(tree.path().join("a"), "one").unwrap();
            let before = fingerprint(tree.path()).unwrap();
            // The clock of the file system ticks every few milliseconds only.
            std::thread::sleep(Duration::from_millis(20));
            change(tree.path());
            assert_eq!(fingerprint(tree.path()).unwrap() != before, shows, "{name}");
        }
    }

    #[test]
    fn a_fingerprint_goes_over_a_pipe() {
        let fingerprint = Fingerprint {
            entries: 7,
            sum: u64::MAX - 5,
        };
        assert_eq!(Fingerprint::from_bytes(fingerprint.to_bytes()), fingerprint);
    }
}
