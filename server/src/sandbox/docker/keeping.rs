//! The end of a sandbox whose volumes are kept: they are noted first, so that no sweep takes them, and used when it is gone.

use std::sync::Arc;

use super::container::Maker;
use super::kept::{Held, Kept};
use super::volumes::{self, Purpose};
use crate::sandbox::{KeptSetup, Sandbox, SandboxError};

impl Maker {
    /// Ends a sandbox whose work tree may be kept, and keeps it under a key, unless there is one; nothing when it may
    /// not.
    pub(super) async fn keep_checkout(
        &self,
        sandbox: &Arc<dyn Sandbox>,
        key: &str,
        bytes: u64,
    ) -> Result<Option<String>, SandboxError> {
        let held = Held {
            tree: volumes::name(sandbox.id(), Purpose::Tree),
            home: None,
        };
        if !self.checkouts.are_usable() {
            return Ok(None);
        }
        let kept = self.keep(&self.checkouts, sandbox, key, held, bytes).await?;
        Ok(kept.map(|held| held.tree))
    }

    /// Ends a sandbox and keeps what its set-up commands left, in the same way.
    pub(super) async fn keep_setup(
        &self,
        sandbox: &Arc<dyn Sandbox>,
        key: &str,
        note: &str,
        bytes: u64,
    ) -> Result<Option<KeptSetup>, SandboxError> {
        let home = volumes::name(sandbox.id(), Purpose::Home);
        let held = Held {
            tree: volumes::name(sandbox.id(), Purpose::Tree),
            home: Some((home, note.replace('\n', " "))),
        };
        if !self.setups.has_room(bytes) {
            return Ok(None);
        }
        let kept = self.keep(&self.setups, sandbox, key, held, bytes).await?;
        Ok(kept.and_then(setup_of))
    }

    async fn keep(
        &self,
        all: &Kept,
        sandbox: &Arc<dyn Sandbox>,
        key: &str,
        held: Held,
        bytes: u64,
    ) -> Result<Option<Held>, SandboxError> {
        for volume in held.volumes() {
            if self.volumes.find(volume).await?.is_none() {
                return Ok(None);
            }
        }
        let _keeping = all.keeping().await;
        // Another Task may have kept the same meanwhile, and others' folders may lie over that already.
        if let Some(kept) = all.find(key).await {
            sandbox.destroy().await?;
            for volume in held.volumes() {
                self.volumes.remove(volume).await?;
            }
            return Ok(Some(kept));
        }
        all.note(key, &held, bytes)?;
        sandbox.destroy().await?;
        all.made(key)?;
        Ok(Some(held))
    }

    /// Returns what is kept of a set-up under a key.
    pub(super) async fn setup(&self, key: &str) -> Option<KeptSetup> {
        self.setups.find(key).await.and_then(setup_of)
    }
}

fn setup_of(held: Held) -> Option<KeptSetup> {
    let (home, note) = held.home?;
    Some(KeptSetup {
        work_tree: held.tree.into(),
        home: home.into(),
        note,
    })
}
