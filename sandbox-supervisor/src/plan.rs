//! What the server asks of the launcher of the `local` backend, and how the launcher says what failed.
//!
//! A plan goes over the launcher's stdin before the first frame: four bytes of length (little endian),
//! then JSON. Not on the command line, because PID 1 inherits that and its folder names are the
//! host's business. A plan never holds a secret. Faults come back as one line of JSON on stderr.

use std::io::{self, Read};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Longest plan that is read.
const MAX_PLAN_BYTES: usize = 1 << 20;

/// Where the program of the self-test is inside.
pub const PROBE: &str = "/.backspace/probe";

/// A sandbox as the launcher is to make it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaunchPlan {
    /// File whose lock is held as long as anything of the sandbox lives.
    pub lock: PathBuf,
    /// Cgroup folders that the launcher enters before anything else.
    pub cgroups: Vec<PathBuf>,
    /// A file with a line `oom_kill N` that counts kills for memory in this sandbox.
    pub oom_counter: Option<PathBuf>,
    /// Host ids of the users inside.
    pub identity: Identity,
    /// Name of the host inside.
    pub host_name: String,
    /// Image of a file system that is mounted over its own folder first, by root only. The work tree's
    /// and the spill's folders are then in it, and made there when missing.
    pub disk_image: Option<PathBuf>,
    /// What the work tree is made of.
    pub work_tree: Tree,
    /// What the home folder is made of; of memory when `None`.
    pub home: Option<Tree>,
    /// Folder for long outputs.
    pub spill: PathBuf,
    /// Objects of the mirror, shown read-only.
    pub objects: Option<PathBuf>,
    /// Host paths shown read-only at the same place, when they exist.
    pub shown: Vec<PathBuf>,
    /// Host files and folders below `shown` that are covered by nothing.
    pub hidden: Vec<PathBuf>,
    /// A program shown as `PROBE`, for the self-test.
    pub probe: Option<PathBuf>,
    /// Environment of every command.
    pub environment: Vec<(String, String)>,
    /// Sizes and counts.
    pub limits: LaunchLimits,
}

/// Host ids of the users inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Identity {
    /// Started by root: commands run as this unprivileged host id, the supervisor as the next one.
    Mapped {
        /// Host uid and gid of the commands.
        command_id: u32,
    },
    /// Started by an ordinary user: commands and supervisor are that user on the host.
    Own,
}

/// What a folder that commands write in is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tree {
    /// A folder of its own.
    Folder {
        /// The folder.
        path: PathBuf,
    },
    /// An overlay over what earlier sandboxes made.
    Overlay {
        /// Folders that are never written, at least one; what is in one hides what is in those after it.
        lower: Vec<PathBuf>,
        /// What was changed.
        upper: PathBuf,
        /// The overlay's own folder, on the file system of `upper`.
        scratch: PathBuf,
    },
}

/// Sizes and counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaunchLimits {
    /// Each of /tmp and the home folder.
    pub tmp_bytes: u64,
    /// /dev/shm.
    pub shm_bytes: u64,
    /// Files and folders in each of them.
    pub tmp_inodes: u64,
    /// Largest single file, and all of the work tree where it is in no image.
    pub file_bytes: u64,
    /// Processes and threads of the user inside.
    pub pids: u64,
    /// Writable private memory of one process; `None` where a cgroup limits the whole.
    pub process_memory_bytes: Option<u64>,
    /// Open files of one process.
    pub open_files: u64,
}

impl LaunchPlan {
    /// Returns the bytes to send.
    pub fn encode(&self) -> io::Result<Vec<u8>> {
        let body = serde_json::to_vec(self)?;
        let length = u32::try_from(body.len()).map_err(io::Error::other)?;
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend_from_slice(&body);
        Ok(bytes)
    }

    /// Reads a plan and not a byte more.
    pub fn read_from(input: &mut impl Read) -> io::Result<Self> {
        let mut length = [0; 4];
        input.read_exact(&mut length)?;
        let length = usize::try_from(u32::from_le_bytes(length)).map_err(io::Error::other)?;
        if length > MAX_PLAN_BYTES {
            return Err(io::Error::other("the plan is too long"));
        }
        let mut body = vec![0; length];
        input.read_exact(&mut body)?;
        Ok(serde_json::from_slice(&body)?)
    }
}

