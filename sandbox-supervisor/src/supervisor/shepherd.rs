//! Ends all processes of a command where there is no PID namespace whose end would do it.
//!
//! A shepherd is a child subreaper: whatever its command leaves behind becomes its child sooner or later. All
//! descendants are stopped before any is killed, because a fork bomb can be faster than a loop of kills; a
//! stopped process forks no more. New ones appear only from those not yet stopped, so this ends.

use std::fs;

use crate::supervisor::system;

/// Rounds of stopping after which killing begins anyway.
const MAX_ROUNDS: usize = 100;

/// Tells whether this process has children left.
pub(super) fn has_flock() -> bool {
    loop {
        match system::wait(-1, libc::WNOHANG) {
            // A dead one was taken; there may be more.
            Ok((process, _)) if process > 0 => {}
            Ok(_) => return true,
            Err(_) => return false,
        }
    }
}

/// Kills every descendant of this process and waits for all of them.
pub(super) fn end_flock() {
    loop {
        stop_all();
        for process in descendants() {
            system::kill(process, libc::SIGKILL);
        }
        // One at least must end: all have been told. One in an uninterruptible call is waited for.
        if system::wait(-1, 0).is_err() {
            return;
        }
        while matches!(system::wait(-1, libc::WNOHANG), Ok((process, _)) if process > 0) {}
    }
}

fn stop_all() {
    let mut stopped = 0;
    for _ in 0..MAX_ROUNDS {
        let found = descendants();
        if found.len() <= stopped {
            return;
        }
        for process in &found {
            system::kill(*process, libc::SIGSTOP);
        }
        stopped = found.len();
    }
}

/// Returns all descendants that can be seen, parents before children.
fn descendants() -> Vec<libc::pid_t> {
    let mut found = children_of("/proc/thread-self/children");
    let mut next = 0;
    while let Some(process) = found.get(next).copied() {
        next += 1;
        found.extend(children_of(&format!("/proc/{process}/task/{process}/children")));
    }
    found
}

/// Children of other threads than the first are missed here; their parent's end makes them children of the shepherd.
fn children_of(path: &str) -> Vec<libc::pid_t> {
    let list = fs::read_to_string(path).unwrap_or_default();
    list.split_whitespace()
        .filter_map(|process| process.parse().ok())
        .collect()
}
