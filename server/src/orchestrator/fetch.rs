//! The repository of a Task: asked of its forge, and the commit that the work starts from brought into
//! the mirror. The one place that calls a forge again after a failure.

use std::sync::Arc;
use std::time::Duration;

use crate::forge::git::{Mirror, Quarantine};
use crate::forge::{Access, Forge, ForgeError, GitRemote, Repository};
use crate::orchestrator::Parts;
use crate::orchestrator::run::Halt;
use crate::orchestrator::run_log::RunLog;
use crate::orchestrator::session::access;
use crate::orchestrator::workbench::git_halt;
use crate::task::address::RepositoryAddress;
use crate::task::branch::BranchName;
use crate::task::event::EventPayload;
use crate::task::failure::{Failure, Reason};
use crate::task::id::ObjectId;
use crate::task::record::{Base, PublicationIntent, TaskRecord};

/// Tries of a forge call that may be cured by trying again.
const FORGE_TRIES: u32 = 5;

/// Longest wait that a forge may ask for while a Task holds its slot: the longest window of a rate limit is
/// an hour.
const LONGEST_WAIT: Duration = Duration::from_secs(65 * 60);

/// Asks the forge for the repository and the rights that the Task needs.
pub(super) async fn open_repository(parts: &Parts, log: &RunLog) -> Result<(Arc<dyn Forge>, Repository), Halt> {
    let record = log.record();
    let spec = &record.spec;
    let Some(forge) = log.session.forge(parts, spec) else {
        let message = format!("this server has no forge for {}", spec.repository.forge_name());
        return Err(Failure::lasting(Reason::RepositoryUnavailable, message).into());
    };
    let access = access(spec);
    let mut repository = retry_forge(log, || forge.repository(&spec.repository, &spec.revision, access)).await?;
    if repository.push_to.is_none() {
        repository.push_to = former_fork(parts, &record).await?;
    }
    Ok((forge, repository))
}

/// Returns the fork that this Task, or the one that it continues, has decided to push to.
async fn former_fork(parts: &Parts, record: &TaskRecord) -> Result<Option<RepositoryAddress>, Halt> {
    let intent = match &record.progress.publication {
        Some(intent) => Some(intent.clone()),
        None => continued_publication(parts, record).await?,
    };
    Ok(intent.and_then(|intent| intent.push_to))
}

/// Calls the forge again as long as it says that this may help; the one place of retry for this port.
pub(super) async fn retry_forge<T, F>(log: &RunLog, mut call: impl FnMut() -> F + Send) -> Result<T, Halt>
where
    F: Future<Output = Result<T, ForgeError>> + Send,
{
    let mut attempt = 1;
    loop {
        let error = match call().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let Some(wait) = error
            .retry()
            .filter(|wait| attempt < FORGE_TRIES && *wait <= LONGEST_WAIT)
        else {
            return Err(forge_halt(&error));
        };
        let delay = wait.max(Duration::from_secs(1 << attempt));
        let message = with_causes(&error);
        log.events(vec![EventPayload::RetryScheduled {
            component: "forge".into(),
            attempt,
            delay,
            message,
        }])
        .await?;
        tokio::time::sleep(delay).await;
        attempt += 1;
    }
}

