//! What is kept of a command's output: head and tail in memory, the whole in a spill file.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::protocol::{CAPTURE_BYTES, SPILL_BYTES};
use crate::supervisor::spill::Spills;

const HALF: usize = CAPTURE_BYTES / 2;

/// Captures both streams of one command in order of arrival.
pub(super) struct Capture {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    total: u64,
    spill: Spill,
    spills: Rc<Spills>,
}

enum Spill {
    /// Not needed so far; this is where it would be.
    Later(PathBuf),
    Open {
        path: PathBuf,
        file: File,
        bytes: u64,
        /// There was no room once: what came after would not be in its place.
        is_full: bool,
    },
    /// It can't be written; head and tail are all there is.
    Failed,
}

/// What was kept.
pub(super) struct Kept {
    pub(super) head: Vec<u8>,
    pub(super) tail: Vec<u8>,
    pub(super) omitted_bytes: u64,
    pub(super) spill_path: Option<String>,
    pub(super) spill_bytes: u64,
}

impl Capture {
    pub(super) fn new(spills: &Rc<Spills>, stream: u32) -> Self {
        Self {
            head: Vec::new(),
            tail: VecDeque::new(),
            total: 0,
            spill: Spill::Later(spills.path(stream)),
            spills: Rc::clone(spills),
        }
    }

    /// Adds what was read.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.spill(bytes);
        self.total += bytes.len() as u64;
        let room = HALF.saturating_sub(self.head.len()).min(bytes.len());
        let (first, rest) = bytes.split_at(room);
        self.head.extend_from_slice(first);
        let last = rest.get(rest.len().saturating_sub(HALF)..).unwrap_or_default();
        let surplus = (self.tail.len() + last.len()).saturating_sub(HALF);
        self.tail.drain(..surplus);
        self.tail.extend(last);
    }

    fn spill(&mut self, bytes: &[u8]) {
        if let Spill::Later(path) = &self.spill {
            if self.total + bytes.len() as u64 <= CAPTURE_BYTES as u64 {
                return;
            }
            let path = path.clone();
            self.spills.clear(&path);
            let room = self.spills.take(self.total);
            self.spill = match self.begin_spill(&path) {
                Ok(file) if room == self.total => Spill::Open {
                    path,
                    file,
                    bytes: room,
                    is_full: false,
                },
                _ => {
                    self.spills.give_up(&path, room);
                    Spill::Failed
                }
            };
        }
        if let Spill::Open {
            path,
            file,
            bytes: written,
            is_full: is_full @ false,
        } = &mut self.spill
        {
            let wanted = (SPILL_BYTES - *written).min(bytes.len() as u64);
            let room = self.spills.take(wanted);
            *is_full = room < bytes.len() as u64;
            let part = bytes
                .get(..usize::try_from(room).unwrap_or(usize::MAX))
                .unwrap_or_default();
            *written += room;
            if file.write_all(part).is_err() {
                self.spills.give_up(path, *written);
                self.spill = Spill::Failed;
            }
        }
    }

    /// Everything so far is in head and tail: nothing has been left out before a spill begins.
    fn begin_spill(&self, path: &Path) -> std::io::Result<File> {
        let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
        file.write_all(&self.head)?;
        let (first, second) = self.tail.as_slices();
        file.write_all(first)?;
        file.write_all(second)?;
        Ok(file)
    }

    /// Ends the capture.
    pub(super) fn finish(self) -> Kept {
        let kept = (self.head.len() + self.tail.len()) as u64;
        let (spill_path, spill_bytes) = match self.spill {
            Spill::Open { path, bytes, .. } => {
                let name = path.to_str().map(str::to_owned);
                self.spills.finish(path, bytes);
                (name, bytes)
            }
            Spill::Later(_) | Spill::Failed => (None, 0),
        };
        Kept {
            head: self.head,
            tail: self.tail.into(),
            omitted_bytes: self.total - kept,
            spill_path,
            spill_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(pieces: &[&[u8]]) -> (Kept, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let mut capture = Capture::new(&Spills::new(folder.path()), 7);
        pieces.iter().for_each(|piece| capture.add(piece));
        (capture.finish(), folder)
    }

    #[test]
    fn a_short_output_is_whole_and_not_spilled() {
        let (kept, _folder) = captured(&[b"one ", b"two"]);
        assert_eq!(
            (kept.head.as_slice(), kept.tail.as_slice()),
            (&b"one two"[..], &b""[..])
        );
        assert_eq!((kept.omitted_bytes, kept.spill_path), (0, None));
        let exact = vec![b'x'; CAPTURE_BYTES];
        let (kept, _folder) = captured(&[&exact]);
        assert_eq!(
            (kept.head.len(), kept.tail.len(), kept.omitted_bytes, kept.spill_path),
            (HALF, HALF, 0, None)
        );
    }

    #[test]
    fn a_long_output_keeps_both_ends_and_the_whole_in_a_file() {
        let whole: Vec<u8> = (0..200_000_u32).map(|number| (number % 251) as u8).collect();
        for size in [1, 7, 999, 65_536, 200_000] {
            let pieces: Vec<_> = whole.chunks(size).collect();
            let (kept, _folder) = captured(&pieces);
            assert_eq!(kept.head, whole[..HALF], "pieces of {size}");
            assert_eq!(kept.tail, whole[whole.len() - HALF..], "pieces of {size}");
            assert_eq!(kept.omitted_bytes, 200_000 - CAPTURE_BYTES as u64);
            assert_eq!(std::fs::read(kept.spill_path.unwrap()).unwrap(), whole);
            assert_eq!(kept.spill_bytes, 200_000);
        }
    }
}
