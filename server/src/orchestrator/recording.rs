//! The exchanges with models: recorded with each run, and replayed from the record of another Task.
//!
//! Lines wait here until the run's next write and go into its transaction, so that a recording is as
//! durable as the turns it tells of and costs no write of its own. How many exchanges a Task has
//! recorded is also how far its replay has come, so a replay needs no state besides.

use std::sync::{Arc, Mutex, PoisonError};

use crate::model::ModelProvider;
use crate::model::catalog::ResolvedModel;
use crate::model::replay::{Divergence, OnDivergence, RecordingProvider, RecordingSink, ReplayProvider};
use crate::orchestrator::run::Halt;
use crate::orchestrator::run_log::RunLog;
use crate::orchestrator::{CallResult, Caller, OrchestratorError, Parts};
use crate::store::{ArtifactPiece, StoreError};
use crate::task::event::EventPayload;
use crate::task::failure::{Failure, Reason};
use crate::task::id::{ArtifactId, TaskId};
use crate::task::spec::TaskSpec;

/// Name of the artifact.
pub(super) const ARTIFACT: &str = "exchanges";

/// Most bytes that are recorded of one Task.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Bytes read at once.
const CHUNK_BYTES: u32 = 1024 * 1024;

/// Name of the provider that replays; the model is the Task.
const PROVIDER: &str = "replay/";

/// What is to be written with the run's next write.
#[derive(Default)]
pub(super) struct Recording(Mutex<Pending>);

#[derive(Default)]
struct Pending {
    lines: Vec<u8>,
    /// What may still be recorded; nothing before `open`.
    left_bytes: u64,
    remarks: Vec<String>,
    divergence: Option<Divergence>,
}

impl Recording {
    /// Lets lines in, after what earlier runs recorded.
    fn open(&self, recorded_bytes: u64) {
        self.with(|pending| {
            let taken = recorded_bytes.saturating_add(pending.lines.len() as u64);
            pending.left_bytes = MAX_BYTES.saturating_sub(taken);
        });
    }

    /// Takes what waits: a piece for the artifact, and events to go before those of the write; `turn` is
    /// the one that is not finished.
    pub(super) fn take_pending(&self, turn: u32) -> (Option<ArtifactPiece>, Vec<EventPayload>) {
        let (lines, mut remarks, divergence) = self.with(|pending| {
            let lines = std::mem::take(&mut pending.lines);
            (lines, std::mem::take(&mut pending.remarks), pending.divergence.take())
        });
        remarks.extend(divergence.map(|divergence| told(&divergence, turn)));
        let piece = (!lines.is_empty()).then(|| ArtifactPiece {
            artifact: ArtifactId::new(ARTIFACT),
            data: lines.into(),
        });
        let warning = |message| EventPayload::Warning { message };
        (piece, remarks.into_iter().map(warning).collect())
    }

