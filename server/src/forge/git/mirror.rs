//! Mirrors: bare copies of repositories that Tasks start from, one for each repository and credential.
//!
//! A mirror holds base branches and commits that were named, never every ref: `refs/pull/*` of a big
//! project is larger than the project. Its objects are shown to sandboxes, so nothing is ever removed
//! while one may use it, and a mirror is never shared between credentials.

use std::path::{Path, PathBuf};

use crate::forge::GitRemote;
use crate::forge::git::GitStore;
use crate::forge::git::command::{Call, Reach};
use crate::forge::git::error::GitError;
use crate::forge::git::remote::key;
use crate::forge::git::repository::{ObjectFormat, create_bare, write_atomically};
use crate::forge::git::tidy::note_use;
use crate::task::branch::BranchName;
use crate::task::id::ObjectId;

/// Faults of old but harmless history, which a fetch lets pass.
const TOLERATED: [&str; 11] = [
    "badDate",
    "badEmail",
    "badName",
    "badTimezone",
    "missingEmail",
    "missingNameBeforeEmail",
    "missingSpaceBeforeDate",
    "missingSpaceBeforeEmail",
    "multipleAuthors",
    "zeroPaddedDate",
    "zeroPaddedFilemode",
];

/// A commit in a mirror, checked against the limits on trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// The bare repository.
    pub folder: PathBuf,
    /// Its objects, to be shown read-only to a sandbox.
    pub objects: PathBuf,
    /// The commit asked for.
    pub commit: ObjectId,
    /// Its tree.
    pub tree: ObjectId,
    /// Files and folders of the tree.
    pub entries: u64,
    /// Bytes of its files, once checked out.
    pub bytes: u64,
    /// Hash function.
    pub format: ObjectFormat,
}

impl GitStore {
    /// Brings a branch's tip, or a commit when one is named, into the repository's mirror.
    ///
    /// With nothing new it costs one look at the remote; a named commit that is there costs nothing.
    /// Safe to drop at any await.
    pub async fn fetch_mirror(
        &self,
        remote: &GitRemote,
        branch: &BranchName,
        commit: Option<&ObjectId>,
    ) -> Result<Mirror, GitError> {
        let mirror_key = key(&remote.mirror_key);
        let folder = self.mirror_folder(&mirror_key);
        let _lock = self.lock_mirror(&mirror_key).await;
        if let Some(mirror) = commit.and_then(|commit| checked(&folder, commit)) {
            note_use(&folder);
            return Ok(mirror);
        }
        let tip = self.tip(remote, branch).await?;
        let wanted = commit.unwrap_or(&tip);
        if let Some(mirror) = checked(&folder, wanted) {
            note_use(&folder);
            return Ok(mirror);
        }
        let failed = |error| GitError::internal("mirror", error);
        create_bare(&folder, ObjectFormat::of(&tip), None).map_err(failed)?;
        note_use(&folder);
        let reach = self.reach(remote)?;
        // The name of the ref is ours: branch names of the remote may contradict those of yesterday.
        let branch_ref = format!("+{}:refs/heads/{}", branch.to_ref(), key(branch.as_str()));
        self.fetch(&folder, &reach, remote, &branch_ref).await?;
        if self.tree_of(&folder, wanted).await.is_err() {
            let commit_ref = format!("+{wanted}:refs/named/{wanted}");
            self.fetch(&folder, &reach, remote, &commit_ref).await?;
        }
        let tree = self.tree_of(&folder, wanted).await.map_err(|_| GitError::NotFound {
            what: format!("commit {wanted}"),
        })?;
        let size = self.check_tree(&folder, &tree).await?;
        let record = format!("{tree} {} {}\n", size.entries, size.bytes);
        std::fs::create_dir_all(folder.join("checked")).map_err(failed)?;
        write_atomically(&folder.join("checked").join(wanted.as_str()), record.as_bytes()).map_err(failed)?;
        checked(&folder, wanted).ok_or_else(|| GitError::internal("mirror", "its record can't be read"))
    }

