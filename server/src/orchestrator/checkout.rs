//! The work tree of a new sandbox: the checkout of an earlier one lies under it where the backend keeps
//! such, so that it is there at once whatever its size; else git checks out anew.
//!
//! A checkout is made by git inside a sandbox that does nothing else, and never by the host. Small trees
//! are checked out anew: that takes as long as a second sandbox does.

use std::sync::Arc;

use crate::forge::git::{Mirror, Quarantine};
use crate::metrics::{self, Lookup};
use crate::orchestrator::Parts;
use crate::orchestrator::content_key::content_key;
use crate::orchestrator::run::Halt;
use crate::orchestrator::workbench::discard;
use crate::orchestrator::workspace::Workspace;
use crate::sandbox::{KeptSetup, Sandbox, SandboxError, SandboxSpec};
use crate::task::branch::BranchName;
use crate::task::id::Timestamp;

/// Files and folders from which on a checkout is kept.
const LEAST_ENTRIES: u64 = 1_500;

/// A sandbox with the base in its work tree.
pub(super) struct Furnished {
    pub(super) sandbox: Arc<dyn Sandbox>,
    pub(super) workspace: Workspace,
    /// What set-up commands left, where it lies under the sandbox's folders.
    pub(super) setup: Option<KeptSetup>,
    /// How the base came there.
    pub(super) origin: Origin,
}

/// How the base came into a work tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// It was checked out there.
    Fresh,
    /// It lies over a kept checkout.
    Kept,
}

/// Makes a sandbox with the base in its work tree.
pub(super) async fn furnish(
    parts: &Parts,
    spec: SandboxSpec,
    mirror: &Mirror,
    quarantine: &Quarantine,
    branch: &BranchName,
) -> Result<Furnished, Halt> {
    if mirror.entries < LEAST_ENTRIES {
        return anew(parts, spec, quarantine, branch).await;
    }
    let key = key(mirror, branch);
    if let Some(furnished) = over_checkout(parts, &spec, quarantine, &key).await? {
        metrics::count_checkout(Lookup::Hit);
        return Ok(furnished);
    }
    metrics::count_checkout(Lookup::Miss);
    if keep(parts, spec.clone(), mirror, quarantine, branch, &key).await?
        && let Some(furnished) = over_checkout(parts, &spec, quarantine, &key).await?
    {
        return Ok(furnished);
    }
    anew(parts, spec, quarantine, branch).await
}

/// Checks out in a sandbox of its own and keeps the tree; false where that can't be done.
async fn keep(
    parts: &Parts,
    spec: SandboxSpec,
    mirror: &Mirror,
    quarantine: &Quarantine,
    branch: &BranchName,
    key: &str,
) -> Result<bool, Halt> {
    let spec = SandboxSpec { setup: None, ..spec };
    let unfit = format!("unfit checkout:1:{key}");
    if parts.store.recall(&unfit).await?.is_some() {
        return Ok(false);
    }
    let Some(sandbox) = parts.sandboxes.create_for_checkout(spec).await? else {
        return Ok(false);
    };
    let filled = async {
        let workspace = Workspace::materialize(Arc::clone(&sandbox), quarantine.clone(), branch).await?;
        // What attributes changed on the way is known of this checkout alone.
        if workspace.has_phantoms() {
            parts.store.remember(&unfit, "attributes", Timestamp::now()).await?;
            return Ok(false);
        }
        workspace.settle().await?;
        let kept = parts.sandboxes.keep_checkout(&sandbox, key, mirror.bytes).await?;
        Ok::<_, Halt>(kept.is_some())
    };
    let kept = filled.await;
    if !matches!(kept, Ok(true)) {
        discard(sandbox.as_ref()).await;
    }
    kept
}

/// Makes a sandbox over the checkout that is kept under a key; none when there is none, or it can't be used.
async fn over_checkout(
    parts: &Parts,
    spec: &SandboxSpec,
    quarantine: &Quarantine,
    key: &str,
) -> Result<Option<Furnished>, Halt> {
    let Some(checkout) = parts.sandboxes.checkout(key).await else {
        return Ok(None);
    };
    let spec = SandboxSpec {
        checkout: Some(checkout),
        ..spec.clone()
    };
    match create(parts, spec).await {
        Ok((sandbox, setup)) => Ok(Some(Furnished {
            workspace: Workspace::over_checkout(Arc::clone(&sandbox), quarantine.clone()),
            sandbox,
            setup,
            origin: Origin::Kept,
        })),
        Err(error @ (SandboxError::Unavailable { .. } | SandboxError::Unsupported { .. })) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a kept checkout can't be used; the work tree is checked out anew"
            );
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

async fn anew(
    parts: &Parts,
    spec: SandboxSpec,
    quarantine: &Quarantine,
    branch: &BranchName,
) -> Result<Furnished, Halt> {
    let (sandbox, setup) = create(parts, spec).await?;
    match Workspace::materialize(Arc::clone(&sandbox), quarantine.clone(), branch).await {
        Ok(workspace) => Ok(Furnished {
            sandbox,
            workspace,
            setup,
            origin: Origin::Fresh,
        }),
        Err(error) => {
            discard(sandbox.as_ref()).await;
            Err(error.into())
        }
    }
}

/// Makes a sandbox over what set-up commands left, or without it where that can't be used.
async fn create(parts: &Parts, spec: SandboxSpec) -> Result<(Arc<dyn Sandbox>, Option<KeptSetup>), SandboxError> {
    let Some(setup) = spec.setup.clone() else {
        return Ok((parts.sandboxes.create(spec).await?, None));
    };
    match parts.sandboxes.create(spec.clone()).await {
        Err(error @ (SandboxError::Unavailable { .. } | SandboxError::Unsupported { .. })) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the kept result of a set-up can't be used; its commands run again"
            );
            let spec = SandboxSpec { setup: None, ..spec };
            Ok((parts.sandboxes.create(spec).await?, None))
        }
        made => Ok((made?, Some(setup))),
    }
}

/// Returns the key of a checkout: repository and credential (the mirror's), commit and branch.
fn key(mirror: &Mirror, branch: &BranchName) -> String {
    content_key([
        mirror.folder.as_os_str().as_encoded_bytes(),
        mirror.commit.as_str().as_bytes(),
        branch.as_str().as_bytes(),
    ])
}
