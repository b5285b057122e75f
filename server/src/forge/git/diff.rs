//! The difference of two trees: which files, how many lines, and the patch.
//!
//! Plumbing only, on a bare repository: no external diff, no textconv, no attributes of a work tree.
//! Names are bytes here; they become text, escaped, when they leave for an event.

use crate::forge::git::command::Call;
use crate::forge::git::error::GitError;
use crate::forge::git::quarantine::Quarantine;
use crate::task::event::{FileChange, FileStatus};
use crate::task::id::ObjectId;

/// Most bytes of a list of changed files.
const LIST_BYTES: usize = 256 << 20;

/// What to say about a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiffRequest {
    /// The files only.
    Files,
    /// Also a patch for people, in which binary files are only named, of at most so many bytes.
    Readable(usize),
    /// Also a patch that `git apply` takes whole, of at most so many bytes.
    Appliable(usize),
}

/// The difference of two trees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TreeDiff {
    /// Changed files in the order of their paths.
    pub files: Vec<ChangedFile>,
    /// The unified diff.
    pub patch: Patch,
}

/// A unified diff.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    /// Its bytes: text in whatever encodings the files have.
    pub bytes: Vec<u8>,
    /// True when there was more than was asked for.
    pub truncated: bool,
}

/// One changed file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedFile {
    /// What happened to it.
    pub status: FileStatus,
    /// Its path, or the former one of a deleted file.
    pub path: Vec<u8>,
    /// Former path, when renamed.
    pub old_path: Option<Vec<u8>>,
    /// Former mode, e.g. `100644`; 0 when new.
    pub old_mode: u32,
    /// Mode now; 0 when deleted.
    pub new_mode: u32,
    /// Former content; `None` when new.
    pub old_id: Option<ObjectId>,
    /// Content now; `None` when deleted.
    pub new_id: Option<ObjectId>,
    /// Lines added and removed; `None` when it is binary.
    pub lines: Option<(u32, u32)>,
}

impl ChangedFile {
    /// Returns the path as text: UTF-8 as it is, everything else escaped.
    pub fn display_path(&self) -> String {
        escape_path(&self.path)
    }

    /// Returns the file as events tell of it.
    pub fn to_file_change(&self) -> FileChange {
        let (added, removed) = self.lines.unwrap_or_default();
        FileChange {
            status: self.status,
            path: self.display_path(),
            old_path: self.old_path.as_deref().map(escape_path),
            binary: self.lines.is_none(),
            added,
            removed,
        }
    }
}

impl Quarantine {
    /// Compares two trees (or commits) that are here or in the mirror.
    pub async fn diff(&self, old: &ObjectId, new: &ObjectId, request: DiffRequest) -> Result<TreeDiff, GitError> {
        let (detail, most) = match request {
            DiffRequest::Files => {
                let files = self.changed_files(old, new).await?;
                return Ok(TreeDiff {
                    files,
                    patch: Patch::default(),
                });
            }
            DiffRequest::Readable(most) => ("--patch", most),
            DiffRequest::Appliable(most) => ("--binary", most),
        };
        let options = ["--full-index", "--src-prefix=a/", "--dst-prefix=b/", "--no-color"];
        let call = self
            .diff_call(old, new, [detail].into_iter().chain(options))
            .stdout_bytes(most);
        let (files, output) = tokio::join!(self.changed_files(old, new), self.store().git().run(call));
        let output = output?;
        Ok(TreeDiff {
            files: files?,
            patch: Patch {
                bytes: output.stdout,
                truncated: output.truncated,
            },
        })
    }

    /// Returns the changed files alone.
    async fn changed_files(&self, old: &ObjectId, new: &ObjectId) -> Result<Vec<ChangedFile>, GitError> {
        let options = ["-z", "--raw", "--numstat", "--no-abbrev"];
        let call = self.diff_call(old, new, options).stdout_bytes(LIST_BYTES);
        let output = self.store().git().run(call).await?;
        if output.truncated {
            return Err(GitError::TooLarge {
                what: "the list of changed files is too long".into(),
            });
        }
        parse_files(&output.stdout).ok_or_else(|| GitError::internal("diff-tree", "its answer can't be read"))
    }