/// A layer of the isolation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// The plan itself.
    #[error("plan")]
    Plan,
    /// The lock of the sandbox's folder.
    #[error("lock")]
    Lock,
    /// Cgroups.
    #[error("cgroups")]
    Cgroups,
    /// User, mount, process, network and other namespaces.
    #[error("namespaces")]
    Namespaces,
    /// The map of host ids.
    #[error("user map")]
    UserMap,
    /// The mount tree.
    #[error("mount tree")]
    MountTree,
    /// The image with the sandbox's folders.
    #[error("disk image")]
    Disk,
    /// The overlay over a checkout.
    #[error("overlay")]
    Overlay,
    /// The fresh /proc.
    #[error("fresh /proc")]
    Proc,
    /// The change of the root.
    #[error("pivot_root")]
    Root,
    /// Loopback and host name.
    #[error("network namespace")]
    Network,
    /// Resource limits.
    #[error("resource limits")]
    Limits,
    /// The process that becomes PID 1.
    #[error("process namespace")]
    Process,
}

/// Why a sandbox could not be launched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{layer}: {step}: {message}")]
#[serde(deny_unknown_fields)]
pub struct LaunchFault {
    /// The layer that is missing.
    pub layer: Layer,
    /// What was tried, on what.
    pub step: String,
    /// What the system said.
    pub message: String,
    /// The system's error number, 0 where there is none.
    pub errno: i32,
}

impl LaunchFault {
    /// Makes a fault of a failed step.
    pub fn new(layer: Layer, step: impl Into<String>, error: &io::Error) -> Self {
        Self {
            layer,
            step: step.into(),
            message: error.to_string(),
            errno: error.raw_os_error().unwrap_or(0),
        }
    }

    /// Finds the fault in what a launcher wrote to stderr.
    pub fn find(stderr: &str) -> Option<Self> {
        stderr.lines().find_map(|line| serde_json::from_str(line).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> LaunchPlan {
        LaunchPlan {
            lock: "/state/lock".into(),
            cgroups: vec!["/sys/fs/cgroup/memory/x".into()],
            oom_counter: None,
            identity: Identity::Mapped { command_id: 200_000 },
            host_name: "sandbox".into(),
            disk_image: None,
            work_tree: Tree::Folder {
                path: "/state/work".into(),
            },
            home: Some(Tree::Overlay {
                lower: vec!["/state/kept/home".into()],
                upper: "/state/overlay/home-upper".into(),
                scratch: "/state/overlay/home-scratch".into(),
            }),
            spill: "/state/spill".into(),
            objects: None,
            shown: vec!["/usr".into()],
            hidden: Vec::new(),
            probe: None,
            environment: vec![("PATH".into(), "/usr/bin".into())],
            limits: LaunchLimits {
                tmp_bytes: 1,
                shm_bytes: 2,
                tmp_inodes: 3,
                file_bytes: 4,
                pids: 5,
                process_memory_bytes: Some(6),
                open_files: 7,
            },
        }
    }

    #[test]
    fn a_plan_is_read_back_and_what_follows_it_is_left() {
        let mut bytes = plan().encode().unwrap();
        bytes.extend_from_slice(b"frames");
        let mut input = bytes.as_slice();
        assert_eq!(LaunchPlan::read_from(&mut input).unwrap(), plan());
        assert_eq!(input, b"frames");
    }

    #[test]
    fn a_cut_or_overlong_plan_is_refused() {
        let bytes = plan().encode().unwrap();
        for cut in 0..bytes.len() {
            assert!(LaunchPlan::read_from(&mut &bytes[..cut]).is_err(), "cut at {cut}");
        }
        assert!(LaunchPlan::read_from(&mut [0xFF; 64].as_slice()).is_err());
    }

    #[test]
    fn a_fault_is_found_among_other_lines() {
        let fault = LaunchFault::new(Layer::Proc, "mount proc", &io::Error::from_raw_os_error(1));
        let text = format!("noise\n{}\n", serde_json::to_string(&fault).unwrap());
        assert_eq!(LaunchFault::find(&text), Some(fault));
        assert_eq!(LaunchFault::find("noise"), None);
    }
}
