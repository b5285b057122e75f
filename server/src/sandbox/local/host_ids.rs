//! Host ids for commands: a pair for each sandbox when the server is root, none otherwise.
//!
//! The owner of a work tree is the record of its pair, so that a restarted server gives none out twice.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Arc, Mutex, PoisonError};

use super::super::SandboxError;
use super::folder::Folders;

const PAIRS: u32 = 20_000;

/// Gives out pairs of host ids.
#[derive(Clone, Debug)]
pub(super) struct HostIds {
    first: u32,
    taken: Option<Arc<Mutex<HashSet<u32>>>>,
}

/// A pair in use; free again when dropped. Empty when the server is an ordinary user.
#[derive(Debug)]
pub(super) struct HostIdPair {
    command_id: Option<u32>,
    all: HostIds,
}

impl HostIds {
    /// Looks at who the server is and which pairs existing folders have.
    pub(super) fn find(first: u32, folders: &Folders) -> Result<Self, SandboxError> {
        let internal = |error: std::io::Error| SandboxError::Internal {
            message: format!("look for host ids in use: {error}"),
        };
        let root = fs::metadata("/proc/self").map_err(internal)?.uid() == 0;
        let maps = fs::read_to_string("/proc/self/uid_map").map_err(internal)?;
        let this = Self {
            first: usable_first(first, &maps),
            taken: root.then(Arc::default),
        };
        for id in folders.list().map_err(internal)?.0 {
            if let Ok(owner) = folders.of(id).command_id() {
                // A pair that two folders claim stays taken until both are gone, at worst until a restart.
                std::mem::forget(this.claim(owner));
            }
        }
        Ok(this)
    }

    /// Tells whether sandboxes get ids of their own.
    pub(super) fn are_mapped(&self) -> bool {
        self.taken.is_some()
    }

    /// Takes a free pair.
    pub(super) fn take(&self) -> Result<HostIdPair, SandboxError> {
        if self.taken.is_none() {
            return Ok(self.pair(None));
        }
        (0..PAIRS)
            .map(|pair| self.first + 2 * pair)
            .find_map(|id| self.claim(id))
            .ok_or_else(|| SandboxError::Unavailable {
                message: format!("all {PAIRS} pairs of host ids are in use"),
            })
    }

    /// Takes the pair of an existing folder, which must be one of ours.
    pub(super) fn take_again(&self, owner: u32) -> Result<HostIdPair, SandboxError> {
        let Some(taken) = &self.taken else {
            return Ok(self.pair(None));
        };
        let ours = owner >= self.first && owner - self.first < 2 * PAIRS && (owner - self.first).is_multiple_of(2);
        if !ours {
            return Err(SandboxError::Unavailable {
                message: format!("its work tree belongs to host id {owner}, which is not one for sandboxes"),
            });
        }
        taken.lock().unwrap_or_else(PoisonError::into_inner).insert(owner);
        Ok(self.pair(Some(owner)))
    }

    /// Returns an empty pair, for a folder that has none.
    pub(super) fn nobody(&self) -> HostIdPair {
        self.pair(None)
    }

    fn claim(&self, id: u32) -> Option<HostIdPair> {
        let taken = self.taken.as_ref()?;
        let fresh = taken.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        fresh.then(|| self.pair(Some(id)))
    }

    fn pair(&self, command_id: Option<u32>) -> HostIdPair {
        HostIdPair {
            command_id,
            all: self.clone(),
        }
    }
}

impl HostIdPair {
    /// Returns the host id of the commands; the supervisor's is the next one.
    pub(super) fn command_id(&self) -> Option<u32> {
        self.command_id
    }

    /// Keeps the pair taken although nothing runs: its work tree stays.
    pub(super) fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for HostIdPair {
    fn drop(&mut self) {
        if let (Some(id), Some(taken)) = (self.command_id, &self.all.taken) {
            taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        }
    }
}

/// Returns `first`, or, in a container whose own ids end before it, the start of their upper half.
fn usable_first(first: u32, uid_map: &str) -> u32 {
    let end = uid_map
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace().map(str::parse::<u64>);
            let (inside, _, count) = (fields.next()?.ok()?, fields.next()?, fields.next()?.ok()?);
            Some(inside + count)
        })
        .max()
        .unwrap_or(0);
    if u64::from(first) + 2 * u64::from(PAIRS) <= end {
        return first;
    }
    u32::try_from(end / 2).unwrap_or(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root_ids() -> HostIds {
        HostIds {
            first: 200_000,
            taken: Some(Arc::default()),
        }
    }

    #[test]
    fn no_pair_is_given_out_twice_until_it_is_dropped() {
        let ids = root_ids();
        let (one, two) = (ids.take().unwrap(), ids.take().unwrap());
        assert_eq!((one.command_id(), two.command_id()), (Some(200_000), Some(200_002)));
        drop(one);
        assert_eq!(ids.take().unwrap().command_id(), Some(200_000));
    }

    #[test]
    fn a_folder_of_a_strange_owner_is_not_entered() {
        let ids = root_ids();
        for owner in [0, 1000, 199_999, 200_001, 240_000] {
            assert!(ids.take_again(owner).is_err(), "{owner}");
        }
        assert_eq!(ids.take_again(200_004).unwrap().command_id(), Some(200_004));
    }

    #[test]
    fn a_container_with_few_ids_uses_the_upper_half_of_them() {
        assert_eq!(usable_first(200_000, "0 0 4294967295\n"), 200_000);
        assert_eq!(usable_first(200_000, "0 100000 65536\n"), 32_768);
    }
}
