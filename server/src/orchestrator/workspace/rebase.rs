//! A saved change on top of another commit, done by git inside the sandbox.
//!
//! In two steps, so that the checks can be tried on the new base between them. Until the second has
//! succeeded nothing is lost: `Workspace::restore` of the former workspace brings back what was saved.

use crate::forge::git::{Known, Quarantine};
use crate::orchestrator::workspace::script::require_success;
use crate::orchestrator::workspace::{Workspace, WorkspaceError};
use crate::task::id::ObjectId;
use crate::task::record::Checkpoint;

const ONTO: &str = concat!(
    include_str!("repository.sh"),
    include_str!("onto.sh"),
    include_str!("start.sh")
);
const REAPPLY: &str = include_str!("reapply.sh");

/// Exit status of `reapply.sh` when the changes contradict each other.
const CONFLICT: i32 = 3;

/// What became of an attempt to stand on another commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rebased {
    /// The work tree is the new base with the change; save (with no last checkpoint) and verify it anew.
    Clean,
    /// The changes contradict each other in these files (untrusted names).
    Conflicts(Vec<String>),
}

impl Workspace {
    /// Makes the work tree that of another commit of the repository, and returns the workspace over it. Files that git ignores stay.
    ///
    /// `onto` is the Task's quarantine over the mirror at that commit, `mine` what was saved last.
    pub async fn stand_on(&self, mine: &Checkpoint, onto: Quarantine) -> Result<Self, WorkspaceError> {
        self.set_found(None);
        let mut there = Self {
            quarantine: onto,
            start_tree: None,
            ..self.clone()
        };
        let mut arguments = there.common_arguments("");
        arguments.push(mine.tree.to_string());
        let (accepted, report, words) = there.deliver(ONTO, &arguments, Known::Base).await?;
        require_success("put on another commit", &report, &words)?;
        there.start_tree = accepted?;
        if let Some(tree) = &there.start_tree {
            there.quarantine.remember_start(tree).await?;
        }
        Ok(there)
    }

    /// Puts a saved change, made on the commit `base`, on top of the commit that the work tree is at.
    pub async fn reapply(&self, mine: &Checkpoint, base: &ObjectId) -> Result<Rebased, WorkspaceError> {
        let mut arguments = self.common_arguments("");
        arguments.extend([mine.tree.to_string(), base.to_string()]);
        let (report, names, words) = self.listen(REAPPLY, &arguments).await?;
        if report.exit_code == Some(CONFLICT) {
            let names = String::from_utf8_lossy(&names).lines().map(Into::into).collect();
            return Ok(Rebased::Conflicts(names));
        }
        require_success("put on top of another commit", &report, &words)?;
        Ok(Rebased::Clean)
    }
}