    /// Reads a file of the mirror's commit as data; `None` when it is not there, or is longer.
    pub async fn file_at(&self, mirror: &Mirror, path: &str, most_bytes: usize) -> Result<Option<Vec<u8>>, GitError> {
        let call = Call::new(["cat-file", "blob"])
            .arg(format!("{}:{path}", mirror.commit))
            .git_dir(&mirror.folder)
            .stdout_bytes(most_bytes);
        let output = self.git().attempt(call, &[]).await?;
        Ok((output.status.success() && !output.truncated).then_some(output.stdout))
    }

    async fn tip(&self, remote: &GitRemote, branch: &BranchName) -> Result<ObjectId, GitError> {
        if let Some(tip) = self.remote_head(remote, branch).await? {
            return Ok(tip);
        }
        if self.remote_refs(remote, &[]).await?.refs.is_empty() {
            return Err(GitError::Empty);
        }
        Err(GitError::NotFound {
            what: format!("branch {branch}"),
        })
    }

    async fn fetch(&self, folder: &Path, reach: &Reach, remote: &GitRemote, refspec: &str) -> Result<(), GitError> {
        let mut arguments = vec!["-c".to_owned(), "fetch.fsckObjects=true".into()];
        for fault in TOLERATED {
            arguments.extend(["-c".into(), format!("fetch.fsck.{fault}=ignore")]);
        }
        let options =
            "fetch --quiet --no-tags --no-write-fetch-head --no-auto-maintenance --no-recurse-submodules --refmap=";
        arguments.extend(options.split(' ').map(Into::into));
        arguments.extend(["--".into(), remote.url.clone(), refspec.into()]);
        let limits = self.limits();
        let call = Call::new(arguments)
            .named("fetch")
            .git_dir(folder)
            .reach(reach.clone())
            .file_bytes(limits.mirror_bytes)
            .timeout(limits.fetch_timeout);
        let output = self.git().attempt(call, &[]).await?;
        // A ref of a shallow repository is left out with a warning and success.
        let is_shallow = output.stderr.contains("shallow roots are not allowed");
        if output.status.success() && !is_shallow {
            return Ok(());
        }
        if remove_leftovers(folder) >= limits.mirror_bytes {
            return Err(GitError::TooLarge {
                what: format!(
                    "the repository is larger than this server takes ({} MiB)",
                    limits.mirror_bytes >> 20
                ),
            });
        }
        if output.stderr.contains("fsck error") {
            return Err(GitError::Refused {
                remote: reach.name.clone(),
                message: format!("its history has objects that git considers harmful: {}", output.stderr),
            });
        }
        Err(GitError::from_remote(&reach.name, &output.stderr))
    }

    /// Returns the tree of a commit.
    pub(crate) async fn tree_of(&self, git_dir: &Path, commit: &ObjectId) -> Result<ObjectId, GitError> {
        let call = Call::new(["rev-parse", "--verify", "--quiet", "--end-of-options"])
            .arg(format!("{commit}^{{commit}}^{{tree}}"))
            .git_dir(git_dir);
        let output = self.git().run(call).await?;
        let tree = output.lines().next().and_then(|line| line.parse().ok());
        tree.ok_or_else(|| GitError::internal("rev-parse", "its answer is not an object id"))
    }
}

/// Removes what a fetch that failed has left; returns the size of the largest. The caller holds the lock.
pub(crate) fn remove_leftovers(folder: &Path) -> u64 {
    let mut largest = 0;
    let entries = std::fs::read_dir(folder.join("objects/pack")).into_iter().flatten();
    for entry in entries.flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(b"tmp_") {
            let size = entry.metadata().map_or(0, |metadata| metadata.len());
            largest = largest.max(size);
            let _ = std::fs::remove_file(entry.path());
        }
    }
    largest
}

/// Reads the record that a commit was fetched and checked.
fn checked(folder: &Path, commit: &ObjectId) -> Option<Mirror> {
    let record = std::fs::read_to_string(folder.join("checked").join(commit.as_str())).ok()?;
    let mut fields = record.split_whitespace();
    let (tree, entries, bytes) = (fields.next()?, fields.next()?, fields.next()?);
    Some(Mirror {
        folder: folder.into(),
        objects: folder.join("objects"),
        commit: commit.clone(),
        tree: tree.parse().ok()?,
        entries: entries.parse().ok()?,
        bytes: bytes.parse().ok()?,
        format: ObjectFormat::of(commit),
    })
}
