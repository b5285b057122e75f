//! PREPARING: repository, mirror, sandbox, work tree, set-up, analysis, baseline. No money is spent
//! here, and no credential goes into the sandbox.

use std::sync::Arc;
use std::time::Duration;

use crate::forge::git::{Mirror, Quarantine};
use crate::forge::{Access, Forge, ForgeError, GitRemote, Repository};
use crate::orchestrator::analyse::tree::{SandboxTree, TreeListing};
use crate::orchestrator::analyse::{AnalyseError, Analysis};
use crate::orchestrator::run::{Halt, StopSignals};
use crate::orchestrator::run_log::RunLog;
use crate::orchestrator::verify::{Side, Verification, VerifyError, exec_live};
use crate::orchestrator::workbench::{Workbench, git_halt};
use crate::orchestrator::workspace::Workspace;
use crate::orchestrator::{Parts, analyse};
use crate::sandbox::{ExecSpec, Sandbox, SandboxSpec};
use crate::task::event::EventPayload;
use crate::task::failure::{Failure, Reason};
use crate::task::id::{CallId, SandboxId, Timestamp};
use crate::task::record::{Base, TaskRecord};
use crate::task::result::Evidence;
use crate::task::spec::PublicationMode;
use crate::task::state::State;

/// Tries of a forge call that may be cured by trying again.
const FORGE_TRIES: u32 = 5;

/// Longest wait that a forge may ask for while a Task holds its slot.
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);

/// A sandbox outlives its Task's own limit by this much at most.
const SANDBOX_SLACK: Duration = Duration::from_secs(30 * 60);

/// Makes everything ready for the first turn, or for the next one after a restart.
pub(super) async fn prepare(parts: &Arc<Parts>, log: &RunLog, signals: &StopSignals) -> Result<Workbench, Halt> {
    log.enter(State::Preparing, 2, "Looking at the repository").await?;
    let (forge, repository) = signals.interrupt(open_repository(parts, log)).await?;
    log.step(5, "Fetching the repository").await?;
    let (mirror, quarantine, base) = signals
        .interrupt(fetch(parts, log, forge.as_ref(), &repository))
        .await?;
    log.step(10, "Making the sandbox").await?;
    let (sandbox, workspace) = signals
        .interrupt(enter_sandbox(parts, log, &mirror, &quarantine, &base))
        .await?;
    log.set_sandbox(Some(Arc::clone(&sandbox)));
    let mut bench = Workbench::new(sandbox, workspace, forge, repository, base);
    match signals.interrupt(make_ready(parts, log, &mut bench)).await {
        Ok(()) => Ok(bench),
        Err(halt) => {
            leave_sandbox(&bench, &halt).await;
            Err(halt)
        }
    }
}

/// A sandbox whose preparation did not end well is destroyed, or left for the next run when the server stops.
async fn leave_sandbox(bench: &Workbench, halt: &Halt) {
    if matches!(halt, Halt::Draining | Halt::Store(_)) {
        return bench.sandbox.detach().await;
    }
    if let Err(error) = bench.sandbox.destroy().await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "a sandbox is left to the sweep"
        );
    }
}

