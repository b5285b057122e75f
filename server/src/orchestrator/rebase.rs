//! When others pushed meanwhile: the change is put on top of their work, once, inside the sandbox, and
//! proved again there; else it stays where it was proved and the pull request says so.
//!
//! Nothing is at risk meanwhile: until the new base is recorded the checkpoint is the change
//! (`progress.checking`), and every way out brings the work tree back to it.

use std::time::Duration;

use crate::forge::{Access, GitRemote};
use crate::orchestrator::Parts;
use crate::orchestrator::baseline::baseline_evidence;
use crate::orchestrator::fetch::remote;
use crate::orchestrator::run::{Halt, StopSignals};
use crate::orchestrator::run_log::RunLog;
use crate::orchestrator::workbench::{Workbench, git_halt};
use crate::orchestrator::workspace::Rebased;
use crate::store::StoreError;
use crate::task::branch::BranchName;
use crate::task::event::EventPayload;
use crate::task::failure::{Failure, Reason};
use crate::task::id::ObjectId;
use crate::task::record::{Base, Checkpoint, RunProgress, TaskRecord};
use crate::task::result::Evidence;
use crate::task::spec::PublicationMode;
use crate::task::state::State;

/// Tries of one Task.
const MAX_REBASES: u32 = 1;

/// Time that must be left beside twice that of the checks.
const LEAST_TIME_LEFT: Duration = Duration::from_secs(60);

/// Digits of a commit in a sentence.
const SHORT_COMMIT: usize = 10;

/// Whether the change stands on something new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Followed {
    /// It is where it was.
    Stays,
    /// It has a new base and is to be verified again.
    Moved,
}

/// Returns whether a Task has a try left.
pub(super) fn may_follow(progress: &RunProgress) -> bool {
    progress.rebases < MAX_REBASES && progress.stopped.is_none()
}

/// Puts a verified change on top of what its branch, or the base branch, has become meanwhile.
pub(super) async fn follow(
    parts: &Parts,
    log: &RunLog,
    signals: &StopSignals,
    bench: &mut Workbench,
) -> Result<Followed, Halt> {
    let record = log.record();
    let Some((branch, mine)) = what_may_move(&record, bench) else {
        return Ok(Followed::Stays);
    };
    let head = signals.interrupt(new_head(parts, log, bench, &branch)).await?;
    let Some(head) = head.filter(|head| *head != bench.base.commit) else {
        return Ok(Followed::Stays);
    };
    let moved = format!(
        "branch {branch} has moved from {} to {} meanwhile",
        short(&bench.base.commit),
        short(&head)
    );
    let reason = match reason_to_stay(log, &record, bench).await {
        Some(reason) => reason,
        None => {
            log.enter(State::Verifying, 80, &format!("Putting the change on top: {moved}"))
                .await?;
            match attempt(parts, log, signals, bench, &Move { branch, head, mine }).await? {
                Ok((checkpoint, evidence)) => {
                    let note = format!("{moved}; the change was put on top of it and verified again there");
                    record_move(log, &bench.base, checkpoint, evidence, note).await?;
                    return Ok(Followed::Moved);
                }
                Err(reason) => reason,
            }
        }
    };
    let note = format!(
        "{moved}; the change stands on {} as before: {reason}",
        short(&bench.base.commit)
    );
    if !record.progress.notes.contains(&note) {
        log.write(vec![EventPayload::Warning { message: note.clone() }], |progress| {
            progress.rebases += 1;
            progress.notes.push(note);
        })
        .await?;
    }
    Ok(Followed::Stays)
}

/// What is to be put on top of what.
struct Move {
    branch: BranchName,
    head: ObjectId,
    mine: Checkpoint,
}

/// The new checkpoint (none when the new base has the change already) and the new base's evidence.
type Stand = (Option<Checkpoint>, Vec<Evidence>);

/// Tries it; when that fails the work tree is as before, and the sentence says why.
async fn attempt(
    parts: &Parts,
    log: &RunLog,
    signals: &StopSignals,
    bench: &mut Workbench,
    wanted: &Move,
) -> Result<Result<Stand, String>, Halt> {
    log.write(Vec::new(), |progress| progress.checking = true).await?;
    let former = (bench.workspace.clone(), bench.base.clone());
    let halt = match signals.interrupt(put_on_top(parts, log, bench, wanted)).await {
        Ok(stand) => return Ok(Ok(stand)),
        Err(halt) => halt,
    };
    (bench.workspace, bench.base) = former;
    let Halt::Failed(failure) = halt else {
        return Err(halt);
    };
    signals.interrupt(bench.workspace.restore(&wanted.mine)).await?;
    Ok(Err(failure.message))
}