/// Says what failed and why: of a certificate or a proxy only the cause tells.
fn with_causes(error: &ForgeError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

fn forge_halt(error: &ForgeError) -> Halt {
    let message = with_causes(error);
    Halt::Failed(match error {
        ForgeError::RateLimited { .. } | ForgeError::Unavailable { .. } => {
            Failure::passing(Reason::RepositoryUnavailable, message)
        }
        ForgeError::NotFound { .. }
        | ForgeError::Unauthenticated { .. }
        | ForgeError::Forbidden { .. }
        | ForgeError::Rejected { .. } => Failure::lasting(Reason::RepositoryUnavailable, message),
        ForgeError::Internal { .. } => Failure::lasting(Reason::Internal, message),
    })
}

/// Returns how git reaches the repository for the next step.
pub(super) async fn remote(
    log: &RunLog,
    forge: &dyn Forge,
    repository: &Repository,
    access: Access,
) -> Result<GitRemote, Halt> {
    retry_forge(log, || forge.remote(repository, access)).await
}

/// Brings the base commit into the mirror. Once recorded it is the same for every run, until a rebase.
pub(super) async fn fetch(
    parts: &Parts,
    log: &RunLog,
    forge: &dyn Forge,
    repository: &Repository,
) -> Result<(Mirror, Quarantine, Base), Halt> {
    let record = log.record();
    let from = async |access| remote(log, forge, repository, access).await;
    let start = match &record.progress.base {
        Some(base) => Start {
            branch: record
                .progress
                .head_branch
                .as_deref()
                .and_then(|name| BranchName::parse(name).ok()),
            commit: Some(base.commit.clone()),
        },
        None => continued_start(parts, log, &record, &from(Access::Push).await?)
            .await?
            .unwrap_or_else(|| Start {
                branch: None,
                commit: repository.commit.clone(),
            }),
    };
    // A branch that the Task goes on from is where changes are pushed, which may be a fork.
    let (remote, branch) = match &start.branch {
        Some(branch) => (from(Access::Push).await?, branch),
        None => (from(Access::Read).await?, &repository.base_branch),
    };
    let mirror = parts
        .git
        .fetch_mirror(&remote, branch, start.commit.as_ref())
        .await
        .map_err(git_halt)?;
    let quarantine = parts.git.quarantine(record.id, &mirror).map_err(git_halt)?;
    let base = Base {
        commit: mirror.commit.clone(),
        tree: mirror.tree.clone(),
        branch: repository.base_branch.to_string(),
    };
    if record.progress.base.is_none() {
        let recorded = base.clone();
        let head_branch = start.branch.map(|branch| branch.to_string());
        log.write(Vec::new(), |progress| {
            progress.base = Some(recorded);
            progress.head_branch = head_branch;
        })
        .await?;
    }
    Ok((mirror, quarantine, base))
}

/// Where a Task begins.
struct Start {
    /// The branch of the Task that it continues, when it goes back there.
    branch: Option<BranchName>,
    /// A commit, when it is not the branch's tip that is wanted.
    commit: Option<ObjectId>,
}

/// Returns the branch that a continued Task pushed and where it is now: people may have added to it since.
async fn continued_start(
    parts: &Parts,
    log: &RunLog,
    record: &TaskRecord,
    remote: &GitRemote,
) -> Result<Option<Start>, Halt> {
    let Some(intent) = continued_publication(parts, record).await? else {
        return Ok(None);
    };
    let Ok(branch) = BranchName::parse(&intent.branch) else {
        return Ok(None);
    };
    if let Some(head) = parts.git.remote_head(remote, &branch).await.map_err(git_halt)? {
        return Ok(Some(Start {
            branch: Some(branch),
            commit: Some(head),
        }));
    }
    let message = format!("branch {branch} of the task that this one continues is gone; it begins at the base branch");
    log.events(vec![EventPayload::Warning { message }]).await?;
    Ok(None)
}

/// Returns what a continued Task has pushed, if it has, once it is over.
async fn continued_publication(parts: &Parts, record: &TaskRecord) -> Result<Option<PublicationIntent>, Halt> {
    let Some(before) = record.continues else {
        return Ok(None);
    };
    let mut changes = parts.store.changes(before);
    loop {
        match parts.store.task(before).await? {
            None => return Ok(None),
            Some(task) if task.state.is_terminal() => {
                return Ok(task.progress.publication.filter(|intent| intent.pushed));
            }
            // It is publishing: what it leaves is where this one starts.
            Some(_) => drop(changes.changed().await),
        }
    }
}
