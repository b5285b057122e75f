//! The sandbox port: where untrusted commands and file operations run.
//!
//! `Sandbox` is implemented once, over the supervisor's protocol (`supervised`); backends differ in
//! how a supervisor comes to life. Nothing here opens a file of the work tree on the host.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;

pub use self::spec::{KeptSetup, SandboxLimits, SandboxSpec};
pub use sandbox_supervisor::protocol::{FileError, FileReply, FileRequest};

use crate::task::event::OutputStream;
use crate::task::host::rules::HostRules;
use crate::task::id::SandboxId;

pub mod docker;
pub mod egress;
pub mod local;
mod making;
mod spec;
pub mod supervised;
mod trial;

/// Folder of the work tree inside every sandbox.
pub const WORK_TREE: &str = "/workspace";

/// Read-only folder of the mirror's objects inside a sandbox that was given one.
pub const OBJECTS: &str = "/.backspace/objects";

/// A command.
#[derive(Clone, Debug)]
pub struct ExecSpec {
    /// Program and arguments; no shell is added.
    pub argv: Vec<String>,
    /// Working folder; the work tree when `None`.
    pub folder: Option<String>,
    /// Environment beside the sandbox's own.
    pub environment: Vec<(String, String)>,
    /// All its processes are killed after this long.
    pub timeout: Duration,
    /// What happens to its output.
    pub output: OutputMode,
}

impl ExecSpec {
    /// Makes a spec for a shell command line, captured, as tools and verifications run it.
    pub fn shell(command: &str, timeout: Duration) -> Self {
        Self {
            argv: vec!["/bin/sh".into(), "-c".into(), command.into()],
            folder: None,
            environment: Vec::new(),
            timeout,
            output: OutputMode::Captured,
        }
    }
}

/// What happens to a command's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputMode {
    /// Head and tail are kept for the report, the whole is spilled inside; chunks may be dropped for a slow reader.
    Captured,
    /// Every byte goes to the channel, and the command waits for a slow reader.
    Streamed,
}

/// A piece of a running command's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputChunk {
    /// Which stream.
    pub stream: OutputStream,
    /// Where it starts in its stream.
    pub offset: u64,
    /// The bytes.
    pub data: Bytes,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecReport {
    /// Exit status; `None` when a signal ended it.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// True when the time limit passed.
    pub timed_out: bool,
    /// True when the memory limit killed one of its processes.
    pub out_of_memory: bool,
    /// True when it was ended because the work tree had outgrown the disk limit.
    pub disk_exceeded: bool,
    /// Wall time, measured inside.
    pub duration: Duration,
    /// Both streams in order of arrival: the head, a line that counts what is left out, the tail. Empty when streamed.
    pub output: Vec<u8>,
    /// Bytes written to both streams.
    pub total_bytes: u64,
    /// Name of the spilled whole, when `output` is not the whole.
    pub spill: Option<Spill>,
}

/// The whole of a long output, kept inside the sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spill {
    /// Path inside, which the model may read.
    pub path: String,
    /// Bytes kept.
    pub bytes: u64,
    /// Bytes that were over the limit and dropped.
    pub dropped_bytes: u64,
}

/// Whether the work tree may have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    /// Nothing was written since the last time this was asked.
    None,
    /// Something was, or it can't be told.
    Possible,
}

/// A refusal by the sandbox's network policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Host and port asked for.
    pub subject: String,
    /// Why, for a person.
    pub message: String,
}

/// What a backend enforces on this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// E.g. `memory`, `pids`, `disk`, `network`, `seccomp`.
    pub enforced: Vec<String>,
    /// What can't be enforced, and why, one sentence each.
    pub not_enforced: Vec<String>,
}

/// How the sandboxes do that are kept ready. Read at any time; the last two only grow while the server runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolNumbers {
    /// As many are to be ready.
    pub size: usize,
    /// As many are.
    pub ready: usize,
    /// Sandboxes for which one was ready.
    pub hits: u64,
    /// Sandboxes that could have been made of one, had one been ready.
    pub misses: u64,
}

/// What a sandbox can fail with.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The backend can't make sandboxes on this machine; names the missing layer and what to do.
    #[error("{message}")]
    Unsupported {
        /// What is missing.
        message: String,
    },
    /// A sandbox could not be made now; trying again may help.
    #[error("a sandbox could not be made: {message}")]
    Unavailable {
        /// What happened.
        message: String,
    },
    /// The image is missing, not allowed, or lacks what is needed.
    #[error("the image can't be used: {message}")]
    Image {
        /// What is wrong with it.
        message: String,
    },
    /// The sandbox is gone, with the commands that ran in it.
    #[error("the sandbox was lost: {message}")]
    Lost {
        /// What happened.
        message: String,
    },
    /// The command could not be started.
    #[error("the command could not be started: {message}")]
    Start {
        /// What happened.
        message: String,
    },
    /// The supervisor broke the protocol; the sandbox was ended.
    #[error("the sandbox broke its protocol: {message}")]
    Protocol {
        /// What was seen.
        message: String,
    },
    /// Anything else.
    #[error("the sandbox backend failed: {message}")]
    Internal {
        /// What happened.
        message: String,
    },
}

