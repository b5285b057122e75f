//! The work tree of a Task: from the mirror into a sandbox, and out again as checked objects.
//!
//! Git runs inside the sandbox, by scripts of ours, one exec each; out comes a tree id and a pack,
//! which the quarantine judges. The sandbox may be in an attacker's hands: a lie from it costs its own
//! Task some work, nothing else. The agent may do to its `.git` what it likes; saving uses an index of
//! its own and makes a broken git folder anew.

use std::sync::{Arc, Mutex, PoisonError};

use crate::forge::git::{CommitMessage, GitError, Known, Quarantine, Signature};
use crate::orchestrator::workspace::script::{PIECE_BYTES, require_success};
use crate::sandbox::{Changes, OutputMode, Sandbox, SandboxError, WORK_TREE};
use crate::task::branch::BranchName;
use crate::task::id::{ObjectId, Timestamp};
use crate::task::record::Checkpoint;

pub use crate::orchestrator::workspace::rebase::Rebased;

mod rebase;
mod script;

const CHECKOUT: &str = concat!(
    include_str!("workspace/repository.sh"),
    include_str!("workspace/checkout.sh"),
    include_str!("workspace/start.sh")
);
const SAVE: &str = concat!(
    include_str!("workspace/repository.sh"),
    include_str!("workspace/save.sh")
);
const RESTORE: &str = include_str!("workspace/restore.sh");
const SETTLE: &str = include_str!("workspace/settle.sh");
const RESET: &str = include_str!("workspace/reset.sh");

/// Names the files that are over a size; shown when a save is refused for it.
const NAME_LARGE_FILES: &str =
    r#"cd "$1" && find . -xdev -path ./.git -prune -o -type f -size "+$8c" -print | head -n 10"#;

/// What can go wrong with a work tree.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// The sandbox failed or was lost.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// Git failed, or refused what came out.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The change has files that are too large to be kept. The agent can do something about it.
    #[error("the work tree could not be saved: {message}")]
    TooLarge {
        /// Which files, and what to do; the names are untrusted.
        message: String,
    },
    /// A script of ours failed inside the sandbox.
    #[error("the work tree could not be {what}: {message}")]
    Script {
        /// E.g. `checked out`, `saved`, `restored`.
        what: &'static str,
        /// What it said; untrusted.
        message: String,
    },
}

/// A Task's work tree in its sandbox.
#[derive(Clone)]
pub struct Workspace {
    sandbox: Arc<dyn Sandbox>,
    quarantine: Quarantine,
    /// What a checkout already differs by (line ends, encodings), so that it is not taken for a change.
    start_tree: Option<ObjectId>,
    /// The tree that the last finished save found, `None` while one is under way: the sandbox tells of a change
    /// once, but a save may be dropped after that, and what it returned may be dropped before it is recorded.
    found: Arc<Mutex<Option<ObjectId>>>,
}

impl Workspace {
    /// Checks the base commit out into an empty work tree, on a branch of the base branch's name.
    ///
    /// Where the sandbox is not shown the mirror's objects, those of the base commit are sent, without history.
    pub async fn materialize(
        sandbox: Arc<dyn Sandbox>,
        quarantine: Quarantine,
        branch: &BranchName,
    ) -> Result<Self, WorkspaceError> {
        let mut workspace = Self::over_checkout(sandbox, quarantine);
        let arguments = workspace.common_arguments(branch.as_str());
        let (accepted, report, words) = workspace.deliver(CHECKOUT, &arguments, Known::Base).await?;
        require_success("checked out", &report, &words)?;
        workspace.start_tree = accepted?;
        if let Some(tree) = &workspace.start_tree {
            workspace.quarantine.remember_start(tree).await?;
        }
        // What is there now is the base: the first save looks for what differs from it.
        workspace.sandbox.changes().await?;
        let (_, base_tree) = workspace.quarantine.base();
        workspace.set_found(Some(base_tree.clone()));
        Ok(workspace)
    }

    /// Takes over a work tree that lies over the kept checkout of the same commit and branch, by
    /// `materialize` and `settle`.
    pub fn over_checkout(sandbox: Arc<dyn Sandbox>, quarantine: Quarantine) -> Self {
        Self {
            sandbox,
            quarantine,
            start_tree: None,
            found: Arc::default(),
        }
    }

    /// Makes a fresh checkout fit to be kept: git will not have to read its files again. Takes up to a second.
    pub async fn settle(&self) -> Result<(), WorkspaceError> {
        let spec = self.script(SETTLE, &[WORK_TREE.into()], OutputMode::Captured);
        let report = self.sandbox.exec(spec, None).await?;
        require_success("settled", &report, &report.output)
    }

    /// Tells whether the checkout itself differs from the base.
    pub fn has_phantoms(&self) -> bool {
        self.start_tree.is_some()
    }

    /// Enters a work tree that is there, after a restart.
    pub async fn reenter(sandbox: Arc<dyn Sandbox>, quarantine: Quarantine) -> Result<Self, WorkspaceError> {
        let start_tree = quarantine.start_tree().await?;
        Ok(Self {
            sandbox,
            quarantine,
            start_tree,
            found: Arc::default(),
        })
    }

