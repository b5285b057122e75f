//! What a sandbox is to be: its limits, what is shown in it, what lies under its folders.
//!
//! Every path is the server's own, or a name that a backend gave for what it keeps; nothing of a Task is in it.

use std::path::PathBuf;
use std::time::Duration;

use crate::task::id::{Epoch, SandboxId};

/// What a sandbox is to be.
#[derive(Clone, Debug)]
pub struct SandboxSpec {
    /// Its id; labels and folders carry it.
    pub id: SandboxId,
    /// Fencing number of the run that makes it; the supervisor obeys the highest it has seen.
    pub epoch: Epoch,
    /// Limits.
    pub limits: SandboxLimits,
    /// Container image, for backends that use one.
    pub image: Option<String>,
    /// Environment of every command, beside the fixed one. Never a secret.
    pub environment: Vec<(String, String)>,
    /// Objects of the repository's mirror, shown read-only at `OBJECTS`.
    pub objects: Option<PathBuf>,
    /// Bytes of the base once it is checked out: what is small may be sent instead of shown.
    pub base_bytes: u64,
    /// A cached checkout of the base commit to lie under the work tree.
    pub checkout: Option<PathBuf>,
    /// What set-up commands left, to lie under the work tree and the home folder.
    pub setup: Option<KeptSetup>,
    /// After this long the sandbox ends by itself, whatever became of the server.
    pub deadline: Duration,
}

impl SandboxSpec {
    /// Returns the spec of a sandbox that belongs to no Task: a new id, the default limits, nothing in it.
    pub fn of_no_task(deadline: Duration) -> Self {
        Self {
            id: SandboxId::random(),
            epoch: Epoch(1),
            limits: SandboxLimits::default(),
            image: None,
            environment: Vec::new(),
            objects: None,
            base_bytes: 0,
            checkout: None,
            setup: None,
            deadline,
        }
    }
}

/// What set-up commands left in a sandbox of their own, to lie read-only under folders of later ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptSetup {
    /// Lies under the work tree, and under its checkout: what a checkout has hides what this has.
    pub work_tree: PathBuf,
    /// Lies under the home folder.
    pub home: PathBuf,
    /// What was noted when it was kept.
    pub note: String,
}

/// Limits of a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SandboxLimits {
    /// Memory of all commands together, without swap.
    pub memory_bytes: u64,
    /// CPU time per wall time, in thousandths of a CPU.
    pub cpu_millis: u32,
    /// Processes and threads.
    pub pids: u32,
    /// What the work tree may grow by.
    pub disk_bytes: u64,
    /// Each of /tmp and the home folder.
    pub tmp_bytes: u64,
}

impl Default for SandboxLimits {
    fn default() -> Self {
        Self {
            memory_bytes: 2 << 30,
            cpu_millis: 2000,
            pids: 512,
            disk_bytes: 10 << 30,
            tmp_bytes: 512 << 20,
        }
    }
}
