//! The baseline: what the checks say of the base before any change, once for each commit and commands.

use std::time::Duration;

use crate::orchestrator::content_key::content_key;
use crate::orchestrator::run::Halt;
use crate::orchestrator::run_log::RunLog;
use crate::orchestrator::verify::{Side, Verification, VerifyError};
use crate::orchestrator::workbench::Workbench;
use crate::orchestrator::{Parts, stated};
use crate::sandbox::ExecSpec;
use crate::task::event::{CutText, EventPayload};
use crate::task::id::{CallId, Timestamp};
use crate::task::record::Base;
use crate::task::result::Evidence;

/// Proves the base, once for each commit and list of commands.
pub(super) async fn baseline(parts: &Parts, log: &RunLog, bench: &Workbench) -> Result<(), Halt> {
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
    let evidence = baseline_evidence(parts, log, bench, 1).await?;
    let baseline_duration = evidence.iter().map(|fact| fact.duration).sum();
    log.write(Vec::new(), |progress| {
        progress.evidence = evidence;
        progress.baseline_duration = baseline_duration;
    })
    .await?;
    Ok(())
}

/// Returns what the checks say of the base: recalled, or run in the work tree, which must be the base's.
pub(super) async fn baseline_evidence(
    parts: &Parts,
    log: &RunLog,
    bench: &Workbench,
    round: u32,
) -> Result<Vec<Evidence>, Halt> {
    let key = baseline_key(&bench.base, &bench.commands, parts.sandboxes.name());
    let known: Option<Vec<Evidence>> = parts
        .store
        .recall(&key)
        .await?
        .and_then(|text| serde_json::from_str(&text).ok());
    if let Some(evidence) = known {
        let events = evidence.iter().enumerate();
        log.events(events.map(|(index, fact)| remembered(index, fact)).collect())
            .await?;
        return Ok(evidence);
    }
    let time_left = bench.limits.max_duration / 4;
    let evidence = run_baseline(parts, log, bench, round, time_left).await?;
    if let Ok(text) = serde_json::to_string(&evidence) {
        parts.store.remember(&key, &text, Timestamp::now()).await?;
    }
    Ok(evidence)
}

async fn run_baseline(
    parts: &Parts,
    log: &RunLog,
    bench: &Workbench,
    round: u32,
    time_left: Duration,
) -> Result<Vec<Evidence>, Halt> {
    let verification = Verification {
        commands: &bench.commands,
        side: Side::Base,
        tree: &bench.base.tree,
        round,
        baseline: &[],
        command_timeout: stated::verification_timeout(parts, bench),
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
        output: CutText::new("(recorded by an earlier task on the same commit)"),
        round: 1,
    }
}

fn baseline_key(base: &Base, commands: &[String], backend: &str) -> String {
    let digits = content_key(commands.iter().map(String::as_bytes));
    format!("baseline:1:{backend}:{}:{digits}", base.commit)
}
