//! Verification: the repository's own commands, run by the orchestrator and never by the model.
//!
//! Once on the base (the baseline) and again on the change; what counts is what is *newly* red. The
//! tree is recorded before the commands run, so that what they leave behind never enters the change.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::agent::Journal as _;
use crate::orchestrator::Parts;
use crate::orchestrator::run_log::RunLog;
use crate::sandbox::{ExecReport, ExecSpec, OutputChunk, Sandbox, SandboxError};
use crate::store::StoreError;
use crate::task::event::{CutText, EventPayload, LivePayload};
use crate::task::id::{ArtifactId, CallId, ObjectId};
use crate::task::result::{Evidence, Verdict};

/// Tail of a command's output that stands in its event and goes back to the model.
const OUTPUT_TAIL_BYTES: usize = 8 * 1024;

/// Which side of the change a verification looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The base, before any change.
    Base,
    /// The change.
    Change,
}

/// What is to be verified.
pub(super) struct Verification<'a> {
    pub(super) commands: &'a [String],
    pub(super) side: Side,
    pub(super) tree: &'a ObjectId,
    pub(super) round: u32,
    /// Results on the base.
    pub(super) baseline: &'a [Evidence],
    /// Longest limit of one command.
    pub(super) command_timeout: Duration,
    /// What all of them together may take; what does not fit is reported as timed out.
    pub(super) time_left: Duration,
}

/// One command's fact and the tail of what it printed.
#[derive(Clone, Debug)]
pub(super) struct Checked {
    pub(super) evidence: Evidence,
    pub(super) output: String,
}

/// Why a verification could not be carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum VerifyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
}

impl Verification<'_> {
    /// Runs the commands in order and records each.
    pub(super) async fn run(
        &self,
        parts: &Parts,
        sandbox: &dyn Sandbox,
        log: &RunLog,
    ) -> Result<Vec<Checked>, VerifyError> {
        let begun = Instant::now();
        let mut all = Vec::with_capacity(self.commands.len());
        for (index, command) in self.commands.iter().enumerate() {
            let name = match self.side {
                Side::Base if self.round == 1 => format!("base.{}", index + 1),
                // After a rebase there is another base.
                Side::Base => format!("base{}.{}", self.round, index + 1),
                Side::Change => format!("verify{}.{}", self.round, index + 1),
            };
            let time_left = self.time_left.saturating_sub(begun.elapsed());
            all.push(
                self.check(parts, sandbox, log, CallId::new(name), command, time_left)
                    .await?,
            );
        }
        Ok(all)
    }

    async fn check(
        &self,
        parts: &Parts,
        sandbox: &dyn Sandbox,
        log: &RunLog,
        call_id: CallId,
        command: &str,
        time_left: Duration,
    ) -> Result<Checked, VerifyError> {
        let baseline = self.side == Side::Base;
        log.events(vec![EventPayload::VerificationStarted {
            call_id: call_id.clone(),
            command: command.to_owned(),
            baseline,
        }])
        .await?;
        let timeout = self.command_timeout.min(time_left);
        let report = exec_live(sandbox, ExecSpec::shell(command, timeout), log, &call_id).await?;
        let whole = parts
            .redactor
            .mask(&String::from_utf8_lossy(&report.output))
            .into_owned();
        let output = tail(&whole, OUTPUT_TAIL_BYTES);
        let mut text = CutText::new(output.clone());
        if output.len() < whole.len() || report.spill.is_some() {
            text.truncated = true;
            text.artifact = Some(keep(parts, log, &call_id, &report, whole).await?);
        }
        let mut evidence = Evidence {
            command: command.to_owned(),
            exit_code: report.exit_code.filter(|_| !report.timed_out),
            duration: report.duration,
            tree: self.tree.clone(),
            baseline,
            timed_out: report.timed_out,
            verdict: Verdict::NotRun,
        };
        evidence.verdict = verdict(&evidence, self.side, self.baseline);
        log.events(vec![EventPayload::VerificationFinished {
            call_id,
            evidence: evidence.clone(),
            output: text,
            round: self.round,
        }])
        .await?;
        Ok(Checked { evidence, output })
    }
}

