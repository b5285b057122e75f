//! PREPARING: repository, mirror, sandbox, work tree, set-up, analysis, baseline. No money is spent
//! here, and no credential goes into the sandbox.

use std::sync::Arc;
use std::time::Duration;

use crate::forge::Repository;
use crate::forge::git::{Mirror, Quarantine};
use crate::orchestrator::analyse::tree::{SandboxTree, TreeListing};
use crate::orchestrator::analyse::{AnalyseError, Analysis};
use crate::orchestrator::baseline::baseline;
use crate::orchestrator::fetch::{fetch, open_repository};
use crate::orchestrator::run::{Halt, StopSignals};
use crate::orchestrator::run_log::RunLog;
use crate::orchestrator::verify::exec_live;
use crate::orchestrator::workbench::{Workbench, discard};
use crate::orchestrator::workspace::Workspace;
use crate::orchestrator::{Parts, analyse, checkout, image, stated};
use crate::sandbox::{ExecSpec, Sandbox, SandboxSpec};
use crate::task::branch::BranchName;
use crate::task::event::EventPayload;
use crate::task::failure::{Failure, Reason};
use crate::task::id::{CallId, ObjectId, SandboxId, Timestamp};
use crate::task::record::{Base, Checkpoint};
use crate::task::state::State;

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
    let (sandbox, workspace) = signals
        .interrupt(enter_sandbox(parts, log, &mirror, &quarantine, &base))
        .await?;
    log.set_sandbox(Some(Arc::clone(&sandbox)));
    let limits = log.record().spec.limits;
    let mut bench = Workbench::new(sandbox, workspace, forge, repository, base, limits);
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
    discard(bench.sandbox.as_ref()).await;
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
    if let Some(id) = record.sandbox_to_enter() {
        // It has its image, which this server need not have any more.
        let spec = sandbox_spec(parts, log, id, mirror, None);
        if let Some(sandbox) = parts.sandboxes.reattach(spec).await? {
            tracing::info!(sandbox.id = %id, "entered the work tree that was left");
            let workspace = Workspace::reenter(Arc::clone(&sandbox), quarantine.clone()).await?;
            return Ok((sandbox, workspace));
        }
    }
    let image = image::choose(parts, log, mirror).await?;
    log.step(10, "Making the sandbox").await?;
    let id = SandboxId::random();
    // Recorded before it exists, so that a sweep knows whose it is.
    log.write(Vec::new(), |progress| progress.sandbox = Some(id)).await?;
    let branch =
        BranchName::parse(&base.branch).map_err(|error| Failure::lasting(Reason::Internal, error.to_string()))?;
    let spec = sandbox_spec(parts, log, id, mirror, image);
    let (sandbox, workspace) = checkout::furnish(parts, spec, mirror, quarantine, &branch).await?;
    let Some(checkpoint) = &record.progress.checkpoint else {
        return Ok((sandbox, workspace));
    };
    match restore(log, &workspace, checkpoint).await {
        Ok(()) => Ok((sandbox, workspace)),
        Err(halt) => {
            discard(sandbox.as_ref()).await;
            Err(halt)
        }
    }
}

async fn restore(log: &RunLog, workspace: &Workspace, checkpoint: &Checkpoint) -> Result<(), Halt> {
    workspace.restore(checkpoint).await?;
    let turn = checkpoint.turn;
    log.write(Vec::new(), |progress| progress.restored_turn = Some(turn))
        .await?;
    Ok(())
}

fn sandbox_spec(parts: &Parts, log: &RunLog, id: SandboxId, mirror: &Mirror, image: Option<String>) -> SandboxSpec {
    let spec = log.record().spec;
    SandboxSpec {
        id,
        epoch: log.lease().epoch,
        limits: parts.config.sandbox_limits,
        image,
        environment: Vec::new(),
        objects: Some(mirror.objects.clone()),
        base_bytes: mirror.bytes,
        checkout: None,
        setup: None,
        deadline: spec.limits.max_duration + SANDBOX_SLACK,
    }
}

async fn make_ready(parts: &Parts, log: &RunLog, bench: &mut Workbench) -> Result<(), Halt> {
    log.step(12, "Looking at the project").await?;
    let analysis = analysis(parts, bench).await?;
    tell_absent(log, &analysis.absent).await?;
    bench.commands = match log.record().spec.verification_commands {
        commands if commands.is_empty() => analysis.verification_commands.clone(),
        commands => commands,
    };
    bench.analysis = analysis;
    stated::apply(parts, log, bench).await?;
    let ready = async {
        set_up(parts, log, bench).await?;
        baseline(parts, log, bench).await
    };
    let ready = ready.await;
    // Also when it failed: what was refused is often why.
    bench.record_denials(log).await?;
    ready
}

/// Tells people, once, what the work tree lacks; the model reads it in the layout.
async fn tell_absent(log: &RunLog, absent: &[String]) -> Result<(), Halt> {
    let known = log.record().progress.notes;
    let news: Vec<String> = absent
        .iter()
        .filter(|sentence| !known.contains(sentence))
        .cloned()
        .collect();
    if news.is_empty() {
        return Ok(());
    }
    let warning = |message: &String| EventPayload::Warning {
        message: message.clone(),
    };
    let events = news.iter().map(warning).collect();
    Ok(log.write(events, |progress| progress.notes.extend(news)).await?)
}

/// Analyses the base commit, once for each commit.
async fn analysis(parts: &Parts, bench: &Workbench) -> Result<Arc<Analysis>, Halt> {
    if let Some(known) = known_analysis(parts, &bench.repository, &bench.base.commit).await? {
        return Ok(Arc::new(known));
    }
    let tree = SandboxTree(bench.sandbox.as_ref());
    let unreadable = |error: &dyn std::error::Error| Failure::passing(Reason::SandboxUnavailable, error.to_string());
    let paths = tree.paths().await.map_err(|error| unreadable(&error))?;
    let analysis = analyse::analyse(&TreeListing::new(paths, &tree), &parts.outliner)
        .await
        .map_err(|error| match &error {
            AnalyseError::Settings(_) => Failure::lasting(Reason::SetupFailed, error.to_string()),
            AnalyseError::Tree(_) => unreadable(&error),
        })?;
    if let Ok(text) = serde_json::to_string(&analysis) {
        let key = analysis_key(&bench.repository, &bench.base.commit);
        parts.store.remember(&key, &text, Timestamp::now()).await?;
    }
    Ok(Arc::new(analysis))
}

/// Returns what was found out about a commit, if it was looked at before.
pub(super) async fn known_analysis(
    parts: &Parts,
    repository: &Repository,
    commit: &ObjectId,
) -> Result<Option<Analysis>, Halt> {
    let known = parts.store.recall(&analysis_key(repository, commit)).await?;
    Ok(known.and_then(|text| serde_json::from_str(&text).ok()))
}

fn analysis_key(repository: &Repository, commit: &ObjectId) -> String {
    format!("analysis:{}:{}:{commit}", analyse::VERSION, repository.address)
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
        let spec = ExecSpec::shell(command, stated::setup_timeout(parts, bench));
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
