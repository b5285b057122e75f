//! What a run works with once it is prepared: sandbox, work tree, repository, analysis.

use std::sync::Arc;

use crate::forge::git::DiffRequest;
use crate::forge::{Forge, Repository};
use crate::orchestrator::Parts;
use crate::orchestrator::analyse::Analysis;
use crate::orchestrator::run::Halt;
use crate::orchestrator::run_log::RunLog;
use crate::orchestrator::workspace::{Workspace, WorkspaceError};
use crate::sandbox::Sandbox;
use crate::task::budget::Limits;
use crate::task::event::{CutText, EventPayload};
use crate::task::failure::{Failure, Reason};
use crate::task::host::rules::HostRules;
use crate::task::id::ObjectId;
use crate::task::record::Base;

/// Most of a diff that stands in an event.
const EVENT_DIFF_BYTES: usize = 32 * 1024;

/// What a run works with.
pub(super) struct Workbench {
    pub(super) sandbox: Arc<dyn Sandbox>,
    pub(super) workspace: Workspace,
    pub(super) forge: Arc<dyn Forge>,
    pub(super) repository: Repository,
    pub(super) base: Base,
    pub(super) analysis: Arc<Analysis>,
    /// Commands that prove the change.
    pub(super) commands: Vec<String>,
    /// The Task's limits, as the repository lowers them.
    pub(super) limits: Limits,
    /// What commands may reach.
    pub(super) hosts: HostRules,
    /// One save at a time: the index inside is one file.
    saving: tokio::sync::Mutex<()>,
}

impl Workbench {
    pub(super) fn new(
        sandbox: Arc<dyn Sandbox>,
        workspace: Workspace,
        forge: Arc<dyn Forge>,
        repository: Repository,
        base: Base,
        limits: Limits,
    ) -> Self {
        Self {
            sandbox,
            workspace,
            forge,
            repository,
            base,
            analysis: Arc::default(),
            commands: Vec::new(),
            limits,
            hosts: HostRules::default(),
            saving: tokio::sync::Mutex::default(),
        }
    }

    /// Saves the work tree outside if it changed, and returns the tree as it is now.
    ///
    /// While checks run the last save is the change: what they write is no part of it.
    pub(super) async fn save(&self, parts: &Parts, log: &RunLog) -> Result<ObjectId, Halt> {
        let tree = self.save_tree(parts, log).await?;
        self.record_denials(log).await?;
        Ok(tree)
    }

    async fn save_tree(&self, parts: &Parts, log: &RunLog) -> Result<ObjectId, Halt> {
        let _one = self.saving.lock().await;
        let progress = log.record().progress;
        let last = progress.checkpoint;
        if progress.checking {
            return Ok(last.map_or_else(|| self.base.tree.clone(), |last| last.tree));
        }
        let Some(checkpoint) = self.workspace.save(last.as_ref(), progress.turn).await? else {
            return Ok(last.map_or_else(|| self.base.tree.clone(), |last| last.tree));
        };
        let before = last.as_ref().map_or(&self.base.tree, |last| &last.tree);
        let request = DiffRequest::Readable(EVENT_DIFF_BYTES);
        let diff = self
            .workspace
            .quarantine()
            .diff(before, &checkpoint.tree, request)
            .await
            .map_err(git_halt)?;
        let mut text = CutText::new(
            parts
                .redactor
                .mask(&String::from_utf8_lossy(&diff.patch.bytes))
                .into_owned(),
        );
        text.truncated |= diff.patch.truncated;
        let files = diff.files.iter().map(|file| file.to_file_change()).collect();
        let events = vec![
            EventPayload::FilesChanged { files, diff: text },
            EventPayload::CheckpointSaved {
                commit: checkpoint.commit.clone(),
            },
        ];
        let tree = checkpoint.tree.clone();
        log.write(events, |progress| progress.checkpoint = Some(checkpoint))
            .await?;
        Ok(tree)
    }

    /// Takes out of the work tree what the checks left there.
    pub(super) async fn forget_checks(&self) -> Result<(), Halt> {
        let _one = self.saving.lock().await;
        match self.workspace.reset().await {
            Err(error @ WorkspaceError::Script { .. }) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "what the checks left may get into the change"
                );
                Ok(())
            }
            other => Ok(other?),
        }
    }

    /// Brings the work tree back to what was saved last, whatever a run that was cut off was doing with it.
    pub(super) async fn return_to_checkpoint(&self, log: &RunLog) -> Result<(), Halt> {
        if let Some(checkpoint) = log.record().progress.checkpoint {
            let _one = self.saving.lock().await;
            self.workspace.restore(&checkpoint).await?;
        }
        self.forget_checks().await
    }

    /// Writes down what the network policy refused since the last time.
    pub(super) async fn record_denials(&self, log: &RunLog) -> Result<(), Halt> {
        record_denials(self.sandbox.as_ref(), log).await
    }
}

/// Writes down what a sandbox's network policy refused since the last time.
pub(super) async fn record_denials(sandbox: &dyn Sandbox, log: &RunLog) -> Result<(), Halt> {
    let denials = sandbox.take_denials();
    if denials.is_empty() {
        return Ok(());
    }
    let event = |denial: crate::sandbox::Denial| EventPayload::PolicyDenied {
        policy: "egress".into(),
        subject: denial.subject,
        message: denial.message,
    };
    Ok(log.events(denials.into_iter().map(event).collect()).await?)
}

impl From<WorkspaceError> for Halt {
    fn from(error: WorkspaceError) -> Self {
        match error {
            WorkspaceError::Sandbox(error) => error.into(),
            WorkspaceError::Git(error) => git_halt(error),
            WorkspaceError::TooLarge { .. } => Self::Failed(Failure::lasting(Reason::PolicyDenied, error.to_string())),
            WorkspaceError::Script { .. } => {
                Self::Failed(Failure::passing(Reason::SandboxUnavailable, error.to_string()))
            }
        }
    }
}

/// Destroys a sandbox that is of no more use.
pub(super) async fn discard(sandbox: &dyn Sandbox) {
    if let Err(error) = sandbox.destroy().await {
        tracing::warn!(sandbox.id = %sandbox.id(), error = &error as &dyn std::error::Error, "a sandbox is left to the sweep");
    }
}

/// Says what a fault of git means for the Task.
pub(super) fn git_halt(error: crate::forge::git::GitError) -> Halt {
    use crate::forge::git::GitError as E;
    let message = error.to_string();
    let failure = match error {
        E::NotFound { .. } | E::Empty | E::Unauthenticated { .. } | E::Refused { .. } => {
            Failure::lasting(Reason::RepositoryUnavailable, message)
        }
        E::TimedOut { .. } | E::Unavailable { .. } => Failure::passing(Reason::RepositoryUnavailable, message),
        E::TooLarge { .. } | E::Hostile { .. } => Failure::lasting(Reason::PolicyDenied, message),
        E::Unusable { .. } | E::Internal { .. } => Failure::passing(Reason::Internal, message),
    };
    Halt::Failed(failure)
}
