//! Endings: what is recorded last, and what is kept of the work when a Task did not succeed.
//!
//! A cancel keeps a stored patch and never pushes. A failure after work was done is published as a
//! draft by `publish` before it comes here; what could not be pushed is kept as a patch.

use std::time::Duration;

use bytes::Bytes;

use crate::forge::git::{DiffRequest, GitError};
use crate::metrics;
use crate::orchestrator::Parts;
use crate::orchestrator::run::Halt;
use crate::orchestrator::run_log::RunLog;
use crate::orchestrator::workbench::Workbench;
use crate::store::StoreError;
use crate::task::event::{CutText, Ending, EventPayload};
use crate::task::failure::Failure;
use crate::task::id::{ArtifactId, ObjectId};
use crate::task::record::Base;
use crate::task::result::{Finding, PreservedWork, ResultKind, TaskResult};

/// How long the last save of a cancelled Task may take.
const LAST_SAVE: Duration = Duration::from_secs(4);

/// Largest patch that is kept whole.
pub(super) const MAX_PATCH_BYTES: usize = 64 << 20;

/// Ends a Task that a caller cancelled.
pub(super) async fn cancelled(parts: &Parts, log: &RunLog, bench: Option<&Workbench>) -> Result<(), StoreError> {
    let preserved = keep_patch(parts, log, bench).await?;
    end(log, Ending::Cancelled, preserved, Vec::new()).await
}

/// Ends a Task that failed before or while it was published.
pub(super) async fn failed(
    parts: &Parts,
    log: &RunLog,
    bench: Option<&Workbench>,
    failure: Failure,
) -> Result<(), StoreError> {
    let preserved = keep_patch(parts, log, bench).await?;
    let findings = log.record().progress.findings;
    end(log, Ending::Failed(failure), preserved, findings).await
}

/// Ends a Task whose agent changed nothing: a success when it says why, else a failure.
pub(super) async fn unchanged(log: &RunLog) -> Result<(), Halt> {
    let progress = log.record().progress;
    if let Some(failure) = progress.stopped {
        return Err(Halt::Failed(failure));
    }
    let result = TaskResult {
        kind: ResultKind::NoChange,
        evidence: progress.evidence,
        summary: progress.summary.unwrap_or_default(),
        pull_request: None,
        branch: None,
        patch: String::new(),
        patch_truncated: false,
    };
    Ok(end(log, Ending::Succeeded(result), None, Vec::new()).await?)
}

/// Records the ending; the log takes nothing after it.
pub(super) async fn end(
    log: &RunLog,
    ending: Ending,
    preserved_work: Option<PreservedWork>,
    findings: Vec<Finding>,
) -> Result<(), StoreError> {
    let written = ending.clone();
    let done = matches!(ending, Ending::Succeeded(_)).then(|| EventPayload::Progress {
        percent: 100,
        step: "Done".into(),
    });
    let finished = EventPayload::TaskFinished {
        ending: written,
        preserved_work,
        findings,
    };
    match done {
        Some(done) => log.succeed(vec![done, finished]).await?,
        None => log.events(vec![finished]).await?,
    }
    metrics::count_ended(&ending);
    match ending {
        Ending::Succeeded(result) => tracing::info!(result = ?result.kind, "task succeeded"),
        Ending::Failed(failure) => {
            tracing::warn!(
                reason = failure.reason.as_str(),
                message = failure.message,
                "task failed"
            );
        }
        Ending::Cancelled => tracing::info!("task cancelled"),
    }
    Ok(())
}

/// Stores the whole patch as an artifact and returns it cut for the event.
pub(super) async fn store_patch(parts: &Parts, log: &RunLog, mut patch: Vec<u8>) -> Result<CutText, StoreError> {
    let artifact = ArtifactId::new("patch");
    // As long as before, so that the patch still applies where nothing was masked.
    parts.redactor.mask_in_place(&mut patch);
    let mut text = CutText::new(String::from_utf8_lossy(&patch).into_owned());
    parts
        .store
        .put_artifact(log.task(), &artifact, Bytes::from(patch))
        .await?;
    text.artifact = Some(artifact);
    Ok(text)
}

/// Keeps what there is of the work as a patch: the tree as it is now, or the last checkpoint.
async fn keep_patch(
    parts: &Parts,
    log: &RunLog,
    bench: Option<&Workbench>,
) -> Result<Option<PreservedWork>, StoreError> {
    if let Some(bench) = bench {
        match tokio::time::timeout(LAST_SAVE, bench.save(parts, log)).await {
            Ok(Ok(_)) => {}
            Ok(Err(Halt::Store(error))) => return Err(error),
            Ok(Err(halt)) => tracing::warn!(?halt, "the last change could not be saved; the last checkpoint is kept"),
            Err(_) => tracing::warn!("the last change was not saved in time; the last checkpoint is kept"),
        }
    }
    let progress = log.record().progress;
    let (Some(base), Some(checkpoint)) = (progress.base, progress.checkpoint) else {
        return Ok(None);
    };
    if checkpoint.tree == base.tree {
        return Ok(None);
    }
    match patch_between(parts, log, &base, &checkpoint.tree).await {
        Ok(patch) => {
            let text = store_patch(parts, log, patch).await?;
            let pushed = progress.publication.filter(|intent| intent.pushed);
            Ok(Some(PreservedWork {
                branch: pushed.as_ref().map(|intent| intent.branch.clone()),
                pull_request: pushed.and_then(|intent| intent.pull_request),
                patch: text.text,
                patch_truncated: text.truncated,
            }))
        }
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the kept work can't be shown as a patch; its commit {} is kept",
                checkpoint.commit
            );
            Ok(None)
        }
    }
}

async fn patch_between(parts: &Parts, log: &RunLog, base: &Base, tree: &ObjectId) -> Result<Vec<u8>, GitError> {
    let quarantine = parts.git.reopen_quarantine(log.task(), base)?;
    Ok(quarantine
        .diff(&base.tree, tree, DiffRequest::Appliable(MAX_PATCH_BYTES))
        .await?
        .patch
        .bytes)
}
