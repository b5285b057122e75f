//! The forge as one run uses it: with credentials that are the run's alone and end with it.
//!
//! It is opened when it is first needed, because many runs of a Task that waits never need one. A server
//! that dies can't end them; they then end by themselves.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::forge::{Access, Forge};
use crate::orchestrator::Parts;
use crate::task::spec::{PublicationMode, TaskSpec};

/// Longest time to end a run's credentials; a server that stops has little.
const CLOSE_TIME: Duration = Duration::from_secs(5);

/// A run's forge.
#[derive(Default)]
pub(super) struct Session {
    forge: OnceLock<Arc<dyn Forge>>,
}

impl Session {
    /// Returns the forge of a Task's repository; `None` where the server has none for it.
    pub(super) fn forge(&self, parts: &Parts, spec: &TaskSpec) -> Option<Arc<dyn Forge>> {
        let forge = parts.forge(&spec.repository)?;
        let open = || Arc::clone(forge).session(access(spec));
        Some(Arc::clone(self.forge.get_or_init(open)))
    }

    /// Ends the credentials.
    pub(super) async fn close(&self) {
        let Some(forge) = self.forge.get() else { return };
        if tokio::time::timeout(CLOSE_TIME, forge.close()).await.is_err() {
            tracing::info!("the forge did not answer when the run's credentials were to be ended");
        }
    }
}

/// Returns what a Task means to do with its repository.
pub(super) fn access(spec: &TaskSpec) -> Access {
    match spec.publication.mode {
        PublicationMode::PatchOnly => Access::Read,
        PublicationMode::PullRequest | PublicationMode::DraftPullRequest | PublicationMode::BranchOnly => Access::Push,
    }
}
