//! A provider with a state folder of its own, and short ways to run a command in a sandbox.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use backspace_server::jobs::Jobs;
use backspace_server::sandbox::local::{DiskLimit, LocalConfig, LocalProvider, find_supervisor};
use backspace_server::sandbox::{ExecReport, ExecSpec, Sandbox, SandboxProvider as _, SandboxSpec};

use tempfile::TempDir;

/// Where the supervisor is when an ordinary user can't look for it.
pub const SUPERVISOR_VARIABLE: &str = "BACKSPACE_TEST_SUPERVISOR";

pub const MINUTE: Duration = Duration::from_secs(60);

/// A provider whose folder goes with it.
pub struct Local {
    pub provider: LocalProvider,
    pub state: TempDir,
}

impl Local {
    pub fn new() -> Self {
        let state = TempDir::new().unwrap();
        Self {
            provider: provider(state.path()),
            state,
        }
    }

    pub async fn sandbox(&self) -> Arc<dyn Sandbox> {
        self.provider.create(spec()).await.unwrap()
    }

    /// Lists what lies in the state folder, by name.
    pub fn leftovers(&self) -> Vec<String> {
        std::fs::read_dir(self.state.path().join("sandboxes"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }
}

/// Makes a provider over a state folder, as a restarted server does.
pub fn provider(state: &Path) -> LocalProvider {
    LocalProvider::new(config(state), Jobs::new()).unwrap()
}

/// A config whose work trees are plain folders, so that a test can look at them from outside.
pub fn config(state: &Path) -> LocalConfig {
    let mut config = LocalConfig::new(state, supervisor());
    config.disk = DiskLimit::Files;
    config
}

/// Returns the supervisor's binary, built of the present source.
pub fn supervisor() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build_supervisor).clone()
}

fn build_supervisor() -> PathBuf {
    if let Some(path) = std::env::var_os(SUPERVISOR_VARIABLE) {
        return path.into();
    }
    // Cargo builds no binary of another package for a test.
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--offline", "--package", "sandbox-supervisor"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap();
    assert!(built.success());
    find_supervisor(&std::env::current_exe().unwrap()).unwrap()
}

pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

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
