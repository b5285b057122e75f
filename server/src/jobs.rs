//! The one place that spawns: a name, a span, a tracker, and panics that are seen.
//!
//! A panic in a job is logged and ends that job alone; whoever holds its handle decides what that
//! means (for a run: the Task fails). On shutdown the tokens are cancelled and the tracker waited for.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

/// Spawns and tracks the jobs of one server. Clones share one tracker.
#[derive(Clone, Debug, Default)]
pub struct Jobs {
    tracker: TaskTracker,
    token: CancellationToken,
}

impl Jobs {
    /// Makes an empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Spawns a job in the current span. The handle's error means that the job panicked or the runtime ended.
    pub fn spawn<F>(&self, name: &'static str, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let span = tracing::debug_span!("job", job = name);
        #[expect(clippy::disallowed_methods, reason = "this is the one place that spawns")]
        tokio::spawn(self.tracker.track_future(future).instrument(span))
    }

    /// Spawns blocking work on the pool for it.
    pub fn spawn_blocking<F, R>(&self, work: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.tracker.spawn_blocking(work)
    }

    /// Returns a token that is cancelled when the server stops.
    pub fn child_token(&self) -> CancellationToken {
        self.token.child_token()
    }

    /// Cancels all tokens, waits for the jobs at most `deadline`, and returns whether all ended.
    pub async fn shutdown(&self, deadline: Duration) -> bool {
        self.token.cancel();
        self.tracker.close();
        tokio::time::timeout(deadline, self.tracker.wait()).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn shutdown_waits_for_jobs_that_obey_and_reports_those_that_do_not() {
        let jobs = Jobs::new();
        let token = jobs.child_token();
        let obedient = jobs.spawn("obedient", async move { token.cancelled().await });
        assert!(jobs.shutdown(Duration::from_secs(5)).await);
        obedient.await.unwrap();

        let jobs = Jobs::new();
        let _deaf = jobs.spawn("deaf", std::future::pending::<()>());
        assert!(!jobs.shutdown(Duration::from_millis(10)).await);
    }

    #[tokio::test]
    async fn a_panic_ends_its_own_job_only() {
        let jobs = Jobs::new();
        let broken = jobs.spawn("broken", async { panic!("on purpose") });
        assert!(broken.await.unwrap_err().is_panic());
        assert_eq!(jobs.spawn("whole", async { 7 }).await.unwrap(), 7);
    }
}
