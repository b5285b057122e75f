//! Counts a changed tree against the one it came from, reading only the folders that differ.
//!
//! `git diff-tree` gathers all changes before it says a word, so that a tree bomb (ten folders in each
//! of ten folders, ten deep) would fill the machine. Here trees are read one by one from `cat-file
//! --batch`, and the walk ends at the limit.

use std::collections::HashMap;
use std::path::Path;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{ChildStdin, ChildStdout};

use crate::forge::git::GitStore;
use crate::forge::git::command::{Call, Then};
use crate::forge::git::error::GitError;
use crate::forge::git::repository::ObjectFormat;
use crate::task::id::ObjectId;

/// Longest answer line of `cat-file --batch`.
const MAX_LINE_BYTES: u64 = 256;

/// Largest tree object that is read.
const MAX_TREE_BYTES: u64 = 64 << 20;

/// Mode of a folder in a tree.
const FOLDER_MODE: &[u8] = b"40000";

impl GitStore {
    /// Checks the number of entries and the length of paths of a tree, at the cost of what changed.
    pub(crate) async fn check_changed_tree(
        &self,
        git_dir: &Path,
        base: (&ObjectId, u64),
        tree: &ObjectId,
    ) -> Result<(), GitError> {
        let call = Call::new(["cat-file", "--batch"])
            .git_dir(git_dir)
            .timeout(self.limits().delivery_timeout);
        let format = ObjectFormat::of(tree);
        let (result, _, _) = self
            .git()
            .drive(call, async |stdin, stdout| {
                let mut trees = Trees {
                    stdin,
                    stdout: BufReader::with_capacity(32 * 1024, stdout),
                    id_bytes: format.id_bytes(),
                };
                (self.walk(&mut trees, base, tree).await, Then::Kill)
            })
            .await?;
        result
    }

    async fn walk(&self, trees: &mut Trees, base: (&ObjectId, u64), tree: &ObjectId) -> Result<(), GitError> {
        let (base_tree, base_entries) = base;
        let (mut added, mut removed) = (0_u64, 0_u64);
        let mut pending = vec![Pair {
            old: Some(base_tree.to_string()),
            new: Some(tree.to_string()),
            path_bytes: 0,
        }];
        while let Some(pair) = pending.pop() {
            let mut old: HashMap<Vec<u8>, Entry> = match &pair.old {
                Some(id) => trees.read(id).await?.into_iter().collect(),
                None => HashMap::new(),
            };
            let new = match &pair.new {
                Some(id) => trees.read(id).await?,
                None => Vec::new(),
            };
            for (name, entry) in new {
                let before = old.remove(&name);
                if before.as_ref() == Some(&entry) {
                    continue;
                }
                if before.is_none() {
                    added += 1;
                }
                let path_bytes = pair.path_bytes + name.len();
                self.check_entry(added, path_bytes)?;
                let old = before.and_then(Entry::into_folder);
                let new = entry.into_folder();
                if old.is_some() || new.is_some() {
                    let path_bytes = path_bytes + 1;
                    pending.push(Pair { old, new, path_bytes });
                }
            }
            for entry in old.into_values() {
                removed += 1;
                if let Some(folder) = entry.into_folder() {
                    pending.push(Pair {
                        old: Some(folder),
                        new: None,
                        path_bytes: 0,
                    });
                }
            }
        }
        self.check_entry((base_entries + added).saturating_sub(removed), 0)
    }
}

/// Two folders of the same path, one of which may not be there.
struct Pair {
    old: Option<String>,
    new: Option<String>,
    path_bytes: usize,
}

/// An entry of a tree.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    is_folder: bool,
    id: String,
}

impl Entry {
    fn into_folder(self) -> Option<String> {
        self.is_folder.then_some(self.id)
    }
}

/// A `cat-file --batch` that is asked for trees.
struct Trees {
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    id_bytes: usize,
}

impl Trees {
    async fn read(&mut self, id: &str) -> Result<Vec<(Vec<u8>, Entry)>, GitError> {
        let failed = |error: std::io::Error| GitError::internal("cat-file", error);
        self.stdin
            .write_all(format!("{id}\n").as_bytes())
            .await
            .map_err(failed)?;
        let mut line = String::new();
        let head = (&mut self.stdout).take(MAX_LINE_BYTES).read_line(&mut line).await;
        head.map_err(failed)?;
        let mut words = line.split_whitespace().skip(1);
        let size = match (words.next(), words.next().and_then(|size| size.parse::<u64>().ok())) {
            (Some("tree"), Some(size)) => size,
            _ => {
                return Err(GitError::Hostile {
                    message: format!("{id} is not a tree that is there"),
                });
            }
        };
        if size > MAX_TREE_BYTES {
            return Err(GitError::TooLarge {
                what: "a folder has too many files".into(),
            });
        }
        let mut bytes = vec![0; usize::try_from(size + 1).unwrap_or(usize::MAX)];
        self.stdout.read_exact(&mut bytes).await.map_err(failed)?;
        bytes.pop();
        parse_tree(&bytes, self.id_bytes).ok_or_else(|| GitError::Hostile {
            message: format!("the tree {id} can't be read"),
        })
    }
}

/// Reads entries of the form `mode`, blank, name, NUL, raw id.
fn parse_tree(mut bytes: &[u8], id_bytes: usize) -> Option<Vec<(Vec<u8>, Entry)>> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let blank = bytes.iter().position(|byte| *byte == b' ')?;
        let (mode, rest) = bytes.split_at(blank);
        let end = rest.iter().position(|byte| *byte == 0)?;
        let name = rest.get(1..end)?.to_vec();
        let id = rest.get(end + 1..end + 1 + id_bytes)?;
        let entry = Entry {
            is_folder: mode == FOLDER_MODE || mode == b"040000",
            id: id.iter().map(|byte| format!("{byte:02x}")).collect(),
        };
        entries.push((name, entry));
        bytes = rest.get(end + 1 + id_bytes..)?;
    }
    Some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_are_read_and_cut_ones_are_not() {
        let mut bytes = b"100644 a b\0".to_vec();
        bytes.extend([0xab; 20]);
        bytes.extend(b"40000 d\0");
        bytes.extend([0xcd; 20]);
        let entry = |is_folder, id: &str| Entry {
            is_folder,
            id: id.repeat(20),
        };
        assert_eq!(
            parse_tree(&bytes, 20),
            Some(vec![
                (b"a b".to_vec(), entry(false, "ab")),
                (b"d".to_vec(), entry(true, "cd"))
            ])
        );
        assert_eq!(parse_tree(bytes.get(..40).unwrap(), 20), None);
        assert_eq!(parse_tree(b"", 20), Some(vec![]));
    }
}
