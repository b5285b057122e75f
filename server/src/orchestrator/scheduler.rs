//! Run slots: claims Tasks while there is room, runs each as a job, and tells runs to stop.
//!
//! Which Task is next is the store's decision (fairness between principals has to hold over several
//! servers). The scheduler is woken by submits and ends; a slow tick is only there for leases of
//! other servers that ran out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::metrics::CountedRun;
use crate::orchestrator::Parts;
use crate::orchestrator::run::{Run, StopSignals};
use crate::store::Claim;
use crate::task::id::TaskId;

const TICK: Duration = Duration::from_secs(5);

/// How long runs have to reach a durable point when the server stops.
const DRAIN_DEADLINE: Duration = Duration::from_secs(20);

/// Gives run slots. Clones share one state.
#[derive(Clone)]
pub(super) struct Scheduler {
    inner: Arc<Inner>,
}

struct Inner {
    parts: Arc<Parts>,
    wake: Notify,
    slots: Arc<Semaphore>,
    running: Mutex<HashMap<TaskId, CancellationToken>>,
    ended: Notify,
    drain: CancellationToken,
}

impl Scheduler {
    pub(super) fn new(parts: Arc<Parts>) -> Self {
        let slots = Arc::new(Semaphore::new(parts.config.max_running));
        let inner = Inner {
            parts,
            wake: Notify::new(),
            slots,
            running: Mutex::default(),
            ended: Notify::new(),
            drain: CancellationToken::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    pub(super) fn start(&self) {
        let scheduler = self.clone();
        self.inner
            .parts
            .jobs
            .spawn("scheduler", async move { scheduler.schedule().await });
    }

    pub(super) fn wake(&self) {
        self.inner.wake.notify_one();
    }

    pub(super) fn is_draining(&self) -> bool {
        self.inner.drain.is_cancelled()
    }

    /// Tells the run of a Task that a cancel was recorded. Without a run, the next claim sees it.
    pub(super) fn cancel(&self, task: TaskId) {
        if let Some(token) = self.running().get(&task) {
            token.cancel();
        }
        self.wake();
    }

    /// Stops claiming, tells all runs to reach a durable point, and waits for them.
    pub(super) async fn drain(&self) {
        self.inner.drain.cancel();
        tracing::info!(runs = self.running().len(), "draining; no task is accepted any more");
        let all_ended = async {
            loop {
                let ended = self.inner.ended.notified();
                if self.running().is_empty() {
                    return;
                }
                ended.await;
            }
        };
        if tokio::time::timeout(DRAIN_DEADLINE, all_ended).await.is_err() {
            tracing::warn!(
                runs = self.running().len(),
                "runs did not stop in time; their leases will run out"
            );
        }
    }

    async fn schedule(&self) {
        let inner = &self.inner;
        loop {
            let slot = tokio::select! {
                () = inner.drain.cancelled() => return,
                slot = Arc::clone(&inner.slots).acquire_owned() => slot,
            };
            let Ok(slot) = slot else { return };
            match inner
                .parts
                .store
                .claim(inner.parts.server, inner.parts.config.lease_time)
                .await
            {
                Ok(Some(claim)) => self.spawn_run(claim, slot),
                Ok(None) => {
                    drop(slot);
                    self.wait_for_work().await;
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "no task can be claimed now");
                    drop(slot);
                    self.wait_for_work().await;
                }
            }
        }
    }

    async fn wait_for_work(&self) {
        tokio::select! {
            () = self.inner.wake.notified() => {}
            () = self.inner.drain.cancelled() => {}
            () = tokio::time::sleep(TICK) => {}
        }
    }

    fn spawn_run(&self, claim: Claim, slot: OwnedSemaphorePermit) {
        let task = claim.task.id;
        let cancel = CancellationToken::new();
        if claim.task.cancel_requested {
            cancel.cancel();
        }
        self.running().insert(task, cancel.clone());
        let span = tracing::info_span!("run", task.id = %task, run.id = claim.task.progress.runs + 1, principal.id = %claim.task.principal);
        let signals = StopSignals {
            cancel,
            drain: self.inner.drain.clone(),
        };
        let run = Run::new(Arc::clone(&self.inner.parts), &claim, signals);
        let handle = self
            .inner
            .parts
            .jobs
            .spawn("run", run.clone().execute().instrument(span.clone()));
        let scheduler = self.clone();
        let counted = CountedRun::begin();
        self.inner.parts.jobs.spawn(
            "run_end",
            async move {
                if let Err(error) = handle.await {
                    tracing::error!(error = &error as &dyn std::error::Error, "the run panicked");
                    run.fail_after_panic().await;
                }
                scheduler.running().remove(&task);
                drop(slot);
                drop(counted);
                scheduler.inner.ended.notify_waiters();
                scheduler.wake();
            }
            .instrument(span),
        );
    }

    fn running(&self) -> std::sync::MutexGuard<'_, HashMap<TaskId, CancellationToken>> {
        self.inner.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
