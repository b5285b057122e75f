//! What a launcher tells the supervisor.
//!
//! Everything that differs between backends is here, so that the loop knows no backend. Nothing secret
//! is: commands run under the same kernel and must find nothing worth reading.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// What the supervisor is to be. Made by a launcher, or by `main` from flags inside a container.
#[derive(Debug)]
pub struct SupervisorConfig {
    /// Where the server's frames come from.
    pub input: OwnedFd,
    /// Where frames to the server go.
    pub output: OwnedFd,
    /// User and group of commands and file operations; `None` when the supervisor already is that user.
    pub command_user: Option<(u32, u32)>,
    /// True: each command gets a PID namespace, whose end kills all of its processes (needs `CAP_SYS_ADMIN` over
    /// the user namespace). False: each command gets a shepherd, a child subreaper; safe only with another `command_user`.
    pub nested_pid_namespace: bool,
    /// True: lives on without a server until its deadline. False: ends with its input.
    pub survives_end_of_input: bool,
    /// The work tree; where relative paths start.
    pub work_tree: PathBuf,
    /// Most bytes that `watched` may take together, where no file system limits them: watched while commands run.
    pub watched_bytes: Option<u64>,
    /// The work tree, and the home folder where that is on a disk.
    pub watched: Vec<PathBuf>,
    /// Folders that commands may write in, for landlock; those that don't exist are left out.
    pub writable: Vec<PathBuf>,
    /// Where long outputs are kept. Made if missing; should not be writable by commands.
    pub spill_folder: PathBuf,
    /// `memory.events` (cgroup 2) or `memory.oom_control` (cgroup 1) of the sandbox's commands, open for reading.
    pub memory_events: Option<OwnedFd>,
    /// Environment of every command; what the server and the call add comes later and wins.
    pub environment: Vec<(String, String)>,
    /// What the launcher enforces; the supervisor adds its own layers.
    pub layers: Vec<String>,
}

impl SupervisorConfig {
    /// Makes the config of a sandbox as the `local` backend has it.
    pub fn new(input: OwnedFd, output: OwnedFd) -> Self {
        Self {
            input,
            output,
            command_user: None,
            nested_pid_namespace: true,
            survives_end_of_input: false,
            work_tree: "/workspace".into(),
            watched_bytes: None,
            watched: vec!["/workspace".into()],
            writable: ["/workspace", "/tmp", "/home/agent", "/run", "/dev"]
                .map(PathBuf::from)
                .to_vec(),
            spill_folder: "/run/backspace-output".into(),
            memory_events: None,
            environment: [
                ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
                ("HOME", "/home/agent"),
                ("USER", "agent"),
                ("LOGNAME", "agent"),
                ("SHELL", "/bin/sh"),
                ("LANG", "C.UTF-8"),
                ("TERM", "dumb"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
            layers: Vec::new(),
        }
    }
}