/// Asks the forge for the repository and the rights that the Task needs.
pub(super) async fn open_repository(parts: &Parts, log: &RunLog) -> Result<(Arc<dyn Forge>, Repository), Halt> {
    let record = log.record();
    let spec = &record.spec;
    let Some(forge) = parts.forge(&spec.repository).cloned() else {
        let message = format!("this server has no forge for {}", spec.repository.forge_name());
        return Err(Failure::lasting(Reason::RepositoryUnavailable, message).into());
    };
    let access = match spec.publication.mode {
        PublicationMode::PatchOnly => Access::Read,
        PublicationMode::PullRequest | PublicationMode::DraftPullRequest | PublicationMode::BranchOnly => Access::Push,
    };
    let repository = retry_forge(log, || forge.repository(&spec.repository, &spec.revision, access)).await?;
    Ok((forge, repository))
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
        let message = error.to_string();
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

fn forge_halt(error: &ForgeError) -> Halt {
    let message = error.to_string();
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

/// Brings the base commit into the mirror; once recorded it never changes.
pub(super) async fn fetch(
    parts: &Parts,
    log: &RunLog,
    forge: &dyn Forge,
    repository: &Repository,
) -> Result<(Mirror, Quarantine, Base), Halt> {
    let record = log.record();
    let remote = remote(log, forge, repository, Access::Read).await?;
    let start = match &record.progress.base {
        Some(base) => Some(base.commit.clone()),
        None => continued_commit(parts, &record)
            .await?
            .or_else(|| repository.commit.clone()),
    };
    let mirror = parts
        .git
        .fetch_mirror(&remote, &repository.base_branch, start.as_ref())
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
        log.write(Vec::new(), |progress| progress.base = Some(recorded)).await?;
    }
    Ok((mirror, quarantine, base))
}

/// Returns the head of the branch that a continued Task left, if it pushed one.
async fn continued_commit(parts: &Parts, record: &TaskRecord) -> Result<Option<crate::task::id::ObjectId>, Halt> {
    let Some(before) = record.continues else {
        return Ok(None);
    };
    let mut changes = parts.store.changes(before);
    loop {
        match parts.store.task(before).await? {
            None => return Ok(None),
            Some(task) if task.state.is_terminal() => {
                return Ok(task
                    .progress
                    .publication
                    .filter(|intent| intent.pushed)
                    .map(|intent| intent.commit));
            }
            // It is publishing: what it leaves is where this one starts.
            Some(_) => drop(changes.changed().await),
        }
    }
}

/// Enters the work tree that an earlier run left, or makes a new sandbox and restores the checkpoint.
async fn enter_sandbox(
    parts: &Parts,
    log: &RunLog,
    mirror: &Mirror,
    quarantine: &Quarantine,
    base: &Base,
) -> Result<(Arc<dyn Sandbox>, Workspace), Halt> {
    let record = log.record();
    if let Some(id) = record.sandbox_to_enter()
        && let Some(sandbox) = parts.sandboxes.reattach(sandbox_spec(parts, log, id, mirror)).await?
    {
        tracing::info!(sandbox.id = %id, "entered the work tree that was left");
        let workspace = Workspace::reenter(Arc::clone(&sandbox), quarantine.clone()).await?;
        return Ok((sandbox, workspace));
    }
    let id = SandboxId::random();
    // Recorded before it exists, so that a sweep knows whose it is.
    log.write(Vec::new(), |progress| progress.sandbox = Some(id)).await?;
    let sandbox = parts.sandboxes.create(sandbox_spec(parts, log, id, mirror)).await?;
    let branch = crate::task::branch::BranchName::parse(&base.branch)
        .map_err(|error| Failure::lasting(Reason::Internal, error.to_string()))?;
    let filled = async {
        let workspace = Workspace::materialize(Arc::clone(&sandbox), quarantine.clone(), &branch).await?;
        if let Some(checkpoint) = &record.progress.checkpoint {
            workspace.restore(checkpoint).await?;
            let turn = checkpoint.turn;
            log.write(Vec::new(), |progress| progress.restored_turn = Some(turn))
                .await?;
        }
        Ok::<_, Halt>(workspace)
    };
    match filled.await {
        Ok(workspace) => Ok((sandbox, workspace)),
        Err(halt) => {
            if let Err(error) = sandbox.destroy().await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a sandbox is left to the sweep"
                );
            }
            Err(halt)
        }
    }
}

fn sandbox_spec(parts: &Parts, log: &RunLog, id: SandboxId, mirror: &Mirror) -> SandboxSpec {
    let spec = log.record().spec;
    SandboxSpec {
        id,
        epoch: log.lease().epoch,
        limits: parts.config.sandbox_limits,
        image: spec.environment.image,
        environment: Vec::new(),
        objects: Some(mirror.objects.clone()),
        checkout: None,
        deadline: spec.limits.max_duration + SANDBOX_SLACK,
    }
}

async fn make_ready(parts: &Parts, log: &RunLog, bench: &mut Workbench) -> Result<(), Halt> {
    log.step(12, "Looking at the project").await?;
    let analysis = analysis(parts, bench).await?;
    bench.commands = match log.record().spec.verification_commands {
        commands if commands.is_empty() => analysis.verification_commands.clone(),
        commands => commands,
    };
    bench.analysis = analysis;
    set_up(parts, log, bench).await?;
    baseline(parts, log, bench).await
}

/// Analyses the base commit, once for each commit.
async fn analysis(parts: &Parts, bench: &Workbench) -> Result<Arc<Analysis>, Halt> {
    let key = format!("analysis:1:{}:{}", bench.repository.address, bench.base.commit);
    if let Some(known) = parts
        .store
        .recall(&key)
        .await?
        .and_then(|text| serde_json::from_str(&text).ok())
    {
        return Ok(Arc::new(known));
    }
    let tree = SandboxTree(bench.sandbox.as_ref());
    let unreadable = |error: &dyn std::error::Error| Failure::passing(Reason::SandboxUnavailable, error.to_string());
    let paths = tree.paths().await.map_err(|error| unreadable(&error))?;
    let analysis = analyse::analyse(&TreeListing::new(paths, &tree))
        .await
        .map_err(|error| match &error {
            AnalyseError::Settings(_) => Failure::lasting(Reason::SetupFailed, error.to_string()),
            AnalyseError::Tree(_) => unreadable(&error),
        })?;
    if let Ok(text) = serde_json::to_string(&analysis) {
        parts.store.remember(&key, &text, Timestamp::now()).await?;
    }
    Ok(Arc::new(analysis))
}

