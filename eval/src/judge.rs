//! The judge: runs an exercise's hidden check on a result, in a sandbox of its own.
//!
//! A result is untrusted: it is checked out and run inside the same `local` sandbox as Tasks are, without
//! network, after the Task, where the agent could neither see the check nor touch it. What decides is the
//! exit status of `check.sh`; its words become the reason.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use backspace_server::jobs::Jobs;
use backspace_server::sandbox::local::{LocalConfig, LocalProvider};
use backspace_server::sandbox::{
    ExecReport, ExecSpec, FileError, FileRequest, OBJECTS, Sandbox, SandboxError, SandboxProvider as _, SandboxSpec,
};

use crate::exercise::Exercise;
use crate::repository::Repository;

/// Longest time of a check.
const CHECK_TIME: Duration = Duration::from_secs(300);
const CHECKOUT_TIME: Duration = Duration::from_secs(60);

/// Apart from the ids that the server on this machine gives out.
const FIRST_HOST_ID: u32 = 300_000;

/// Where the check and the base tree lie inside.
const CHECK: &str = "/tmp/check";
const BASE: &str = "/tmp/base";

/// Most characters of a check's words that are kept, from their end.
const MAX_WHY_CHARS: usize = 600;

const CHECKOUT: &str = include_str!("judge/checkout.sh");

/// What a check said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The result is right.
    Right,
    /// It is not, and the check's last words.
    Wrong(String),
}

/// A result could not be judged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JudgeError {
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error("the hidden check could not be put in place: {0}")]
    File(FileError),
    #[error("the result could not be checked out: {0}")]
    Checkout(String),
}

/// Judges results.
pub(crate) struct Judge {
    provider: LocalProvider,
    build_cache: Option<PathBuf>,
}

impl Judge {
    /// Prepares the folder of the judge's sandboxes. A build cache is shown in them read-only.
    pub(crate) fn new(
        state_folder: PathBuf,
        supervisor: PathBuf,
        build_cache: Option<PathBuf>,
    ) -> Result<Self, SandboxError> {
        let mut config = LocalConfig::new(state_folder, supervisor);
        config.first_host_id = FIRST_HOST_ID;
        config.extra_paths.extend(build_cache.clone());
        Ok(Self {
            provider: LocalProvider::new(config, Jobs::new())?,
            build_cache,
        })
    }

    /// Returns which of these programs are not in a sandbox on this machine. Fails where there are no sandboxes.
    pub(crate) async fn missing(&self, programs: &[String]) -> Result<Vec<String>, SandboxError> {
        let script = r#"for name; do command -v "$name" >/dev/null 2>&1 || echo "$name"; done"#;
        let mut argv: Vec<String> = ["/bin/sh", "-c", script, "missing"].map(Into::into).into();
        argv.extend_from_slice(programs);
        let sandbox = self.provider.create(self.spec(None)).await?;
        let report = sandbox.exec(exec(argv, CHECKOUT_TIME), None).await;
        sandbox.destroy().await?;
        Ok(String::from_utf8_lossy(&report?.output)
            .lines()
            .map(Into::into)
            .collect())
    }

    /// Runs the check of an exercise on a commit of its repository.
    pub(crate) async fn judge(
        &self,
        exercise: &Exercise,
        repository: &Repository,
        commit: &str,
    ) -> Result<Verdict, JudgeError> {
        let sandbox = self.provider.create(self.spec(Some(repository.objects()))).await?;
        let verdict = judge_in(&sandbox, exercise, repository.base(), commit).await;
        sandbox.destroy().await?;
        verdict
    }

    fn spec(&self, objects: Option<PathBuf>) -> SandboxSpec {
        let cache = self
            .build_cache
            .as_ref()
            .map(|path| path.to_string_lossy().into_owned());
        SandboxSpec {
            environment: cache.map(|path| ("BUILD_CACHE".into(), path)).into_iter().collect(),
            objects,
            ..SandboxSpec::of_no_task(CHECK_TIME + 2 * CHECKOUT_TIME)
        }
    }
}

async fn judge_in(
    sandbox: &Arc<dyn Sandbox>,
    exercise: &Exercise,
    base: &str,
    commit: &str,
) -> Result<Verdict, JudgeError> {
    let argv = ["/bin/sh", "-c", CHECKOUT, "checkout", OBJECTS, base, commit];
    let report = sandbox
        .exec(exec(argv.map(Into::into).into(), CHECKOUT_TIME), None)
        .await?;
    if report.exit_code != Some(0) {
        return Err(JudgeError::Checkout(last_words(&report.output)));
    }
    for (name, content) in &exercise.check {
        let request = FileRequest::Write {
            path: format!("{CHECK}/{name}"),
            content: content.clone(),
        };
        sandbox.file(request).await?.map_err(JudgeError::File)?;
    }
    let argv = ["/bin/sh".to_owned(), format!("{CHECK}/check.sh")];
    let report = sandbox.exec(exec(argv.into(), CHECK_TIME), None).await?;
    Ok(verdict(&report))
}

fn verdict(report: &ExecReport) -> Verdict {
    let words = last_words(&report.output);
    match report.exit_code {
        Some(0) if !report.timed_out => Verdict::Right,
        _ if report.timed_out => Verdict::Wrong(format!("the check took over {} s: {words}", CHECK_TIME.as_secs())),
        Some(code) if words.is_empty() => Verdict::Wrong(format!("the check ended with status {code}")),
        None if words.is_empty() => Verdict::Wrong("the check was killed".into()),
        _ => Verdict::Wrong(words),
    }
}

/// Returns the end of what was written, made safe to show: a result may print what steers a terminal.
fn last_words(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let text = text.trim();
    let skipped = text.chars().count().saturating_sub(MAX_WHY_CHARS);
    let shown = text.chars().skip(skipped);
    shown
        .map(|character| match character {
            '\n' | '\t' => character,
            other if other.is_control() => '\u{fffd}',
            other => other,
        })
        .collect()
}

fn exec(argv: Vec<String>, timeout: Duration) -> ExecSpec {
    let mut spec = ExecSpec::shell("", timeout);
    spec.argv = argv;
    spec.environment = vec![("CHECK".into(), CHECK.into()), ("BASE".into(), BASE.into())];
    spec
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(exit_code: Option<i32>, output: &str) -> ExecReport {
        ExecReport {
            exit_code,
            signal: exit_code.is_none().then_some(9),
            timed_out: false,
            out_of_memory: false,
            disk_exceeded: false,
            duration: Duration::ZERO,
            output: output.into(),
            total_bytes: 0,
            spill: None,
        }
    }

    #[test]
    fn only_status_zero_in_time_is_right_and_the_last_words_say_why_not() {
        assert_eq!(verdict(&report(Some(0), "fine")), Verdict::Right);
        assert_eq!(verdict(&report(Some(1), "not ok\n")), Verdict::Wrong("not ok".into()));
        assert_eq!(
            verdict(&report(None, "")),
            Verdict::Wrong("the check was killed".into())
        );
        let late = ExecReport {
            timed_out: true,
            ..report(Some(0), "")
        };
        assert!(matches!(verdict(&late), Verdict::Wrong(_)));
    }

    #[test]
    fn words_are_cut_from_the_front_and_cannot_steer_a_terminal() {
        assert_eq!(last_words(b"\x1b[2Jred\n"), "\u{fffd}[2Jred");
        let long = format!("first{}last", "x".repeat(MAX_WHY_CHARS));
        assert!(last_words(long.as_bytes()).ends_with("last"));
        assert_eq!(last_words(long.as_bytes()).chars().count(), MAX_WHY_CHARS);
    }
}
