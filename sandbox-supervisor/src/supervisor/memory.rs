//! What the kernel counts of a sandbox's memory.

use std::os::fd::{AsFd as _, OwnedFd};

use crate::supervisor::system;

/// Reads `oom_kill N` of `memory.events` (cgroup 2) or `memory.oom_control` (cgroup 1).
pub(super) fn count_kills(events: Option<&OwnedFd>) -> u64 {
    let mut buffer = [0; 512];
    let count = events
        .and_then(|events| system::read_from_start(events.as_fd(), &mut buffer).ok())
        .unwrap_or(0);
    let text = String::from_utf8_lossy(buffer.get(..count).unwrap_or_default());
    text.lines()
        .find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
        .unwrap_or(0)
}
