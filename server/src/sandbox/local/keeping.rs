//! The end of a sandbox whose folders are kept: it is dead before they are moved, and they are moved before it is removed.
//!
//! Only a sandbox with its folders outside an image can be kept, since nothing can be moved out of one by a rename.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::super::supervised::Lifecycle as _;
use super::super::{KeptSetup, Sandbox, SandboxError};
use super::folder::Folder;
use super::kept::{KEPT_HOME, Kept, Left};
use super::running::Maker;
use crate::task::id::SandboxId;

impl Maker {
    /// Ends a sandbox and keeps its work tree as a checkout.
    pub(super) async fn keep_checkout(
        &self,
        sandbox: &Arc<dyn Sandbox>,
        key: &str,
        bytes: u64,
    ) -> Result<PathBuf, SandboxError> {
        self.keep(sandbox, |folder| {
            let left = Left {
                work_tree: &folder.work(),
                home: None,
                bytes,
            };
            self.checkouts.take(key, &left)
        })
        .await
    }

    /// Ends a sandbox and keeps what its set-up commands left.
    pub(super) async fn keep_setup(
        &self,
        sandbox: &Arc<dyn Sandbox>,
        key: &str,
        note: &str,
        bytes: u64,
    ) -> Result<KeptSetup, SandboxError> {
        let take = |folder: &Folder| {
            let left = Left {
                work_tree: &folder.work(),
                home: Some((&folder.home(), note)),
                bytes,
            };
            self.setups.take(key, &left)
        };
        let tree = self.keep(sandbox, take).await?;
        kept_setup(tree).ok_or_else(|| SandboxError::Unavailable {
            message: format!("what was kept of a set-up under {key} has no note"),
        })
    }

    async fn keep(
        &self,
        sandbox: &Arc<dyn Sandbox>,
        take: impl FnOnce(&Folder) -> io::Result<PathBuf> + Send,
    ) -> Result<PathBuf, SandboxError> {
        let id = sandbox.id();
        let failed = |error: io::Error| SandboxError::Unavailable {
            message: format!("keep the folders of sandbox {id}: {error}"),
        };
        sandbox.detach().await;
        let folder = self.folders.of(id);
        folder.wait_until_dead().await?;
        let owner = folder.command_id().map_err(failed)?;
        let life = self.life(id, folder.clone(), self.host_ids.take_again(owner)?);
        let kept = take(&folder).map_err(failed);
        life.destroy().await?;
        kept
    }

    /// Returns what is kept of a set-up under a key.
    pub(super) fn setup(&self, key: &str) -> Option<KeptSetup> {
        self.setups.find(key).and_then(kept_setup)
    }

    /// Tells whether the work tree of a sandbox can become a checkout.
    pub(super) fn can_keep_checkout(&self, id: SandboxId) -> bool {
        self.checkouts.are_usable() && self.folders.of(id).image().is_none()
    }

    /// Tells whether the folders of a sandbox, of that many bytes, can be kept as what set-up commands left.
    pub(super) fn can_keep_setup(&self, id: SandboxId, bytes: u64) -> bool {
        self.setups.has_room(bytes) && self.folders.of(id).home().is_dir()
    }

    /// Removes what is over its size and under no sandbox.
    pub(super) async fn evict(&self) -> Result<(), SandboxError> {
        let (ids, _) = self.folders.list().map_err(|error| SandboxError::Internal {
            message: format!("list sandboxes: {error}"),
        })?;
        let folders = ids.into_iter().map(|id| self.folders.of(id));
        let in_use: HashSet<_> = folders
            .flat_map(|folder| [folder.checkout(), folder.setup()])
            .flatten()
            .collect();
        self.checkouts.evict(&in_use).await?;
        self.setups.evict(&in_use).await
    }
}

fn kept_setup(work_tree: PathBuf) -> Option<KeptSetup> {
    Some(KeptSetup {
        home: work_tree.with_file_name(KEPT_HOME),
        note: Kept::note(&work_tree)?,
        work_tree,
    })
}
