//! Quarantines: one bare repository for each Task, where what came out of a sandbox is kept apart.
//!
//! A delivery is a line `tree <id>` and a pack of what the server does not have; a bundle would need
//! a commit, a ref and twice the processes inside, and a header to parse here. Nothing a sandbox says
//! is believed: the pack is measured while it streams, `index-pack --strict` refuses hostile objects
//! and missing links, and the tree is held against the limits. Objects borrow from the mirror.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt as _};

use crate::forge::git::GitStore;
use crate::forge::git::command::{Call, Then};
use crate::forge::git::error::GitError;
use crate::forge::git::message::{CommitMessage, Signature};
use crate::forge::git::mirror::Mirror;
use crate::forge::git::pack::{PackLimits, PackReader, Refusal};
use crate::forge::git::repository::{ObjectFormat, create_bare};
use crate::task::id::{ObjectId, TaskId};
use crate::task::record::Base;

/// Longest first line of a delivery: `tree`, a blank, 64 digits and the line's end.
const MAX_HEADER_BYTES: usize = 70;

/// A tree that the server has.
#[derive(Clone, Copy, Debug)]
pub enum Known<'a> {
    /// Nothing was delivered yet but the base.
    Base,
    /// This tree was delivered last; the same again is no news.
    Tree(&'a ObjectId),
}

/// A Task's quarantine.
#[derive(Clone, Debug)]
pub struct Quarantine {
    store: GitStore,
    folder: PathBuf,
    mirror: Mirror,
}

impl GitStore {
    /// Opens a Task's quarantine over a mirror, making it if need be.
    pub fn quarantine(&self, task: TaskId, mirror: &Mirror) -> Result<Quarantine, GitError> {
        let folder = self.quarantines().join(format!("{task}.git"));
        create_bare(&folder, mirror.format, Some(&mirror.objects))
            .map_err(|error| GitError::internal("quarantine", error))?;
        Ok(Quarantine {
            store: self.clone(),
            folder,
            mirror: mirror.clone(),
        })
    }

    /// Lists the Tasks that have a quarantine.
    pub fn quarantined_tasks(&self) -> Result<Vec<TaskId>, GitError> {
        let entries = std::fs::read_dir(self.quarantines()).map_err(|error| GitError::internal("quarantine", error))?;
        let task = |entry: std::io::Result<std::fs::DirEntry>| {
            let name = entry.ok()?.file_name();
            name.to_str()?.strip_suffix(".git")?.parse().ok()
        };
        Ok(entries.filter_map(task).collect())
    }

    /// Opens a quarantine that was made before, for a look at what it holds; no mirror is fetched.
    pub fn reopen_quarantine(&self, task: TaskId, base: &Base) -> Result<Quarantine, GitError> {
        let failed = |error: std::io::Error| GitError::internal("quarantine", error);
        let folder = self.quarantines().join(format!("{task}.git"));
        let alternates = std::fs::read_to_string(folder.join("objects/info/alternates")).map_err(failed)?;
        let objects = PathBuf::from(alternates.trim_end());
        let mirror = Mirror {
            folder: objects.parent().map(PathBuf::from).unwrap_or_default(),
            objects,
            commit: base.commit.clone(),
            tree: base.tree.clone(),
            entries: 0,
            bytes: 0,
            format: ObjectFormat::of(&base.commit),
        };
        Ok(Quarantine {
            store: self.clone(),
            folder,
            mirror,
        })
    }

    /// Removes a Task's quarantine; missing is not an error.
    pub async fn remove_quarantine(&self, task: TaskId) -> Result<(), GitError> {
        let folder = self.quarantines().join(format!("{task}.git"));
        match tokio::fs::remove_dir_all(&folder).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(GitError::internal("quarantine", error)),
            _ => Ok(()),
        }
    }
}

impl Quarantine {
    /// Returns the commit that the Task starts from, and its tree.
    pub fn base(&self) -> (&ObjectId, &ObjectId) {
        (&self.mirror.commit, &self.mirror.tree)
    }

    /// Returns the repository's hash function.
    pub fn format(&self) -> ObjectFormat {
        self.mirror.format
    }