    /// Returns the quarantine, for diffs and publication.
    pub fn quarantine(&self) -> &Quarantine {
        &self.quarantine
    }

    /// Saves the work tree outside, as a checkpoint, unless it is what `last` holds (or the base).
    ///
    /// Safe to drop at any await, and so is what it returns: the next save, which is told what was recorded, starts
    /// over then.
    pub async fn save(&self, last: Option<&Checkpoint>, turn: u32) -> Result<Option<Checkpoint>, WorkspaceError> {
        let (_, base_tree) = self.quarantine.base();
        let known = last.map_or(base_tree, |last| &last.tree);
        let found = self.set_found(None);
        let saved = if self.sandbox.changes().await? == Changes::None && found.as_ref() == Some(known) {
            None
        } else {
            self.save_changed(known, turn).await?
        };
        self.set_found(Some(saved.as_ref().map_or(known, |saved| &saved.tree).clone()));
        Ok(saved)
    }

    /// Sets what the last finished save found, and returns what it was before.
    fn set_found(&self, tree: Option<ObjectId>) -> Option<ObjectId> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut found, tree)
    }

    async fn save_changed(&self, known: &ObjectId, turn: u32) -> Result<Option<Checkpoint>, WorkspaceError> {
        let mut arguments = self.common_arguments("");
        arguments.push(known.to_string());
        let (accepted, report, words) = self.deliver(SAVE, &arguments, Known::Tree(known)).await?;
        let accepted = match accepted {
            Err(GitError::TooLarge { what }) => return Err(self.name_large_files(what).await),
            accepted => accepted,
        };
        require_success("saved", &report, &words)?;
        let Some(tree) = accepted? else {
            return Ok(None);
        };
        let tree = self.without_phantoms(tree).await?;
        if tree == *known {
            return Ok(None);
        }
        let commit = self.keep(&tree).await?;
        Ok(Some(Checkpoint { commit, tree, turn }))
    }

    /// Brings a checkpoint's tree into the sandbox, over whatever its work tree has. Files that git does not know
    /// stay.
    pub async fn restore(&self, checkpoint: &Checkpoint) -> Result<(), WorkspaceError> {
        let pack = self.quarantine.pack_tree(&checkpoint.tree).await?;
        for (number, piece) in pack.chunks(PIECE_BYTES).enumerate() {
            self.write_piece(".git/backspace/restore", number, piece).await?;
        }
        let mut arguments = self.common_arguments("");
        arguments.push(checkpoint.tree.to_string());
        let report = self
            .sandbox
            .exec(self.script(RESTORE, &arguments, OutputMode::Captured), None)
            .await?;
        require_success("restored", &report, &report.output)?;
        self.sandbox.changes().await?;
        Ok(())
    }

    /// Says which files made a save too large, so that the agent can remove them or have git ignore them.
    async fn name_large_files(&self, what: String) -> WorkspaceError {
        let mut arguments = self.common_arguments("");
        arguments.push(String::new());
        arguments.push(self.quarantine.store().limits().file_bytes.to_string());
        let spec = self.script(NAME_LARGE_FILES, &arguments, OutputMode::Captured);
        let names = match self.sandbox.exec(spec, None).await {
            Ok(report) => report.output,
            Err(error) => return error.into(),
        };
        let names: Vec<String> = String::from_utf8_lossy(&names)
            .lines()
            .map(|name| name.chars().filter(|character| !character.is_control()).collect())
            .collect();
        let hint = "remove what does not belong into the repository, or add it to .gitignore";
        let message = if names.is_empty() {
            format!("{what}; {hint}")
        } else {
            format!("{what}: {}; {hint}", names.join(", "))
        };
        WorkspaceError::TooLarge { message }
    }

    /// Brings the work tree back to what was saved last. Files that git ignores stay.
    pub async fn reset(&self) -> Result<(), WorkspaceError> {
        let report = self
            .sandbox
            .exec(
                self.script(RESET, &self.common_arguments(""), OutputMode::Captured),
                None,
            )
            .await?;
        require_success("reset", &report, &report.output)
    }

    /// Makes a commit of a tree, so that the quarantine has a name for it.
    async fn keep(&self, tree: &ObjectId) -> Result<ObjectId, GitError> {
        let author = Signature {
            name: "Backspace".into(),
            email: "backspace@localhost".into(),
            time: Timestamp(0),
        };
        let message = CommitMessage::new("Checkpoint", "", None);
        let (base, _) = self.quarantine.base();
        self.quarantine.commit_tree(base, tree, &message, &author).await
    }

    /// Takes out of a tree what the checkout alone had changed.
    async fn without_phantoms(&self, tree: ObjectId) -> Result<ObjectId, GitError> {
        match &self.start_tree {
            Some(start_tree) => self.quarantine.without_phantoms(start_tree, &tree).await,
            None => Ok(tree),
        }
    }
}