    pub(crate) fn diff_call<'a>(
        &self,
        old: &ObjectId,
        new: &ObjectId,
        options: impl IntoIterator<Item = &'a str>,
    ) -> Call {
        let fixed = [
            "-c",
            "core.bigFileThreshold=8m",
            "-c",
            "diff.renameLimit=400",
            "diff-tree",
        ];
        let rules = ["-r", "-M", "--no-ext-diff", "--no-textconv"];
        let options = fixed.into_iter().chain(rules).chain(options);
        Call::new(options.map(str::to_owned))
            .named("diff-tree")
            .arg(old.as_str())
            .arg(new.as_str())
            .git_dir(self.folder())
            .memory_bytes(self.store().limits().memory_bytes)
    }
}

/// Escapes a path so that it is one line of UTF-8.
pub(crate) fn escape_path(path: &[u8]) -> String {
    let mut text = String::new();
    for chunk in path.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character == '\\' || !super::message::is_plain(character) {
                text.extend(character.escape_default());
            } else {
                text.push(character);
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// Reads the records of `--raw --numstat -z`: first all of the one, then all of the other, same order.
fn parse_files(bytes: &[u8]) -> Option<Vec<ChangedFile>> {
    let mut records = bytes.split(|byte| *byte == 0).peekable();
    let mut files = Vec::new();
    while let Some(head) = records.next_if(|record| record.first() == Some(&b':')) {
        files.push(parse_raw(head, &mut records)?);
    }
    for file in &mut files {
        let record = records.next()?;
        let mut fields = record.splitn(3, |byte| *byte == b'\t');
        let (added, removed, path) = (fields.next()?, fields.next()?, fields.next()?);
        file.lines = match (parse_number(added), parse_number(removed)) {
            (Some(added), Some(removed)) => Some((added, removed)),
            _ => None,
        };
        if path.is_empty() {
            // A rename: both paths follow as records of their own.
            records.next()?;
            records.next()?;
        }
    }
    // Only the empty rest after the last NUL may be left.
    records.all(<[u8]>::is_empty).then_some(files)
}

fn parse_raw<'a>(head: &[u8], records: &mut impl Iterator<Item = &'a [u8]>) -> Option<ChangedFile> {
    let head = std::str::from_utf8(head.get(1..)?).ok()?;
    let mut fields = head.split(' ');
    let old_mode = u32::from_str_radix(fields.next()?, 8).ok()?;
    let new_mode = u32::from_str_radix(fields.next()?, 8).ok()?;
    let (old_id, new_id) = (fields.next()?, fields.next()?);
    let first = records.next()?.to_vec();
    let (status, path, old_path) = match fields.next()?.as_bytes().first()? {
        b'A' => (FileStatus::Added, first, None),
        b'D' => (FileStatus::Deleted, first, None),
        b'R' => (FileStatus::Renamed, records.next()?.to_vec(), Some(first)),
        _ => (FileStatus::Modified, first, None),
    };
    let old_id = if old_mode == 0 {
        None
    } else {
        Some(old_id.parse().ok()?)
    };
    let new_id = if new_mode == 0 {
        None
    } else {
        Some(new_id.parse().ok()?)
    };
    Some(ChangedFile {
        status,
        path,
        old_path,
        old_mode,
        new_mode,
        old_id,
        new_id,
        lines: None,
    })
}

fn parse_number(digits: &[u8]) -> Option<u32> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_and_numstat_are_joined_also_for_odd_names() {
        let id = "1".repeat(40);
        let zero = "0".repeat(40);
        let text = format!(
            ":000000 100644 {zero} {id} A\0:odd\n\tname\0:100644 000000 {id} {zero} D\0gone\0:100644 100755 {id} {id} R090\0old\0new\0\
             0\t0\t:odd\n\tname\0-\t-\tgone\0003\t1\t\0old\0new\0"
        );
        let files = parse_files(text.as_bytes()).unwrap();
        let summary: Vec<_> = files
            .iter()
            .map(|file| (file.status, file.display_path(), file.old_path.as_deref(), file.lines))
            .collect();
        assert_eq!(
            summary,
            [
                (FileStatus::Added, ":odd\\n\\tname".into(), None, Some((0, 0))),
                (FileStatus::Deleted, "gone".into(), None, None),
                (FileStatus::Renamed, "new".into(), Some(b"old".as_slice()), Some((3, 1))),
            ]
        );
        assert_eq!(parse_files(b"").unwrap(), []);
        assert_eq!(parse_files(b":100644 garbage\0"), None);
    }

    #[test]
    fn paths_become_one_line_of_text_and_stay_distinct() {
        assert_eq!(escape_path("grün".as_bytes()), "grün");
        assert_eq!(escape_path(b"a\nb\xff\\x"), "a\\nb\\xff\\\\x");
        assert_eq!(escape_path("a\u{202e}b".as_bytes()), "a\\u{202e}b");
    }
}
