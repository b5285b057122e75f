//! One run of a Task: from the claim to a terminal state, or to a durable point where another run
//! can go on.
//!
//! A run never ends without saying how: an ending is recorded, or the lease is given back, or it was
//! lost and nothing more is written. Work is kept on every path.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::orchestrator::publish::Published;
use crate::orchestrator::rebase::Followed;
use crate::orchestrator::run_log::RunLog;
use crate::orchestrator::workbench::{Workbench, discard};
use crate::orchestrator::{Parts, finish, prepare, publish, rebase, work};
use crate::sandbox::SandboxError;
use crate::store::{Claim, StoreError};
use crate::task::event::EventPayload;
use crate::task::failure::{Failure, Reason};
use crate::task::state::State;

/// Runs that may end by a crash without a finished turn between them.
const MAX_CRASHES: u32 = 3;

/// Sandboxes that one run may lose.
const MAX_LOSSES: u32 = 2;

/// Why a run is to stop.
#[derive(Clone, Debug)]
pub(super) struct StopSignals {
    /// A caller cancelled the Task.
    pub(super) cancel: CancellationToken,
    /// The server stops.
    pub(super) drain: CancellationToken,
}

impl StopSignals {
    /// Returns the halt that was asked for, if any.
    pub(super) fn check(&self) -> Result<(), Halt> {
        if self.cancel.is_cancelled() {
            return Err(Halt::Cancelled);
        }
        if self.drain.is_cancelled() {
            return Err(Halt::Draining);
        }
        Ok(())
    }

    /// Runs a future that may be dropped at any await, until a stop is asked for.
    pub(super) async fn interrupt<T, E>(&self, future: impl Future<Output = Result<T, E>> + Send) -> Result<T, Halt>
    where
        Halt: From<E>,
    {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Halt::Cancelled),
            () = self.drain.cancelled() => Err(Halt::Draining),
            result = future => Ok(result?),
        }
    }

    /// The same for what a cancel comes too late for.
    pub(super) async fn unless_draining<T, E>(
        &self,
        future: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, Halt>
    where
        Halt: From<E>,
    {
        tokio::select! {
            biased;
            () = self.drain.cancelled() => Err(Halt::Draining),
            result = future => Ok(result?),
        }
    }
}

/// Why a run goes no further.
#[derive(Debug)]
pub(super) enum Halt {
    /// The Task fails; its work is kept.
    Failed(Failure),
    /// A caller asked for it.
    Cancelled,
    /// The server stops; another run goes on.
    Draining,
    /// The sandbox is gone; a new one goes on from the last checkpoint.
    SandboxLost(String),
    /// Nothing more can be written: the lease was lost or the store failed.
    Store(StoreError),
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<SandboxError> for Halt {
    fn from(error: SandboxError) -> Self {
        match error {
            SandboxError::Lost { message } | SandboxError::Protocol { message } => Self::SandboxLost(message),
            SandboxError::Unavailable { .. } | SandboxError::Internal { .. } => {
                Self::Failed(Failure::passing(Reason::SandboxUnavailable, error.to_string()))
            }
            SandboxError::Unsupported { .. } | SandboxError::Image { .. } | SandboxError::Start { .. } => {
                Self::Failed(Failure::lasting(Reason::SandboxUnavailable, error.to_string()))
            }
        }
    }
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Whether a run is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Yes,
    BackToWork,
}

/// One run. Clones share it.
#[derive(Clone)]
pub(super) struct Run {
    parts: Arc<Parts>,
    log: Arc<RunLog>,
    signals: StopSignals,
}

impl Run {
    pub(super) fn new(parts: Arc<Parts>, claim: &Claim, signals: StopSignals) -> Self {
        let log = Arc::new(RunLog::new(Arc::clone(&parts), claim));
        Self { parts, log, signals }
    }

    /// Runs to an ending or a durable point, renewing the lease meanwhile.
    pub(super) async fn execute(self) {
        tokio::select! {
            () = self.run() => {}
            () = self.keep_lease() => tracing::warn!("the lease of this run was lost; nothing more is written"),
        }
        self.log.session.close().await;
    }

    async fn keep_lease(&self) {
        let lease_time = self.parts.config.lease_time;
        loop {
            tokio::time::sleep(lease_time / 3).await;
            match self.parts.store.renew(self.log.lease(), lease_time).await {
                Ok(()) => {}
                Err(StoreError::LeaseLost | StoreError::NotFound) => return,
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the lease could not be renewed"
                ),
            }
        }
    }

