//! Cgroups of sandboxes: memory, processes and CPU, on version 1 and version 2 hierarchies.
//!
//! They are made below the server's own cgroup (or, on version 2, beside it: a group with processes can't
//! have limited children), so that limits of the server itself hold for its sandboxes too. Where the
//! server may not make any, sandboxes run without, and `missing` says so.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::super::SandboxLimits;
use crate::task::id::SandboxId;

const FOLDER: &str = "backspace";
const PERIOD_US: u64 = 100_000;
const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];

/// Where this server can make cgroups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cgroups {
    /// One folder for each controller, and one of a version 2 hierarchy without controllers to kill by.
    One {
        /// Controller and folder.
        controllers: Vec<(&'static str, PathBuf)>,
        /// Folder whose children can be killed at once.
        kill: Option<PathBuf>,
    },
    /// One folder for all.
    Two {
        /// The folder.
        folder: PathBuf,
        /// Controllers that its children have.
        controllers: Vec<&'static str>,
    },
    /// None.
    None,
}

/// Cgroups of one sandbox.
#[derive(Debug, Default)]
pub(super) struct SandboxCgroups {
    /// Folders that the launcher enters.
    pub(super) folders: Vec<PathBuf>,
    /// File that counts kills for memory.
    pub(super) oom_counter: Option<PathBuf>,
    kill: Option<PathBuf>,
}

impl Cgroups {
    /// Looks for hierarchies below `root` in which this process may make groups.
    pub(super) fn find(root: &Path) -> Self {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::find_for(root, &own)
    }

    fn find_for(root: &Path, own_groups: &str) -> Self {
        let version_one: Vec<_> = CONTROLLERS
            .into_iter()
            .filter_map(|controller| {
                let own = own_group(own_groups, controller)?;
                usable_child(&root.join(controller), own).map(|folder| (controller, folder))
            })
            .collect();
        let own_two = own_group(own_groups, "").unwrap_or("/");
        if !version_one.is_empty() {
            let kill = usable_child(&root.join("unified"), own_two);
            return Self::One {
                controllers: version_one,
                kill,
            };
        }
        if !root.join("cgroup.controllers").is_file() {
            return Self::None;
        }
        let own = root.join(own_two.trim_start_matches('/'));
        own.ancestors()
            .skip(1)
            .take_while(|folder| folder.starts_with(root))
            .find_map(enable_children)
            .unwrap_or(Self::None)
    }

    /// Tells which of memory, pids and cpu are limited as a whole.
    pub(super) fn limited(&self) -> Vec<&'static str> {
        match self {
            Self::One { controllers, .. } => controllers.iter().map(|(controller, _)| *controller).collect(),
            Self::Two { controllers, .. } => controllers.clone(),
            Self::None => Vec::new(),
        }
    }

    /// Makes the groups of a sandbox with its limits.
    pub(super) fn make(&self, id: SandboxId, limits: &SandboxLimits) -> io::Result<SandboxCgroups> {
        let mut made = self.of(id);
        // Dropped on a failure below, which removes what was made.
        let guard = RemoveOnDrop(&mut made);
        for folder in &guard.0.folders {
            match fs::create_dir(folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        match self {
            Self::One { controllers, .. } => {
                for (controller, folder) in controllers {
                    limit_one(controller, &folder.join(id.to_string()), limits)?;
                }
            }
            Self::Two { folder, controllers } => limit_two(&folder.join(id.to_string()), controllers, limits)?,
            Self::None => {}
        }
        std::mem::forget(guard);
        Ok(made)
    }

    /// Names the groups of a sandbox, there or not.
    pub(super) fn of(&self, id: SandboxId) -> SandboxCgroups {
        let child = |folder: &PathBuf| folder.join(id.to_string());
        match self {
            Self::One { controllers, kill } => {
                let memory = controllers.iter().find(|(controller, _)| *controller == "memory");
                let folders = controllers.iter().map(|(_, folder)| folder).chain(kill.as_ref());
                SandboxCgroups {
                    folders: folders.map(child).collect(),
                    oom_counter: memory.map(|(_, folder)| child(folder).join("memory.oom_control")),
                    kill: kill.as_ref().map(|folder| child(folder).join("cgroup.kill")),
                }
            }
            Self::Two { folder, controllers } => SandboxCgroups {
                folders: vec![child(folder)],
                oom_counter: controllers
                    .contains(&"memory")
                    .then(|| child(folder).join("memory.events")),
                kill: Some(child(folder).join("cgroup.kill")),
            },
            Self::None => SandboxCgroups::default(),
        }
    }
}

impl SandboxCgroups {
    /// Kills every process in the groups, where the kernel can do that at once.
    pub(super) fn kill(&self) {
        // Absent on old kernels and when the group is gone; the holder's death is the other way.
        if let Some(kill) = &self.kill {
            let _ = fs::write(kill, "1");
        }
    }

    /// Removes the groups; those with processes stay, and are found by the next `remove`.
    pub(super) fn remove(&self) {
        for folder in &self.folders {
            let _ = fs::remove_dir(folder);
        }
    }
}

struct RemoveOnDrop<'a>(&'a mut SandboxCgroups);

