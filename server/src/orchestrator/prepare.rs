//! PREPARING: repository, mirror, sandbox, work tree, set-up, analysis, baseline. No money is spent
//! here, and no credential goes into the sandbox.

use std::sync::Arc;
use std::time::Duration;

use crate::forge::Repository;
use crate::forge::git::{Mirror, Quarantine};
use crate::orchestrator::analyse::tree::{SandboxTree, TreeListing};
use crate::orchestrator::analyse::{AnalyseError, Analysis};
use crate::orchestrator::baseline::baseline;
use crate::orchestrator::checkout::{Furnished, Origin};
use crate::orchestrator::fetch::{fetch, open_repository};
use crate::orchestrator::run::{Halt, StopSignals};
use crate::orchestrator::run_log::RunLog;
use crate::orchestrator::setup::Setup;
use crate::orchestrator::setup::kept::{self, Start};
use crate::orchestrator::workbench::{Workbench, discard};
use crate::orchestrator::workspace::Workspace;
use crate::orchestrator::{Parts, analyse, checkout, image, stated};
use crate::sandbox::{Sandbox, SandboxSpec};
use crate::task::branch::BranchName;
use crate::task::event::EventPayload;
use crate::task::failure::{Failure, Reason};
use crate::task::id::{ObjectId, SandboxId, Timestamp};
use crate::task::record::{Base, Checkpoint, RunProgress};
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
    let Entered {
        sandbox,
        workspace,
        set_up,
    } = signals
        .interrupt(enter_sandbox(parts, log, &mirror, &quarantine, &base, &repository))
        .await?;
    log.set_sandbox(Some(Arc::clone(&sandbox)));
    let limits = log.record().spec.limits;
    let mut bench = Workbench::new(sandbox, workspace, forge, repository, base, limits);
    match signals.interrupt(make_ready(parts, log, &mut bench, set_up)).await {
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

/// A sandbox with the work in it.
struct Entered {
    sandbox: Arc<dyn Sandbox>,
    workspace: Workspace,
    set_up: SetUp,
}

/// Whether set-up commands are to run in a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SetUp {
    ToRun,
    /// What they left lies there.
    Done,
}

/// Enters the work tree that an earlier run left, or makes a new sandbox and restores the checkpoint.
async fn enter_sandbox(
    parts: &Parts,
    log: &RunLog,
    mirror: &Mirror,
    quarantine: &Quarantine,
    base: &Base,
    repository: &Repository,
) -> Result<Entered, Halt> {
    let record = log.record();
    if let Some(id) = record.sandbox_to_enter() {
        // It has its image, which this server need not have any more.
        let spec = sandbox_spec(parts, log, id, mirror, None);
        if let Some(sandbox) = parts.sandboxes.reattach(spec).await? {
            tracing::info!(sandbox.id = %id, "entered the work tree that was left");
            let workspace = Workspace::reenter(Arc::clone(&sandbox), quarantine.clone()).await?;
            let is_done = record.progress.set_up == Some(id);
            let set_up = if is_done { SetUp::Done } else { SetUp::ToRun };
            return Ok(Entered {
                sandbox,
                workspace,
                set_up,
            });
        }
    }
    let image = image::choose(parts, log, mirror).await?;
    log.step(10, "Making the sandbox").await?;
    let branch =
        BranchName::parse(&base.branch).map_err(|error| Failure::lasting(Reason::Internal, error.to_string()))?;
    let id = SandboxId::random();
    let mut spec = sandbox_spec(parts, log, id, mirror, image.image);
    let start = Start {
        mirror,
        quarantine,
        branch: &branch,
        origin: &origin(&record.progress, repository, base),
        image: image.named.as_deref(),
    };
    let setup = Setup::of_mirror(parts, log, mirror).await?;
    spec.setup = setup.kept(parts, log, &start, &spec).await?;
    // Recorded before it exists, so that a sweep knows whose it is.
    log.write(Vec::new(), |progress| progress.sandbox = Some(id)).await?;
    let furnished = checkout::furnish(parts, spec, mirror, quarantine, &branch).await?;
    match fill(parts, log, mirror, id, &furnished).await {
        Ok(set_up) => Ok(Entered {
            sandbox: furnished.sandbox,
            workspace: furnished.workspace,
            set_up,
        }),
        Err(halt) => {
            let sandbox = furnished.sandbox;
            discard(sandbox.as_ref()).await;
            Err(halt)
        }
    }
}

/// Returns where the base comes from, for what may only be shared by Tasks that start from there: a commit that a
/// caller named need not be of any branch.
fn origin(progress: &RunProgress, repository: &Repository, base: &Base) -> String {
    match (&repository.commit, &progress.head_branch) {
        (Some(commit), _) => format!("commit {commit}"),
        (None, Some(branch)) => format!("branch {branch}"),
        (None, None) => format!("branch {}", base.branch),
    }
}

/// Makes what lies in a new sandbox fit for the work: over what set-up commands left, and with the last checkpoint.
async fn fill(
    parts: &Parts,
    log: &RunLog,
    mirror: &Mirror,
    id: SandboxId,
    furnished: &Furnished,
) -> Result<SetUp, Halt> {
    let mut set_up = SetUp::ToRun;
    if let Some(kept) = &furnished.setup {
        if furnished.origin == Origin::Kept {
            kept::refresh(parts, mirror, furnished.sandbox.as_ref(), kept).await?;
        }
        log.write(Vec::new(), |progress| progress.set_up = Some(id)).await?;
        kept::tell(log, kept).await?;
        set_up = SetUp::Done;
    }
    if let Some(checkpoint) = &log.record().progress.checkpoint {
        restore(log, &furnished.workspace, checkpoint).await?;
    }
    Ok(set_up)
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

async fn make_ready(parts: &Parts, log: &RunLog, bench: &mut Workbench, set_up: SetUp) -> Result<(), Halt> {
    log.step(12, "Looking at the project").await?;
    let analysis = analysis(parts, bench).await?;
    tell_absent(log, &analysis.absent).await?;
    bench.commands = match log.record().spec.verification_commands {
        commands if commands.is_empty() => analysis.verification_commands.clone(),
        commands => commands,
    };
    bench.analysis = analysis;
    stated::apply(parts, log, bench).await?;
    if set_up == SetUp::ToRun {
        let setup = Setup::of(parts, log, &bench.analysis.settings).await?;
        setup.run(parts, log, bench.sandbox.as_ref()).await?;
    }
    bench.sandbox.allow_hosts(bench.hosts.clone()).await?;
    let ready = baseline(parts, log, bench).await;
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
