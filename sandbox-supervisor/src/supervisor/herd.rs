//! Ends all processes of a command at one blow, where PID 1 of a container may.
//!
//! A bomb forks faster than anybody can list it. A signal to all processes of a user reaches every one of them
//! before any can fork again: the kernel holds its list of processes meanwhile, and a fork under way begins anew.
//! So PID 1 becomes the commands' user for one call, stops them all, ends what descends from the one shepherd, and lets
//! the rest go on. Nothing but a signal can be sent to PID 1 in between, and it takes none from inside.

use std::collections::{HashMap, HashSet};
use std::fs;

use crate::supervisor::{SupervisorConfig, system};

/// Looks at most so often for processes that were between two parents.
const MAX_LOOKS: usize = 5;

/// The processes of a user in this process namespace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Herd {
    user: u32,
}

impl Herd {
    /// Returns the herd of a supervisor that needs one and may: PID 1 whose commands are another user.
    pub(super) fn of(config: &SupervisorConfig) -> Option<Self> {
        let (user, _) = config.command_user?;
        (!config.nested_pid_namespace && std::process::id() == 1).then_some(Self { user })
    }

    /// Kills all that descends from a shepherd. What of others is stopped meanwhile goes on after it.
    pub(super) fn cull(self, shepherd: libc::pid_t) {
        // There may be none left.
        let _ = system::signal_all_of(self.user, libc::SIGSTOP);
        let mut killed = HashSet::new();
        for _ in 0..MAX_LOOKS {
            let found = descendants(shepherd, &parents());
            let new: Vec<_> = found.into_iter().filter(|process| killed.insert(*process)).collect();
            for process in &new {
                system::kill(*process, libc::SIGKILL);
            }
            if new.is_empty() {
                break;
            }
        }
        let _ = system::signal_all_of(self.user, libc::SIGCONT);
    }
}

/// Returns the parent of every process that can be seen.
fn parents() -> HashMap<libc::pid_t, libc::pid_t> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let process = entry.file_name().to_str()?.parse().ok()?;
            let status = fs::read(entry.path().join("stat")).ok()?;
            Some((process, parent(&status)?))
        })
        .collect()
}

/// Reads the parent of a line of /proc/PID/stat. The name before it is the process's own to choose.
fn parent(status: &[u8]) -> Option<libc::pid_t> {
    let end_of_name = status.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(status.get(end_of_name + 1..)?).ok()?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

fn descendants(ancestor: libc::pid_t, parents: &HashMap<libc::pid_t, libc::pid_t>) -> Vec<libc::pid_t> {
    let mut children: HashMap<libc::pid_t, Vec<libc::pid_t>> = HashMap::new();
    for (process, parent) in parents {
        children.entry(*parent).or_default().push(*process);
    }
    let mut found = children.remove(&ancestor).unwrap_or_default();
    let mut next = 0;
    while let Some(process) = found.get(next) {
        let more = children.remove(process).unwrap_or_default();
        found.extend(more);
        next += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descendants_are_found_at_any_depth_and_nobody_else() {
        let parents = HashMap::from([(2, 1), (3, 2), (4, 3), (5, 3), (6, 1), (7, 6), (8, 99)]);
        let mut found = descendants(2, &parents);
        found.sort_unstable();
        assert_eq!(found, [3, 4, 5]);
        assert_eq!(descendants(4, &parents), Vec::<libc::pid_t>::new());
    }

    #[test]
    fn a_name_with_brackets_hides_no_parent() {
        assert_eq!(parent(b"12 (a) R 7) (b)) S 34 12 12 0"), Some(34));
        assert_eq!(parent(b"12 (\xFF\xFE) Z 5 1"), Some(5));
        assert_eq!(parent(b"12 cut"), None);
        assert_eq!(
            parents().get(&std::process::id().cast_signed()),
            Some(&std::os::unix::process::parent_id().cast_signed())
        );
    }
}
