//! Makes a sandbox to its end even when the caller goes away, and then removes it.
//!
//! Half a sandbox is what nobody would find: making is a job, and who waits for it is only told.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Sandbox, SandboxError};
use crate::jobs::Jobs;

/// What making gives; nothing when there is nothing to enter again.
pub(super) type Made = Result<Option<Arc<dyn Sandbox>>, SandboxError>;

/// Runs work that makes a sandbox. Safe to drop: the sandbox is destroyed then.
pub(super) async fn to_the_end(jobs: &Jobs, work: impl Future<Output = Made> + Send + 'static) -> Made {
    let (sender, receiver) = oneshot::channel();
    jobs.spawn("make a sandbox", async move {
        if let Err(Ok(Some(sandbox))) = sender.send(work.await)
            && let Err(error) = sandbox.destroy().await
        {
            tracing::warn!(sandbox.id = %sandbox.id(), %error, "a sandbox nobody waited for was not removed");
        }
    });
    receiver.await.map_err(|_| SandboxError::Internal {
        message: "the job that makes a sandbox ended early".into(),
    })?
}
