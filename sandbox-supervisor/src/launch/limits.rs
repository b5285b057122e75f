//! Resource limits of PID 1, inherited by all commands.
//!
//! They are set inside the user namespace: there the kernel counts processes per namespace, so two
//! sandboxes of one host user don't share a count. `DATA`, not `AS`, bounds memory where no cgroup does:
//! Node, the JVM and sanitizers reserve far more address space than they use.

use sandbox_supervisor::plan::{LaunchFault, LaunchLimits, Layer};

use super::system;

/// Sets all limits, soft and hard.
pub(crate) fn apply(limits: &LaunchLimits) -> Result<(), LaunchFault> {
    const LOCKED_BYTES: u64 = 8 << 20;
    const QUEUE_BYTES: u64 = 819_200;
    let set = |name: &str, resource, value| {
        system::limit(resource, value).map_err(|error| LaunchFault::new(Layer::Limits, format!("limit {name}"), &error))
    };
    set("core", libc::RLIMIT_CORE, 0)?;
    set("fsize", libc::RLIMIT_FSIZE, limits.file_bytes)?;
    set("nofile", libc::RLIMIT_NOFILE, limits.open_files)?;
    set("nproc", libc::RLIMIT_NPROC, limits.pids)?;
    set("memlock", libc::RLIMIT_MEMLOCK, LOCKED_BYTES)?;
    set("msgqueue", libc::RLIMIT_MSGQUEUE, QUEUE_BYTES)?;
    if let Some(bytes) = limits.process_memory_bytes {
        set("data", libc::RLIMIT_DATA, bytes)?;
    }
    Ok(())
}