/// Makes sandboxes.
///
/// Implementations promise: a sandbox has no network but the tunnel, no secret and no way to the
/// host; `create` leaves nothing behind when it fails or is dropped; nothing outlives `deadline`.
#[async_trait]
pub trait SandboxProvider: Send + Sync + 'static {
    /// Returns the backend's name: `local`, `docker`.
    fn name(&self) -> &'static str;

    /// Makes a sandbox, tries what must be refused inside, and says what holds. Fails closed.
    async fn self_test(&self) -> Result<Capabilities, SandboxError>;

    /// Tells whether an image may be asked for; without images all may, and none has an effect.
    fn allows_image(&self, _image: &str) -> bool {
        true
    }

    /// Has the image of a coming sandbox ready, and names it with its content; `None` where sandboxes have none.
    /// Says meanwhile, in words for a person, how far it is; what the channel has no room for is left out.
    async fn prepare_image(
        &self,
        _image: Option<&str>,
        _progress: mpsc::Sender<String>,
    ) -> Result<Option<String>, SandboxError> {
        Ok(None)
    }

    /// Returns what differs when the tools of sandboxes differ that have no image; empty for those that have one.
    fn tools(&self) -> String {
        String::new()
    }

    /// Makes a sandbox whose work tree is empty, or the checkout if one was given.
    async fn create(&self, spec: SandboxSpec) -> Result<Arc<dyn Sandbox>, SandboxError>;

    /// Enters a sandbox, or the work tree it left behind, after a restart; `None` when the work tree is
    /// gone. Commands that ran in it are dead when this returns.
    async fn reattach(&self, spec: SandboxSpec) -> Result<Option<Arc<dyn Sandbox>>, SandboxError>;

    /// Returns a checkout that was kept under a key, for `SandboxSpec::checkout`.
    async fn checkout(&self, _key: &str) -> Option<PathBuf> {
        None
    }

    /// Makes a sandbox whose work tree can be kept; `None` where the backend keeps none. Its disk limit may be a
    /// softer one, so it is for git's own checkout alone, whose size is known before.
    async fn create_for_checkout(&self, _spec: SandboxSpec) -> Result<Option<Arc<dyn Sandbox>>, SandboxError> {
        Ok(None)
    }

    /// Ends a sandbox of `create_for_checkout` whose work tree is a fresh checkout of that many bytes, and keeps the
    /// tree under a key, to lie under those of later sandboxes. `None`, and the sandbox lives on, when it can't.
    async fn keep_checkout(
        &self,
        _sandbox: &Arc<dyn Sandbox>,
        _key: &str,
        _bytes: u64,
    ) -> Result<Option<PathBuf>, SandboxError> {
        Ok(None)
    }

    /// Returns how those do that are kept ready, for metrics; `None` where none ever are.
    fn pool(&self) -> Option<PoolNumbers> {
        None
    }

    /// Returns what set-up commands left, kept under a key, for `SandboxSpec::setup`.
    async fn setup(&self, _key: &str) -> Option<KeptSetup> {
        None
    }

    /// Makes a sandbox whose work tree and home folder can be kept; `None` where the backend keeps none. As it runs
    /// commands, the disk limit holds for both together, if softer than elsewhere.
    async fn create_for_setup(&self, _spec: SandboxSpec) -> Result<Option<Arc<dyn Sandbox>>, SandboxError> {
        Ok(None)
    }

    /// Ends a sandbox of `create_for_setup`, and keeps its folders as they are, with a note of a line, under a key; or
    /// drops them and returns what another has kept under it meanwhile. `None`, and the sandbox lives on, when it can't.
    /// All or nothing is kept, whatever happens meanwhile. Nobody writes in it from then on, and it goes when the
    /// server's room for such is full, but never from under a sandbox.
    async fn keep_setup(
        &self,
        _sandbox: &Arc<dyn Sandbox>,
        _key: &str,
        _note: &str,
        _bytes: u64,
    ) -> Result<Option<KeptSetup>, SandboxError> {
        Ok(None)
    }

    /// Returns how often `sweep` is worth calling while this server runs; `None` where only a crash leaves sandboxes.
    fn sweep_interval(&self) -> Option<Duration> {
        None
    }

    /// Destroys what this instance left behind, but for the given ones; returns how many.
    async fn sweep(&self, keep: &[SandboxId]) -> Result<usize, SandboxError>;
}

/// A place where untrusted commands run.
///
/// Implementations promise: every process of a command is dead when its call returns or its future
/// is dropped; all methods may be called from several tasks at once.
#[async_trait]
pub trait Sandbox: Send + Sync + 'static {
    /// Returns its id.
    fn id(&self) -> SandboxId;

    /// Runs a command to its end, with stdin at end of file.
    async fn exec(&self, spec: ExecSpec, output: Option<mpsc::Sender<OutputChunk>>)
    -> Result<ExecReport, SandboxError>;

    /// Does a file operation inside, as the user of the commands.
    async fn file(&self, request: FileRequest) -> Result<Result<FileReply, FileError>, SandboxError>;

    /// Reads a spilled output; at most 1 MiB from an offset.
    async fn read_spill(&self, path: &str, offset: u64) -> Result<Bytes, SandboxError>;

    /// Tells whether the work tree may have changed since the last call.
    async fn changes(&self) -> Result<Changes, SandboxError>;

    /// Lets commands reach these hosts and no others, from their next connection on; none at first. Commands
    /// that start later find the proxy in their environment.
    async fn allow_hosts(&self, rules: HostRules) -> Result<(), SandboxError>;

    /// Returns the network refusals since the last call.
    fn take_denials(&self) -> Vec<Denial>;

    /// Leaves the sandbox so that a restarted server can enter it again.
    async fn detach(&self);

    /// Ends it and removes all that belongs to it. Safe to repeat.
    async fn destroy(&self) -> Result<(), SandboxError>;
}
