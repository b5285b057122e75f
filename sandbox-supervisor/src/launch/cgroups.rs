//! Enters the sandbox's cgroups while the rest is being made.
//!
//! The kernel lets the first of several such moves wait for a grace period of its own, 4 to 14 ms, which would be
//! half of the time that a sandbox takes. So a forked child moves this process, and the launcher waits for it
//! before it forks PID 1.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use sandbox_supervisor::plan::{LaunchFault, Layer};

use super::system::{self, Forked};

/// A child that moves this process.
pub(crate) struct Joining {
    child: libc::pid_t,
    report: OwnedFd,
}

impl Joining {
    pub(crate) fn start(cgroups: &[PathBuf]) -> Result<Self, LaunchFault> {
        let fault = |error| LaunchFault::new(Layer::Cgroups, "fork what enters the cgroups", &error);
        let (report, write) = system::pipe().map_err(fault)?;
        let launcher = std::process::id();
        match system::fork().map_err(fault)? {
            Forked::Child => {
                drop(report);
                if let Err(told) = enter(launcher, cgroups) {
                    let told = serde_json::to_vec(&told).unwrap_or_else(|_| b"?".to_vec());
                    let _ = File::from(write).write_all(&told);
                }
                system::exit_now(0);
            }
            Forked::Parent(child) => Ok(Self { child, report }),
        }
    }

    /// Waits until this process is in all of its cgroups.
    pub(crate) fn finish(self) -> Result<(), LaunchFault> {
        let fault = |error| LaunchFault::new(Layer::Cgroups, "wait for what enters the cgroups", &error);
        let mut told = Vec::new();
        File::from(self.report).read_to_end(&mut told).map_err(fault)?;
        let status = system::wait_for(self.child).map_err(fault)?;
        if let Ok(told) = serde_json::from_slice(&told) {
            return Err(told);
        }
        // Killed, or it could not say what happened: not in its cgroups for sure.
        if status != 0 || !told.is_empty() {
            return Err(fault(std::io::Error::other(format!(
                "it ended with wait status {status}"
            ))));
        }
        Ok(())
    }
}

fn enter(process: u32, cgroups: &[PathBuf]) -> Result<(), LaunchFault> {
    for cgroup in cgroups {
        let file = cgroup.join("cgroup.procs");
        fs::write(&file, process.to_string())
            .map_err(|error| LaunchFault::new(Layer::Cgroups, format!("enter {}", file.display()), &error))?;
    }
    Ok(())
}
