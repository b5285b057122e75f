//! From the limits of a sandbox to those that its launcher sets.

use sandbox_supervisor::plan::LaunchLimits;

use super::super::SandboxLimits;

/// Files and folders in each of the memory file systems.
const MEMORY_INODES: u64 = 200_000;
const SHARED_MEMORY_BYTES: u64 = 64 << 20;
const OPEN_FILES: u64 = 65_536;

/// Processes beside the commands' own: the supervisor and one init for each command.
const OWN_PIDS: u64 = 64;

/// Makes the launcher's limits; `by_cgroup` names what cgroups limit as a whole.
pub(super) fn of_plan(limits: &SandboxLimits, by_cgroup: &[&str]) -> LaunchLimits {
    LaunchLimits {
        // Pages of the memory file systems count as memory: /tmp, home and /dev/shm together stay under about half.
        tmp_bytes: limits.tmp_bytes.min(limits.memory_bytes / 4),
        shm_bytes: SHARED_MEMORY_BYTES.min(limits.memory_bytes / 16),
        tmp_inodes: MEMORY_INODES,
        file_bytes: limits.disk_bytes,
        pids: u64::from(limits.pids) + OWN_PIDS,
        process_memory_bytes: (!by_cgroup.contains(&"memory")).then_some(limits.memory_bytes),
        open_files: OPEN_FILES,
    }
}