impl Drop for RemoveOnDrop<'_> {
    fn drop(&mut self) {
        self.0.remove();
    }
}

/// Returns this process's path in the hierarchy of a controller; the empty name is version 2.
fn own_group<'a>(own_groups: &'a str, controller: &str) -> Option<&'a str> {
    own_groups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (_, names, path) = (fields.next()?, fields.next()?, fields.next()?);
        names.split(',').any(|name| name == controller).then_some(path)
    })
}

/// Makes our folder below a process's group, or below the root if that group can't be seen from here.
fn usable_child(hierarchy: &Path, own: &str) -> Option<PathBuf> {
    let below_own = hierarchy.join(own.trim_start_matches('/'));
    let parent = if below_own.join("cgroup.procs").is_file() {
        below_own
    } else {
        hierarchy.to_path_buf()
    };
    if !parent.join("cgroup.procs").is_file() {
        return None;
    }
    make_folder(parent.join(FOLDER))
}

/// Makes our folder, or takes the one that is there if groups can be made in it: a server of another user
/// may have left one.
fn make_folder(folder: PathBuf) -> Option<PathBuf> {
    match fs::create_dir(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return None,
        _ => {}
    }
    let trial = folder.join(format!("trial-{}", SandboxId::random()));
    fs::create_dir(&trial).and_then(|()| fs::remove_dir(&trial)).ok()?;
    Some(folder)
}

/// Makes our folder below a group of a version 2 hierarchy, with controllers for its children.
fn enable_children(parent: &Path) -> Option<Cgroups> {
    let folder = make_folder(parent.join(FOLDER))?;
    for group in [parent, &folder] {
        for controller in CONTROLLERS {
            // Refused where the parent has processes or lacks the controller; what counts is read below.
            let _ = fs::write(group.join("cgroup.subtree_control"), format!("+{controller}"));
        }
    }
    let enabled = fs::read_to_string(folder.join("cgroup.subtree_control")).unwrap_or_default();
    let controllers: Vec<_> = CONTROLLERS
        .into_iter()
        .filter(|controller| {
            enabled
                .split_whitespace()
                .any(|name| name.trim_start_matches('+') == *controller)
        })
        .collect();
    if controllers.is_empty() {
        let _ = fs::remove_dir(&folder);
        return None;
    }
    Some(Cgroups::Two { folder, controllers })
}

fn limit_one(controller: &str, folder: &Path, limits: &SandboxLimits) -> io::Result<()> {
    match controller {
        "memory" => {
            fs::write(folder.join("memory.limit_in_bytes"), limits.memory_bytes.to_string())?;
            let with_swap = folder.join("memory.memsw.limit_in_bytes");
            if with_swap.is_file() {
                return fs::write(with_swap, limits.memory_bytes.to_string());
            }
            fs::write(folder.join("memory.swappiness"), "0")
        }
        "pids" => fs::write(folder.join("pids.max"), limits.pids.to_string()),
        _ => {
            fs::write(folder.join("cpu.cfs_period_us"), PERIOD_US.to_string())?;
            fs::write(folder.join("cpu.cfs_quota_us"), quota_us(limits).to_string())
        }
    }
}

fn limit_two(folder: &Path, controllers: &[&str], limits: &SandboxLimits) -> io::Result<()> {
    for controller in controllers {
        match *controller {
            "memory" => {
                fs::write(folder.join("memory.max"), limits.memory_bytes.to_string())?;
                let swap = folder.join("memory.swap.max");
                if swap.is_file() {
                    fs::write(swap, "0")?;
                }
            }
            "pids" => fs::write(folder.join("pids.max"), limits.pids.to_string())?,
            _ => fs::write(folder.join("cpu.max"), format!("{} {PERIOD_US}", quota_us(limits)))?,
        }
    }
    Ok(())
}

fn quota_us(limits: &SandboxLimits) -> u64 {
    // The kernel takes no quota under a millisecond.
    (u64::from(limits.cpu_millis) * PERIOD_US / 1000).max(1000)
}

#[cfg(test)]
mod tests;