/// Returns the branch whose new commits matter, and what was saved last; none where nothing is pushed or a
/// commit was named.
fn what_may_move(record: &TaskRecord, bench: &Workbench) -> Option<(BranchName, Checkpoint)> {
    let progress = &record.progress;
    let is_pushed = record.spec.publication.mode != PublicationMode::PatchOnly && bench.repository.can_push;
    if !is_pushed {
        return None;
    }
    let branch = match &progress.head_branch {
        Some(branch) => BranchName::parse(branch).ok()?,
        None if bench.repository.commit.is_some() => return None,
        None => bench.repository.base_branch.clone(),
    };
    Some((branch, progress.checkpoint.clone()?))
}

/// Asks where the branch is. A remote that does not answer is left to the push, which is tried in any case.
async fn new_head(
    parts: &Parts,
    log: &RunLog,
    bench: &Workbench,
    branch: &BranchName,
) -> Result<Option<ObjectId>, Halt> {
    let remote = moving_remote(log, bench).await?;
    Ok(parts.git.remote_head(&remote, branch).await.unwrap_or_else(|error| {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "whether the branch has moved is not known"
        );
        None
    }))
}

/// Returns where the branch that may move is: one that the Task goes on from is where changes are pushed.
async fn moving_remote(log: &RunLog, bench: &Workbench) -> Result<GitRemote, Halt> {
    let access = match log.record().progress.head_branch {
        Some(_) => Access::Push,
        None => Access::Read,
    };
    remote(log, bench.forge.as_ref(), &bench.repository, access).await
}

async fn reason_to_stay(log: &RunLog, record: &TaskRecord, bench: &Workbench) -> Option<String> {
    if record.progress.stopped.is_some() {
        return Some("the work is not finished".into());
    }
    if record.progress.rebases >= MAX_REBASES {
        return Some("it is put on top of others' work once only".into());
    }
    let left = bench.limits.max_duration.saturating_sub(log.elapsed().await);
    let needed = 2 * record.progress.baseline_duration + LEAST_TIME_LEFT;
    (left < needed).then(|| "there was no time left to verify it again".into())
}

/// Fetches the new base, proves it, and puts the change on top.
async fn put_on_top(parts: &Parts, log: &RunLog, bench: &mut Workbench, wanted: &Move) -> Result<Stand, Halt> {
    let Move { branch, head, mine } = wanted;
    let remote = moving_remote(log, bench).await?;
    let mirror = parts
        .git
        .fetch_mirror(&remote, branch, Some(head))
        .await
        .map_err(git_halt)?;
    let onto = parts.git.quarantine(log.task(), &mirror).map_err(git_halt)?;
    bench.forget_checks().await?;
    let former_commit = bench.base.commit.clone();
    bench.workspace = bench.workspace.stand_on(mine, onto).await?;
    bench.base = Base {
        commit: mirror.commit,
        tree: mirror.tree,
        branch: bench.base.branch.clone(),
    };
    let evidence = baseline_evidence(parts, log, bench, log.record().progress.rebases + 2).await?;
    if let Rebased::Conflicts(names) = bench.workspace.reapply(mine, &former_commit).await? {
        let names: Vec<_> = names.iter().map(|name| parts.redactor.mask(name)).collect();
        let message = format!("the two contradict each other in {}", names.join(", "));
        return Err(Failure::lasting(Reason::PublicationFailed, message).into());
    }
    let checkpoint = bench.workspace.save(None, mine.turn).await?;
    Ok((checkpoint, evidence))
}

async fn record_move(
    log: &RunLog,
    base: &Base,
    checkpoint: Option<Checkpoint>,
    evidence: Vec<Evidence>,
    note: String,
) -> Result<(), StoreError> {
    let mut events = vec![EventPayload::Warning { message: note.clone() }];
    events.extend(checkpoint.iter().map(|checkpoint| EventPayload::CheckpointSaved {
        commit: checkpoint.commit.clone(),
    }));
    let base = base.clone();
    log.write(events, |progress| {
        progress.base = Some(base);
        progress.checkpoint = checkpoint;
        progress.baseline_duration = evidence.iter().map(|fact| fact.duration).sum();
        progress.evidence = evidence;
        progress.checking = false;
        progress.rebases += 1;
        progress.notes.push(note);
    })
    .await
}

fn short(commit: &ObjectId) -> &str {
    commit.as_str().get(..SHORT_COMMIT).unwrap_or(commit.as_str())
}