    /// Returns the store that it belongs to.
    pub fn store(&self) -> &GitStore {
        &self.store
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Takes a delivery in and returns its tree; `None` when it says that the tree is the known one.
    ///
    /// The stream is read to its end, or dropped when the delivery is refused.
    pub async fn accept(
        &self,
        known: Known<'_>,
        mut delivery: impl Stream<Item = Bytes> + Unpin + Send,
    ) -> Result<Option<ObjectId>, GitError> {
        let (tree, rest) = read_header(self.format(), &mut delivery).await?;
        let known = match known {
            Known::Base => &self.mirror.tree,
            Known::Tree(tree) => tree,
        };
        if tree == *known {
            return Ok(None);
        }
        self.take_pack(rest, delivery).await?;
        let base = (&self.mirror.tree, self.mirror.entries);
        self.store.check_changed_tree(&self.folder, base, &tree).await?;
        Ok(Some(tree))
    }

    async fn take_pack(
        &self,
        first: Bytes,
        delivery: impl Stream<Item = Bytes> + Unpin + Send,
    ) -> Result<(), GitError> {
        let limits = self.store.limits();
        let mut reader = PackReader::new(
            self.format(),
            PackLimits {
                // A changed file comes with the folders above it.
                objects: 4 * limits.tree_entries,
                object_bytes: limits.file_bytes,
                inflated_bytes: limits.inflated_bytes,
            },
        );
        let call = Call::new(["index-pack", "--stdin", "--strict"])
            .arg(format!("--max-input-size={}", limits.delivery_bytes))
            .git_dir(&self.folder)
            .environment("GIT_CONFIG_COUNT", "2")
            .environment("GIT_CONFIG_KEY_0", "core.bigFileThreshold")
            .environment("GIT_CONFIG_VALUE_0", "4m")
            .environment("GIT_CONFIG_KEY_1", "pack.threads")
            .environment("GIT_CONFIG_VALUE_1", "1")
            .file_bytes(2 * limits.delivery_bytes)
            .memory_bytes(limits.memory_bytes)
            .timeout(limits.delivery_timeout);
        let delivery_bytes = limits.delivery_bytes;
        let feed = async |mut stdin: ChildStdin, mut stdout: ChildStdout| {
            let mut chunks = tokio_stream::once(first).chain(delivery);
            let mut total_bytes = 0;
            let mut result = Ok(());
            while let Some(chunk) = chunks.next().await {
                total_bytes += chunk.len() as u64;
                result = if total_bytes > delivery_bytes {
                    Err(Refusal::TooLarge(format!(
                        "the change is larger than {} MiB, packed",
                        delivery_bytes >> 20
                    )))
                } else {
                    reader.read(&chunk)
                };
                // Git ends early when it refuses; its words say why.
                if result.is_err() || stdin.write_all(&chunk).await.is_err() {
                    break;
                }
            }
            if result.is_err() {
                return (result, Then::Kill);
            }
            drop(stdin);
            // It answers with the pack's name, which nobody needs; its answer must not meet a closed pipe.
            let _ = tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await;
            (result, Then::Wait)
        };
        let (measured, status, stderr) = self.store.git().drive(call, feed).await?;
        let refused = |message: String| Err(GitError::Hostile { message });
        match measured {
            Err(Refusal::TooLarge(what)) => Err(GitError::TooLarge { what }),
            Err(Refusal::Malformed(message)) => refused(message.into()),
            Ok(()) if !status.success() => refused(format!("{stderr} ({status})")),
            Ok(()) if !reader.is_complete() => refused("the pack is cut off".into()),
            Ok(()) => Ok(()),
        }
    }

    /// Writes a commit and returns its id: the same for the same arguments.
    pub async fn commit_tree(
        &self,
        parent: &ObjectId,
        tree: &ObjectId,
        message: &CommitMessage,
        author: &Signature,
    ) -> Result<ObjectId, GitError> {
        let (name, email, time) = (author.clean_name(), author.clean_email(), author.raw_time());
        let call = Call::new(["commit-tree", tree.as_str(), "-p", parent.as_str(), "-F", "-"])
            .git_dir(&self.folder)
            .environment("GIT_AUTHOR_NAME", &name)
            .environment("GIT_AUTHOR_EMAIL", &email)
            .environment("GIT_AUTHOR_DATE", &time)
            .environment("GIT_COMMITTER_NAME", &name)
            .environment("GIT_COMMITTER_EMAIL", &email)
            .environment("GIT_COMMITTER_DATE", &time);
        let output = self
            .store
            .git()
            .run_with_input(call, message.as_str().as_bytes())
            .await?;
        let commit = output.lines().next().and_then(|line| line.parse().ok());
        commit.ok_or_else(|| GitError::internal("commit-tree", "its answer is not an object id"))
    }

    /// Returns whether a commit is here or in the mirror.
    pub async fn has_commit(&self, commit: &ObjectId) -> Result<bool, GitError> {
        let call = Call::new(["cat-file", "-e"])
            .arg(format!("{commit}^{{commit}}"))
            .git_dir(&self.folder);
        Ok(self.store.git().attempt(call, &[]).await?.status.success())
    }

    /// Returns the tree of a commit that is here or in the mirror.
    pub async fn tree_of(&self, commit: &ObjectId) -> Result<ObjectId, GitError> {
        self.store.tree_of(&self.folder, commit).await
    }

    /// Packs the base commit with all of its files and none of its history, piece by piece.
    ///
    /// Ends early, and well, when nobody takes the pieces any more.
    pub async fn pack_base(&self, piece_bytes: usize, pieces: mpsc::Sender<Vec<u8>>) -> Result<(), GitError> {
        let call = Call::new(["pack-objects", "--revs", "--stdout", "--quiet", "--delta-base-offset"])
            .git_dir(&self.folder)
            .timeout(self.store.limits().fetch_timeout);
        let commit = &self.mirror.commit;
        let wanted = format!("--shallow {commit}\n{commit}\n");
        let pump = async |mut stdin: ChildStdin, mut stdout: ChildStdout| {
            let asked = stdin.write_all(wanted.as_bytes()).await;
            drop(stdin);
            if let Err(error) = asked {
                return (Err(error), Then::Kill);
            }
            loop {
                let mut piece = Vec::with_capacity(piece_bytes);
                match (&mut stdout).take(piece_bytes as u64).read_to_end(&mut piece).await {
                    Ok(0) => return (Ok(()), Then::Wait),
                    Ok(_) if pieces.send(piece).await.is_err() => return (Ok(()), Then::Kill),
                    Ok(_) => {}
                    Err(error) => return (Err(error), Then::Kill),
                }
            }
        };
        let (pumped, status, stderr) = self.store.git().drive(call, pump).await?;
        pumped.map_err(|error| GitError::internal("pack-objects", error))?;
        if status.success() || pieces.is_closed() {
            Ok(())
        } else {
            Err(GitError::internal("pack-objects", format!("{stderr} ({status})")))
        }
    }

    /// Packs the objects that a tree has and the base has not, for a sandbox that lost them.
    pub async fn pack_tree(&self, tree: &ObjectId) -> Result<Vec<u8>, GitError> {
        let call = Call::new(["pack-objects", "--revs", "--stdout", "--quiet", "--delta-base-offset"])
            .git_dir(&self.folder)
            .stdout_bytes(usize::try_from(self.store.limits().delivery_bytes).unwrap_or(usize::MAX));
        let wanted = format!("{tree}\n^{}\n", self.mirror.tree);
        let output = self.store.git().run_with_input(call, wanted.as_bytes()).await?;
        if output.truncated {
            return Err(GitError::TooLarge {
                what: "the saved change is too large to be restored".into(),
            });
        }
        Ok(output.stdout)
    }
}

/// Reads a delivery's first line; returns the tree and the bytes that came with the line.
async fn read_header(
    format: ObjectFormat,
    delivery: &mut (impl Stream<Item = Bytes> + Unpin + Send),
) -> Result<(ObjectId, Bytes), GitError> {
    let mut head = Vec::new();
    let end = loop {
        if let Some(end) = head.iter().position(|byte| *byte == b'\n') {
            break end;
        }
        match delivery.next().await {
            Some(chunk) if head.len() < MAX_HEADER_BYTES => head.extend_from_slice(&chunk),
            _ => {
                return Err(GitError::Hostile {
                    message: "it does not begin with its tree".into(),
                });
            }
        }
    };
    let line = head.get(..end).and_then(|line| std::str::from_utf8(line).ok());
    let tree = line
        .and_then(|line| line.strip_prefix("tree "))
        .and_then(|id| id.parse().ok());
    match tree {
        Some(tree) if ObjectFormat::of(&tree) == format => {
            let rest = head.get(end + 1..).unwrap_or_default();
            Ok((tree, Bytes::copy_from_slice(rest)))
        }
        _ => Err(GitError::Hostile {
            message: "it does not begin with its tree".into(),
        }),
    }
}