/// Runs the set-up commands, unless the work tree that was entered had them.
async fn set_up(parts: &Parts, log: &RunLog, bench: &Workbench) -> Result<(), Halt> {
    let record = log.record();
    let commands = match record.spec.environment.setup_commands {
        commands if commands.is_empty() => bench.analysis.settings.setup.commands.clone(),
        commands => commands,
    };
    for (index, command) in commands.iter().enumerate() {
        log.step(13, &format!("Setting up: {command}")).await?;
        let call_id = CallId::new(format!("setup.{}", index + 1));
        let spec = ExecSpec::shell(command, parts.config.verification_timeout);
        let report = exec_live(bench.sandbox.as_ref(), spec, log, &call_id).await?;
        if report.exit_code != Some(0) {
            let output = parts
                .redactor
                .mask(&String::from_utf8_lossy(&report.output))
                .into_owned();
            let tail: String = output
                .chars()
                .rev()
                .take(600)
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
                .collect();
            let message = format!(
                "set-up command `{command}` ended with exit code {:?}: {tail}",
                report.exit_code
            );
            return Err(Failure::lasting(Reason::SetupFailed, message).into());
        }
    }
    Ok(())
}

/// Proves the base, once for each commit and list of commands.
async fn baseline(parts: &Parts, log: &RunLog, bench: &Workbench) -> Result<(), Halt> {
    let record = log.record();
    let proved = |command: &String| {
        record
            .progress
            .evidence
            .iter()
            .any(|fact| fact.baseline && fact.command == *command)
    };
    if bench.commands.iter().all(proved) {
        return Ok(());
    }
    log.step(15, "Running the checks on the base").await?;
    let key = baseline_key(&bench.base, &bench.commands, parts.sandboxes.name());
    let known: Option<Vec<Evidence>> = parts
        .store
        .recall(&key)
        .await?
        .and_then(|text| serde_json::from_str(&text).ok());
    let evidence = match known {
        Some(evidence) => {
            log.events(
                evidence
                    .iter()
                    .enumerate()
                    .map(|(index, fact)| remembered(index, fact))
                    .collect(),
            )
            .await?;
            evidence
        }
        None => {
            let evidence = run_baseline(parts, log, bench, record.spec.limits.max_duration / 4).await?;
            if let Ok(text) = serde_json::to_string(&evidence) {
                parts.store.remember(&key, &text, Timestamp::now()).await?;
            }
            evidence
        }
    };
    let baseline_duration = evidence.iter().map(|fact| fact.duration).sum();
    log.write(Vec::new(), |progress| {
        progress.evidence = evidence;
        progress.baseline_duration = baseline_duration;
    })
    .await?;
    Ok(())
}

async fn run_baseline(
    parts: &Parts,
    log: &RunLog,
    bench: &Workbench,
    time_left: Duration,
) -> Result<Vec<Evidence>, Halt> {
    let verification = Verification {
        commands: &bench.commands,
        side: Side::Base,
        tree: &bench.base.tree,
        round: 1,
        baseline: &[],
        command_timeout: parts.config.command_timeout.min(parts.config.verification_timeout),
        time_left,
    };
    let checked = verification
        .run(parts, bench.sandbox.as_ref(), log)
        .await
        .map_err(verify_halt)?;
    // What the checks left behind, other than ignored files, is no part of the Task's change.
    let reset = "[ -z \"$(git status --porcelain)\" ] || { git reset --quiet --hard; git clean --quiet -fd; }";
    let report = bench
        .sandbox
        .exec(ExecSpec::shell(reset, Duration::from_secs(120)), None)
        .await?;
    if report.exit_code != Some(0) {
        tracing::debug!(exit_code = ?report.exit_code, "the work tree could not be reset after the baseline");
    }
    Ok(checked.into_iter().map(|checked| checked.evidence).collect())
}

pub(super) fn verify_halt(error: VerifyError) -> Halt {
    match error {
        VerifyError::Store(error) => error.into(),
        VerifyError::Sandbox(error) => error.into(),
    }
}

fn remembered(index: usize, fact: &Evidence) -> EventPayload {
    EventPayload::VerificationFinished {
        call_id: CallId::new(format!("base.{}", index + 1)),
        evidence: fact.clone(),
        output: crate::task::event::CutText::new("(recorded by an earlier task on the same commit)"),
        round: 1,
    }
}

fn baseline_key(base: &Base, commands: &[String], backend: &str) -> String {
    use sha2::Digest as _;
    let mut hash = sha2::Sha256::new();
    for command in commands {
        hash.update(command.len().to_le_bytes());
        hash.update(command);
    }
    let hash = hash.finalize();
    let digits: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("baseline:1:{backend}:{}:{digits}", base.commit)
}