async fn keep(
    parts: &Parts,
    log: &RunLog,
    call_id: &CallId,
    report: &ExecReport,
    whole: String,
) -> Result<ArtifactId, StoreError> {
    if let Some(spill) = &report.spill
        && let Ok(artifact) = log.keep_output(call_id, spill).await
    {
        return Ok(artifact);
    }
    let artifact = ArtifactId::new(format!("output-{call_id}"));
    parts.store.put_artifact(log.task(), &artifact, whole.into()).await?;
    Ok(artifact)
}

/// Runs a command and shows its output live.
pub(super) async fn exec_live(
    sandbox: &dyn Sandbox,
    spec: ExecSpec,
    log: &RunLog,
    call_id: &CallId,
) -> Result<ExecReport, SandboxError> {
    // A full channel drops chunks; their offsets show the hole, and the report has the whole.
    let (sender, mut receiver) = mpsc::channel::<OutputChunk>(64);
    let exec = sandbox.exec(spec, Some(sender));
    tokio::pin!(exec);
    loop {
        tokio::select! {
            biased;
            Some(OutputChunk { stream, offset, data }) = receiver.recv() => {
                log.live(LivePayload::ToolOutputDelta { call_id: call_id.clone(), stream, data, offset });
            }
            report = &mut exec => return report,
        }
    }
}

/// Says what a result means for the change: only what was not red before is the change's fault.
fn verdict(evidence: &Evidence, side: Side, baseline: &[Evidence]) -> Verdict {
    if evidence.is_green() {
        return Verdict::Passed;
    }
    let on_base = baseline
        .iter()
        .find(|base| base.baseline && base.command == evidence.command);
    match (side, on_base) {
        (Side::Base, _) => Verdict::FailedOnBaseToo,
        (Side::Change, Some(base)) if !base.is_green() => Verdict::FailedOnBaseToo,
        (Side::Change, _) => Verdict::NewlyRed,
    }
}

/// Returns the end of a text, from the start of a line where one is near.
fn tail(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let from = text.len() - crate::task::event::floor_char_boundary(text, bytes).min(bytes);
    let from = (from..text.len())
        .find(|&at| text.is_char_boundary(at))
        .unwrap_or(text.len());
    let rest = text.get(from..).unwrap_or_default();
    let rest = rest
        .split_once('\n')
        .filter(|(head, _)| head.len() < 200)
        .map_or(rest, |(_, rest)| rest);
    format!("… (the beginning is left out)\n{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(exit_code: Option<i32>, timed_out: bool, baseline: bool) -> Evidence {
        Evidence {
            command: "make test".into(),
            exit_code,
            duration: Duration::ZERO,
            tree: "0".repeat(40).parse().unwrap(),
            baseline,
            timed_out,
            verdict: Verdict::NotRun,
        }
    }

    #[test]
    fn only_what_was_green_or_unknown_on_the_base_is_newly_red() {
        let (green, red) = (evidence(Some(0), false, true), evidence(Some(1), false, true));
        let late = evidence(None, true, true);
        let changed = |exit| evidence(exit, false, false);
        for (result, base, expected) in [
            (changed(Some(0)), vec![red.clone()], Verdict::Passed),
            (changed(Some(1)), vec![green.clone()], Verdict::NewlyRed),
            (changed(Some(1)), vec![red], Verdict::FailedOnBaseToo),
            (changed(Some(1)), vec![late], Verdict::FailedOnBaseToo),
            (changed(Some(1)), vec![], Verdict::NewlyRed),
            (evidence(None, true, false), vec![green], Verdict::NewlyRed),
        ] {
            assert_eq!(verdict(&result, Side::Change, &base), expected, "{result:?} {base:?}");
        }
    }

    #[test]
    fn a_tail_starts_at_a_line_and_says_that_it_is_one() {
        let text: String = (0..5000).map(|line| format!("line {line} é\n")).collect();
        let cut = tail(&text, 1000);
        assert!(cut.starts_with("… (the beginning is left out)\nline "));
        assert!(cut.ends_with("line 4999 é\n"));
        assert_eq!(tail("short", 1000), "short");
    }
}