    fn with<T>(&self, action: impl FnOnce(&mut Pending) -> T) -> T {
        action(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl RecordingSink for Recording {
    fn take(&self, line: Vec<u8>) {
        self.with(|pending| {
            let bytes = line.len() as u64;
            if bytes <= pending.left_bytes {
                pending.left_bytes -= bytes;
                pending.lines.extend(line);
            } else if pending.left_bytes > 0 {
                // A recording with a hole can't be replayed, so nothing follows.
                pending.left_bytes = 0;
                let mib = MAX_BYTES / (1024 * 1024);
                pending.remarks.push(format!(
                    "the recording of the model's answers has reached {mib} MiB and goes no further"
                ));
            }
        });
    }
}

fn told(divergence: &Divergence, turn: u32) -> String {
    let Divergence {
        exchange,
        what,
        recorded,
        now,
    } = divergence;
    let start = backspace_sdk::REPLAY_DIVERGES;
    format!("{start} in turn {turn}: exchange {exchange} has another {what}; recorded `{recorded}`, now `{now}`")
}

/// Returns the Task that a model's name says to replay.
fn replayed_task(name: &str) -> Option<TaskId> {
    name.strip_prefix(PROVIDER)?.parse().ok()
}

/// Refuses models that the caller can't use: unknown ones, and recordings of other callers' Tasks.
pub(super) async fn check_models(parts: &Parts, caller: &Caller, spec: &TaskSpec) -> CallResult<()> {
    let names = std::iter::once(spec.model.as_deref()).chain(spec.fallback_models.iter().map(|name| Some(&**name)));
    for name in names {
        let fault = match name.and_then(replayed_task) {
            None => parts.models.resolve(name).err().map(|error| error.to_string()),
            Some(task) => {
                let recorded = parts.store.task(task).await?;
                let own = recorded.is_some_and(|record| record.principal == caller.principal);
                (!own).then(|| format!("there is no task `{task}` that could be replayed"))
            }
        };
        if let Some(message) = fault {
            return Err(OrchestratorError::NoModel { message });
        }
    }
    Ok(())
}

/// Lets the run record what its models are asked and answer.
pub(super) async fn open(parts: &Parts, log: &RunLog) -> Result<(), Halt> {
    let artifact = ArtifactId::new(ARTIFACT);
    let recorded = parts.store.read_artifact(log.task(), &artifact, 0, 1).await?;
    log.recording.open(recorded.map_or(0, |chunk| chunk.size));
    Ok(())
}

/// Returns a model by name, recorded.
pub(super) async fn model(parts: &Parts, log: &RunLog, name: Option<&str>) -> Result<ResolvedModel, Halt> {
    let mut model = match name.and_then(replayed_task) {
        Some(task) => replay(parts, log, task).await?,
        None => parts
            .models
            .resolve(name)
            .map_err(|error| Failure::lasting(Reason::ModelRefused, error.to_string()))?,
    };
    model.provider = Arc::new(RecordingProvider::new(model.provider, log.recorder.clone()));
    Ok(model)
}

/// Returns the model that answers what was answered in another Task.
async fn replay(parts: &Parts, log: &RunLog, task: TaskId) -> Result<ResolvedModel, Halt> {
    let refused = |message: String| Failure::lasting(Reason::ModelRefused, message);
    let recorded = parts.store.task(task).await?;
    // The caller's right was checked when the Task was accepted; that Task may have been deleted since.
    if recorded.is_none_or(|record| record.principal != log.record().principal) {
        return Err(refused(format!("there is no task `{task}` that could be replayed")).into());
    }
    let text = read(parts, task).await?;
    if text.is_empty() {
        return Err(refused(format!("task `{task}` has no recorded exchanges with a model")).into());
    }
    let done = read(parts, log.task()).await?.lines().count();
    let recording = Arc::clone(&log.recording);
    let provider = ReplayProvider::parse(&text, OnDivergence::Report)
        .map_err(|error| refused(format!("task `{task}` can't be replayed: {error}")))?
        .masked_by(Arc::clone(&parts.redactor))
        .telling(move |divergence| {
            recording.with(|pending| pending.divergence = Some(divergence.clone()));
        })
        .after(done);
    let recorded_model = provider.recorded_model().unwrap_or_default();
    let provider: Arc<dyn ModelProvider> = Arc::new(provider);
    Ok(parts
        .models
        .stand_in(&format!("{PROVIDER}{task}"), &recorded_model, provider))
}

/// Reads a recording; empty when there is none.
async fn read(parts: &Parts, task: TaskId) -> Result<String, StoreError> {
    let artifact = ArtifactId::new(ARTIFACT);
    let mut bytes = Vec::new();
    loop {
        let offset = bytes.len() as u64;
        let chunk = parts.store.read_artifact(task, &artifact, offset, CHUNK_BYTES).await?;
        match chunk {
            Some(chunk) if !chunk.data.is_empty() && offset < MAX_BYTES => bytes.extend_from_slice(&chunk.data),
            Some(_) | None => return Ok(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_ends_at_its_limit_and_says_so_once() {
        let recording = Recording::default();
        recording.open(MAX_BYTES - 5);
        for line in ["abc\n", "de\n", "f\n"] {
            recording.take(line.into());
        }
        let (piece, events) = recording.take_pending(1);
        assert_eq!(piece.map(|piece| piece.data), Some("abc\n".into()));
        assert_eq!(events.len(), 1);
        assert!(matches!(&events[0], EventPayload::Warning { message } if message.contains("64 MiB")));
        assert_eq!(recording.take_pending(1), (None, Vec::new()));
    }

    #[test]
    fn only_the_id_of_a_task_names_a_task() {
        let id = TaskId::random();
        assert_eq!(replayed_task(&format!("replay/{id}")), Some(id));
        for other in ["replay/demo", "scripted/demo", "replay", "replay/"] {
            assert_eq!(replayed_task(other), None, "{other}");
        }
    }
}