    async fn run(&self) {
        let mut bench = None;
        let halt = self.drive(&mut bench).await.err();
        let ended = match halt {
            None => Ok(()),
            Some(Halt::Draining) => return self.leave(bench).await,
            Some(Halt::Store(error)) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the run can't write; it will be taken up again"
                );
                return self.abandon(bench).await;
            }
            Some(Halt::Cancelled) => finish::cancelled(&self.parts, &self.log, bench.as_ref()).await,
            Some(Halt::Failed(failure)) => finish::failed(&self.parts, &self.log, bench.as_ref(), failure).await,
            Some(Halt::SandboxLost(message)) => {
                let failure = Failure::passing(
                    Reason::SandboxUnavailable,
                    format!("the sandbox was lost again and again: {message}"),
                );
                finish::failed(&self.parts, &self.log, bench.as_ref(), failure).await
            }
        };
        if let Err(error) = ended {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the ending can't be written; the run will be taken up again"
            );
            return self.abandon(bench).await;
        }
        if let Some(bench) = bench {
            discard(bench.sandbox.as_ref()).await;
        }
    }

    async fn drive(&self, bench: &mut Option<Workbench>) -> Result<(), Halt> {
        self.begin().await?;
        for _ in 0..MAX_LOSSES {
            match self.attempt(bench).await {
                Err(Halt::SandboxLost(message)) => {
                    tracing::warn!(cause = message, "the sandbox was lost");
                    if let Some(bench) = bench.as_ref() {
                        bench.record_denials(&self.log).await?;
                    }
                    if let Some(bench) = bench.take() {
                        discard(bench.sandbox.as_ref()).await;
                    }
                    self.resume(format!("the sandbox was lost: {message}"), |progress| {
                        progress.sandbox = None
                    })
                    .await?;
                }
                other => return other,
            }
        }
        self.attempt(bench).await
    }

    /// Records that this run begins, and counts crashes of earlier ones.
    async fn begin(&self) -> Result<(), Halt> {
        let record = self.log.record();
        if record.state == State::Queued {
            self.log.write(Vec::new(), |progress| progress.runs = 1).await?;
            return self.signals.check();
        }
        let cause = if record.progress.detached {
            "the server was restarted"
        } else {
            "the server stopped without notice"
        };
        self.resume(cause.to_owned(), |progress| {
            progress.crashes += u32::from(!progress.detached);
            progress.detached = false;
        })
        .await?;
        if self.log.record().progress.crashes > MAX_CRASHES {
            let message = "the server stopped several times while this task ran, without a finished turn between";
            return Err(Failure::lasting(Reason::CrashedRepeatedly, message).into());
        }
        self.signals.check()
    }

    async fn resume(
        &self,
        cause: String,
        change: impl FnOnce(&mut crate::task::record::RunProgress) + Send,
    ) -> Result<(), StoreError> {
        let run = self.log.record().progress.runs + 1;
        tracing::info!(run, cause, "task resumed");
        self.log
            .write(vec![EventPayload::RunResumed { cause, run }], |progress| {
                progress.runs = run;
                change(progress);
            })
            .await
    }

    /// Goes through the phases once, with one sandbox.
    async fn attempt(&self, bench: &mut Option<Workbench>) -> Result<(), Halt> {
        let (parts, log, signals) = (&self.parts, &self.log, &self.signals);
        if log.record().progress.publication.is_some() {
            return publish::resume(parts, log, signals).await;
        }
        let bench = bench.insert(prepare::prepare(parts, log, signals).await?);
        loop {
            work::run_agent(parts, log, signals, bench).await?;
            match self.prove_and_publish(bench).await {
                Ok(Ended::Yes) => return Ok(()),
                Ok(Ended::BackToWork) => {}
                // A person's message came in between: it was accepted, so the agent reads it.
                Err(Halt::Store(StoreError::MessageWaiting)) => work::read_messages(log, bench).await?,
                Err(halt) => return Err(halt),
            }
        }
    }

    /// Verifies what the agent left and publishes it, on top of what others pushed meanwhile.
    async fn prove_and_publish(&self, bench: &mut Workbench) -> Result<Ended, Halt> {
        let (parts, log, signals) = (&self.parts, &self.log, &self.signals);
        let mut next = work::verify(parts, log, signals, bench).await?;
        loop {
            let change = match next {
                work::Next::BackToWork => return Ok(Ended::BackToWork),
                work::Next::NothingChanged => {
                    finish::unchanged(log).await?;
                    return Ok(Ended::Yes);
                }
                work::Next::Publish(change) => change,
            };
            next = if rebase::follow(parts, log, signals, bench).await? == Followed::Moved {
                work::verify(parts, log, signals, bench).await?
            } else if publish::publish(parts, log, signals, bench, &change).await? == Published::BranchMoved {
                work::Next::Publish(change)
            } else {
                return Ok(Ended::Yes);
            };
        }
    }

    /// Leaves the Task at a durable point for another run.
    async fn leave(&self, bench: Option<Workbench>) {
        if let Some(bench) = &bench {
            if let Err(error) = bench.save(&self.parts, &self.log).await {
                tracing::warn!(
                    ?error,
                    "the last change could not be saved; the work tree or the last checkpoint has it"
                );
            }
            bench.sandbox.detach().await;
        }
        let left = self.log.write(Vec::new(), |progress| progress.detached = true).await;
        let released = match left {
            Ok(()) => self.parts.store.release(self.log.lease()).await,
            Err(error) => Err(error),
        };
        match released {
            Ok(()) => tracing::info!("task left at a durable point"),
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the lease could not be given back"
            ),
        }
    }

    /// Stops without a word in the log; the next run finds the Task as it was written last.
    async fn abandon(&self, bench: Option<Workbench>) {
        if let Some(bench) = bench {
            bench.sandbox.detach().await;
        }
        // Gives a failing disk time before the Task is claimed again.
        tokio::time::sleep(Duration::from_secs(1)).await;
        if let Err(error) = self.parts.store.release(self.log.lease()).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "the lease was not given back");
        }
    }

    /// Fails the Task after its job panicked.
    pub(super) async fn fail_after_panic(&self) {
        let failure = Failure::lasting(
            Reason::Internal,
            "a defect of the server ended this task; its log has the details",
        );
        if let Err(error) = finish::failed(&self.parts, &self.log, None, failure).await {
            tracing::error!(error = &error as &dyn std::error::Error, "the failure can't be written");
        }
        if let Some(sandbox) = self.log.take_sandbox() {
            discard(sandbox.as_ref()).await;
        }
    }
}
