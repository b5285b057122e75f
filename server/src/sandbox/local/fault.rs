//! What went wrong in the launcher, in words that say what to do.
//!
//! The launcher names layer, step and error number; which setting of this machine is the cause is looked
//! up here, on the host, where /proc/sys can be read.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sandbox_supervisor::plan::{LaunchFault, Layer};
use tokio::io::AsyncReadExt as _;
use tokio::process::ChildStderr;
use tokio::task::JoinHandle;

use super::super::SandboxError;
use crate::jobs::Jobs;

const TAIL_BYTES: usize = 16 << 10;
const READ_DEADLINE: Duration = Duration::from_secs(2);
const EPERM: i32 = 1;
const EACCES: i32 = 13;
const EINVAL: i32 = 22;
const ENOSPC: i32 = 28;
const ENOSYS: i32 = 38;

/// The end of what a launcher wrote to stderr.
pub(super) struct StderrTail {
    text: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl StderrTail {
    /// Reads until the launcher and its sandbox have ended.
    pub(super) fn collect(jobs: &Jobs, mut stderr: ChildStderr) -> Self {
        let text = Arc::<Mutex<Vec<u8>>>::default();
        let kept = Arc::clone(&text);
        let reader = jobs.spawn("launcher stderr", async move {
            let mut chunk = [0; 1024];
            while let Ok(count @ 1..) = stderr.read(&mut chunk).await {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend(chunk.iter().take(count));
                let excess = kept.len().saturating_sub(TAIL_BYTES);
                kept.drain(..excess);
            }
        });
        Self { text, reader }
    }

    /// Returns the text once it has ended, or what there is of it.
    pub(super) async fn read(self) -> String {
        let _ = tokio::time::timeout(READ_DEADLINE, self.reader).await;
        let text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// Makes an error of what a launcher said; `None` when it said nothing of use.
pub(super) fn explain(stderr: &str, supervisor: &Path) -> Option<SandboxError> {
    if let Some(fault) = LaunchFault::find(stderr) {
        return Some(judge(&fault, &Machine::look(supervisor)));
    }
    let last = stderr.lines().rfind(|line| !line.trim().is_empty())?;
    Some(SandboxError::Unavailable {
        message: format!("the supervisor said: {last}"),
    })
}

/// Settings of this machine that stand in the way of sandboxes.
#[derive(Clone, Debug, Default)]
struct Machine {
    supervisor: PathBuf,
    apparmor_restricts: bool,
    clone_forbidden: bool,
    no_user_namespaces: bool,
    container: bool,
}

impl Machine {
    fn look(supervisor: &Path) -> Self {
        let is = |path: &str, value: &str| fs::read_to_string(path).is_ok_and(|text| text.trim() == value);
        Self {
            supervisor: supervisor.to_path_buf(),
            apparmor_restricts: is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"),
            clone_forbidden: is("/proc/sys/kernel/unprivileged_userns_clone", "0"),
            no_user_namespaces: is("/proc/sys/user/max_user_namespaces", "0"),
            container: ["/.dockerenv", "/run/.containerenv"]
                .iter()
                .any(|path| Path::new(path).exists()),
        }
    }

    fn remedy(&self, fault: &LaunchFault) -> Option<String> {
        let refused = [EPERM, EACCES].contains(&fault.errno);
        let namespaces = [Layer::Namespaces, Layer::UserMap].contains(&fault.layer);
        let remedy = if namespaces && self.no_user_namespaces {
            "user namespaces are off; run: sysctl user.max_user_namespaces=10000"
        } else if namespaces && fault.errno == ENOSPC {
            "the limit of namespaces is reached; raise sysctl user.max_*_namespaces, or run fewer tasks"
        } else if [EINVAL, ENOSYS].contains(&fault.errno) {
            "the kernel is too old or built without it; Linux 5.12 or later with namespaces is needed"
        } else if !refused {
            return None;
        } else if self.clone_forbidden {
            "run: sysctl kernel.unprivileged_userns_clone=1"
        } else if self.apparmor_restricts {
            return Some(self.apparmor_remedy());
        } else if self.container {
            "in a container, start it with --security-opt seccomp=unconfined --security-opt systempaths=unconfined, \
             or give it the engine's socket and use the docker backend"
        } else {
            return None;
        };
        Some(remedy.to_owned())
    }

    /// The profile in `packaging/apparmor` knows the usual places; this one names the binary wherever it is.
    fn apparmor_remedy(&self) -> String {
        format!(
            "Ubuntu restricts user namespaces (kernel.apparmor_restrict_unprivileged_userns=1); allow them for this one \
             program: echo 'abi <abi/4.0>, profile backspace-supervisor \"{}\" flags=(unconfined) {{ userns, }}' | \
             sudo tee /etc/apparmor.d/backspace-supervisor && sudo apparmor_parser -r /etc/apparmor.d/backspace-supervisor",
            self.supervisor.display()
        )
    }
}

fn judge(fault: &LaunchFault, machine: &Machine) -> SandboxError {
    if let Some(remedy) = machine.remedy(fault) {
        return SandboxError::Unsupported {
            message: format!("a sandbox layer is missing: {fault}; {remedy}"),
        };
    }
    let message = fault.to_string();
    if [EPERM, EACCES].contains(&fault.errno) && fault.layer != Layer::Lock {
        return SandboxError::Unsupported {
            message: format!("a sandbox layer is missing: {message}"),
        };
    }
    SandboxError::Unavailable { message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(layer: Layer, errno: i32) -> LaunchFault {
        LaunchFault::new(layer, "step", &std::io::Error::from_raw_os_error(errno))
    }

    fn words(fault: &LaunchFault, machine: &Machine) -> String {
        judge(fault, machine).to_string()
    }

    #[test]
    fn each_obstacle_is_named_with_its_remedy() {
        let apparmor = Machine {
            supervisor: "/opt/backspace-supervisor".into(),
            apparmor_restricts: true,
            ..Machine::default()
        };
        let container = Machine {
            container: true,
            ..Machine::default()
        };
        let off = Machine {
            no_user_namespaces: true,
            ..Machine::default()
        };
        let debian = Machine {
            clone_forbidden: true,
            ..Machine::default()
        };
        for (fault, machine, layer, remedy) in [
            (
                fault(Layer::UserMap, EACCES),
                &apparmor,
                "user map",
                "\"/opt/backspace-supervisor\" flags=(unconfined) { userns, }",
            ),
            (
                fault(Layer::MountTree, EACCES),
                &apparmor,
                "mount tree",
                "apparmor_parser -r",
            ),
            (
                fault(Layer::Namespaces, EPERM),
                &container,
                "namespaces",
                "seccomp=unconfined",
            ),
            (
                fault(Layer::Proc, EPERM),
                &container,
                "fresh /proc",
                "systempaths=unconfined",
            ),
            (
                fault(Layer::Namespaces, ENOSPC),
                &off,
                "namespaces",
                "user.max_user_namespaces",
            ),
            (
                fault(Layer::Namespaces, EPERM),
                &debian,
                "namespaces",
                "unprivileged_userns_clone=1",
            ),
            (
                fault(Layer::MountTree, ENOSYS),
                &Machine::default(),
                "mount tree",
                "Linux 5.12",
            ),
        ] {
            let words = words(&fault, machine);
            assert!(words.contains(layer) && words.contains(remedy), "{words}");
        }
    }

    #[test]
    fn a_full_disk_is_not_a_missing_layer() {
        let error = judge(&fault(Layer::MountTree, ENOSPC), &Machine::default());
        assert!(matches!(error, SandboxError::Unavailable { .. }), "{error:?}");
    }

    #[test]
    fn what_is_not_a_fault_is_told_by_its_last_line() {
        assert!(explain("", Path::new("/s")).is_none());
        assert!(
            explain("a\nlast words\n\n", Path::new("/s"))
                .unwrap()
                .to_string()
                .contains("last words")
        );
    }
}
