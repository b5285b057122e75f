//! A provider of the `local` backend with a state folder of its own.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use backspace_server::jobs::Jobs;
use backspace_server::sandbox::local::{DiskLimit, LocalConfig, LocalProvider, find_supervisor};
use backspace_server::sandbox::{Sandbox, SandboxProvider as _};
use tempfile::TempDir;

use crate::inside::spec;

/// Where the supervisor is when an ordinary user can't look for it.
pub const SUPERVISOR_VARIABLE: &str = "BACKSPACE_TEST_SUPERVISOR";

/// Processes that one command line of a shell sees at most: PID 1, its init, itself and one it runs.
pub const MOST_PROCESSES: u32 = 4;

/// A provider whose folder goes with it.
pub struct Backend {
    pub provider: LocalProvider,
    pub state: TempDir,
}

impl Backend {
    pub fn new() -> Self {
        let state = TempDir::new().unwrap();
        Self {
            provider: provider(state.path()),
            state,
        }
    }

    /// A backend whose sandboxes may be allowed hosts of a range that is not public.
    pub fn reaching(range: &str) -> Self {
        let state = TempDir::new().unwrap();
        let mut config = config(state.path());
        config.egress.private_ranges = vec![range.parse().unwrap()];
        Self {
            provider: LocalProvider::new(config, Jobs::new()).unwrap(),
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
