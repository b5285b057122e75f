//! Limits on trees, checked before anything inflates or is checked out.
//!
//! Folders are counted like files: a tree bomb can be made of folders alone. Git is stopped as soon
//! as a limit is passed, so the cost of a bomb is the cost of the limit.

use std::path::Path;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::ChildStdout;

use crate::forge::git::GitStore;
use crate::forge::git::command::{Call, Then};
use crate::forge::git::error::GitError;
use crate::task::id::ObjectId;

/// Room for mode, type, ids and size before a path.
const RECORD_BYTES: usize = 256;

/// How large a tree is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TreeSize {
    /// Files and folders.
    pub(crate) entries: u64,
    /// Bytes of all files, a content that is there twice counted twice.
    pub(crate) bytes: u64,
}

impl GitStore {
    /// Checks the number of entries, the paths and the file sizes of a whole tree; returns how large it is.
    pub(crate) async fn check_tree(&self, git_dir: &Path, tree: &ObjectId) -> Result<TreeSize, GitError> {
        let call = Call::new(["ls-tree", "-r", "-t", "-z", "-l", "--full-tree", tree.as_str()]).git_dir(git_dir);
        let limits = self.limits();
        let mut total = TreeSize::default();
        self.each_record(call, |record| {
            // Mode, type, id and size are separated by blanks, then a tab and the path.
            let Some(tab) = record.iter().position(|byte| *byte == b'\t') else {
                return Ok(());
            };
            let (head, path) = record.split_at(tab);
            total.entries += 1;
            self.check_entry(total.entries, path.len().saturating_sub(1))?;
            let size = std::str::from_utf8(head)
                .ok()
                .and_then(|head| head.split_whitespace().last());
            // A folder or a submodule has none.
            let bytes = size.and_then(|size| size.parse().ok()).unwrap_or(0);
            if bytes > limits.file_bytes {
                let path = String::from_utf8_lossy(path.get(1..).unwrap_or_default())
                    .escape_debug()
                    .to_string();
                return Err(GitError::TooLarge {
                    what: format!("the file {path} is larger than {} MiB", limits.file_bytes >> 20),
                });
            }
            total.bytes = total.bytes.saturating_add(bytes);
            if total.bytes > limits.tree_bytes {
                return Err(GitError::TooLarge {
                    what: format!(
                        "the files of the tree are larger than {} MiB in all",
                        limits.tree_bytes >> 20
                    ),
                });
            }
            Ok(())
        })
        .await?;
        Ok(total)
    }

    pub(crate) fn check_entry(&self, entries: u64, path_bytes: usize) -> Result<(), GitError> {
        let limits = self.limits();
        if entries > limits.tree_entries {
            return Err(GitError::TooLarge {
                what: format!("the tree has more than {} files and folders", limits.tree_entries),
            });
        }
        if path_bytes > limits.path_bytes {
            return Err(GitError::TooLarge {
                what: format!("the tree has a path longer than {} bytes", limits.path_bytes),
            });
        }
        Ok(())
    }

    /// Runs a call whose output is records that end with NUL, and stops it at the first error.
    pub(crate) async fn each_record(
        &self,
        call: Call,
        mut record: impl FnMut(&[u8]) -> Result<(), GitError> + Send,
    ) -> Result<(), GitError> {
        let most = self.limits().path_bytes + RECORD_BYTES;
        let (result, status, stderr) = self
            .git()
            .drive(call, async |_stdin, stdout| {
                let result = read_records(stdout, most, &mut record).await;
                let then = if result.is_ok() { Then::Wait } else { Then::Kill };
                (result, then)
            })
            .await?;
        result?;
        if status.success() {
            Ok(())
        } else {
            Err(GitError::internal("tree", format!("{stderr} ({status})")))
        }
    }
}

async fn read_records(
    stdout: ChildStdout,
    most: usize,
    record: &mut (impl FnMut(&[u8]) -> Result<(), GitError> + Send),
) -> Result<(), GitError> {
    let mut reader = BufReader::with_capacity(64 * 1024, stdout);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let read = (&mut reader).take(most as u64).read_until(0, &mut bytes).await;
        if read.map_err(|error| GitError::internal("tree", error))? == 0 {
            return Ok(());
        }
        if bytes.pop() != Some(0) {
            return Err(GitError::TooLarge {
                what: "the tree has a path longer than this server takes".into(),
            });
        }
        record(&bytes)?;
    }
}
