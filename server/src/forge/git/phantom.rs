//! Changes that nobody made: files that attributes (line ends, encodings) make differ from the base as
//! soon as they are checked out.
//!
//! What a fresh checkout differs by is remembered as a tree. Later, every file that is still as that
//! checkout had it is given its base content back, by plumbing on an index of its own.

use std::collections::HashSet;

use crate::forge::git::command::Call;
use crate::forge::git::diff::{ChangedFile, DiffRequest};
use crate::forge::git::error::GitError;
use crate::forge::git::quarantine::Quarantine;
use crate::forge::git::repository::write_atomically;
use crate::task::id::ObjectId;

/// File of the quarantine that holds the id, with the base commit behind it: a rebase makes another.
const START: &str = "start-tree-";

impl Quarantine {
    /// Remembers the tree that a fresh checkout of the base has, across restarts.
    pub async fn remember_start(&self, tree: &ObjectId) -> Result<(), GitError> {
        write_atomically(&self.start_file(), tree.as_str().as_bytes())
            .map_err(|error| GitError::internal("start tree", error))
    }

    /// Returns the remembered tree.
    pub async fn start_tree(&self) -> Result<Option<ObjectId>, GitError> {
        match tokio::fs::read_to_string(self.start_file()).await {
            Ok(text) => text
                .trim()
                .parse()
                .map(Some)
                .map_err(|error| GitError::internal("start tree", error)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(GitError::internal("start tree", error)),
        }
    }

    fn start_file(&self) -> std::path::PathBuf {
        let (commit, _) = self.base();
        self.folder().join(format!("{START}{commit}"))
    }

    /// Returns `tree` with every file that is as in `start_tree` put back to what the base has.
    pub async fn without_phantoms(&self, start_tree: &ObjectId, tree: &ObjectId) -> Result<ObjectId, GitError> {
        let (_, base_tree) = self.base();
        let (phantoms, changes) = tokio::try_join!(
            self.diff(base_tree, start_tree, DiffRequest::Files),
            self.diff(start_tree, tree, DiffRequest::Files)
        )?;
        let touched: HashSet<&[u8]> = changes
            .files
            .iter()
            .flat_map(|file| [Some(file.path.as_slice()), file.old_path.as_deref()])
            .flatten()
            .collect();
        let untouched = phantoms
            .files
            .iter()
            .filter(|file| !touched.contains(file.path.as_slice()));
        let input: Vec<u8> = untouched.filter_map(index_line).flatten().collect();
        if input.is_empty() {
            return Ok(tree.clone());
        }
        let index = tempfile::Builder::new()
            .prefix("index-")
            .tempdir_in(self.folder())
            .map_err(|error| GitError::internal("index", error))?;
        let call = |arguments: &[&str]| {
            Call::new(arguments.iter().map(|argument| (*argument).to_owned()))
                .git_dir(self.folder())
                .environment("GIT_INDEX_FILE", index.path().join("index"))
        };
        let git = self.store().git();
        git.run(call(&["read-tree", tree.as_str()])).await?;
        git.run_with_input(call(&["update-index", "-z", "--index-info"]), &input)
            .await?;
        let output = git.run(call(&["write-tree"])).await?;
        let tree = output.lines().next().and_then(|line| line.parse().ok());
        tree.ok_or_else(|| GitError::internal("write-tree", "its answer is not an object id"))
    }
}

/// A line of `update-index --index-info` that puts the former content back.
fn index_line(file: &ChangedFile) -> Option<Vec<u8>> {
    let id = file.old_id.as_ref()?;
    let mut line = format!("{:06o} {id}\t", file.old_mode).into_bytes();
    line.extend_from_slice(&file.path);
    line.push(0);
    Some(line)
}
