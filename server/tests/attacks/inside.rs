//! Short ways to run a command in a sandbox of any backend.

use std::time::Duration;

use backspace_server::sandbox::{ExecReport, ExecSpec, Sandbox, SandboxSpec};

pub const MINUTE: Duration = Duration::from_secs(60);

pub fn spec() -> SandboxSpec {
    SandboxSpec::of_no_task(MINUTE)
}

/// Runs a command line to its end.
pub async fn report(sandbox: &dyn Sandbox, command: &str) -> ExecReport {
    sandbox.exec(ExecSpec::shell(command, MINUTE), None).await.unwrap()
}

/// Runs a command line that must succeed, and returns what it wrote.
pub async fn output(sandbox: &dyn Sandbox, command: &str) -> String {
    let report = report(sandbox, command).await;
    let text = String::from_utf8(report.output.clone()).unwrap();
    assert_eq!(report.exit_code, Some(0), "{command}: {text}");
    text
}

/// Runs a command line and returns exit status and what it wrote.
pub async fn outcome(sandbox: &dyn Sandbox, command: &str) -> (Option<i32>, String) {
    let report = report(sandbox, command).await;
    (report.exit_code, String::from_utf8_lossy(&report.output).into_owned())
}
