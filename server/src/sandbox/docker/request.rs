//! The request that creates a container: constants, validated numbers, ids, and paths of the server's own.
//!
//! Nothing of a Task or a repository is in it, so whoever controls those controls nothing here; a snapshot keeps
//! it so. What it may need from the engine is in version 1.41 of the engine's interface.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig, Mount,
    MountBindOptions, MountBindOptionsPropagationEnum, MountType, MountVolumeOptions, MountVolumeOptionsDriverConfig,
    ResourcesUlimits,
};

use super::ground::SupervisorSource;
use super::image::ImageId;
use crate::sandbox::{OBJECTS, SandboxLimits, WORK_TREE};
use crate::task::id::{SandboxId, ServerId};

/// Label of the sandbox's id.
pub(super) const SANDBOX_LABEL: &str = "backspace.sandbox";

/// Label of the server's lasting id.
pub(super) const INSTANCE_LABEL: &str = "backspace.instance";

/// Folder of the supervisor inside.
pub(super) const SUPERVISOR_FOLDER: &str = "/.backspace/bin";

/// The supervisor inside.
pub(super) const SUPERVISOR: &str = "/.backspace/bin/backspace-supervisor";

/// Home folder of commands.
const HOME: &str = "/home/agent";

/// Folder of long outputs inside.
const SPILL: &str = "/.backspace/spill";

/// What the supervisor needs: to give the work tree to the commands' user, become that user for each, take every
/// capability from it, and kill it. All other capabilities are dropped.
const CAPABILITIES: [&str; 5] = ["CHOWN", "KILL", "SETGID", "SETPCAP", "SETUID"];

/// Files and folders in each of the memory file systems.
const MEMORY_INODES: u64 = 200_000;
const SHARED_MEMORY_BYTES: u64 = 64 << 20;
const RUN_BYTES: u64 = 16 << 20;

/// Not more: an engine that may not raise its own limit, like a rootless one, refuses what is over it.
const OPEN_FILES: u64 = 16_384;

/// Processes beside the commands' own: the supervisor, a shepherd for each command, file operations.
const OWN_PIDS: u32 = 64;

/// A container as it is to be.
#[derive(Clone, Debug)]
pub(super) struct ContainerPlan<'a> {
    pub(super) id: SandboxId,
    pub(super) instance: ServerId,
    pub(super) image: &'a ImageId,
    pub(super) runtime: Option<&'a str>,
    pub(super) limits: SandboxLimits,
    pub(super) supervisor: &'a SupervisorSource,
    pub(super) work_tree: &'a FolderVolume,
    /// What the home folder is in; memory when `None`.
    pub(super) home: Option<&'a FolderVolume>,
    /// Path of the mirror's objects as the engine sees it.
    pub(super) objects: Option<&'a str>,
}

/// What the work tree or the home folder is in. Names are this server's own, paths the engine's, which no character of makes two options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FolderVolume {
    /// A volume that goes with the container.
    Own,
    /// A volume of this name.
    Named(String),
    /// The file system of a loop device, which goes with the container's mount.
    Disk(String),
    /// An overlay of paths at the engine, which goes with the container.
    Over {
        /// What is never written, at least one; what is in one hides what is in those after it.
        lower: Vec<String>,
        /// What was changed.
        upper: String,
        /// The overlay's own.
        scratch: String,
    },
}

/// Returns the name of a sandbox's container.
pub(super) fn name(id: SandboxId) -> String {
    format!("backspace-{id}")
}

/// Returns the sandbox of a container's name, as the engine lists it.
pub(super) fn id_of_name(name: &str) -> Option<SandboxId> {
    name.trim_start_matches('/').strip_prefix("backspace-")?.parse().ok()
}

/// Returns what a container, and whatever else the engine keeps for it, is known by.
pub(super) fn labels(id: SandboxId, instance: ServerId) -> HashMap<String, String> {
    HashMap::from([
        (SANDBOX_LABEL.to_owned(), id.to_string()),
        (INSTANCE_LABEL.to_owned(), instance.to_string()),
    ])
}

/// Makes the request.
pub(super) fn body(plan: &ContainerPlan<'_>) -> ContainerCreateBody {
    ContainerCreateBody {
        hostname: Some("sandbox".into()),
        user: Some("0:0".into()),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(false),
        open_stdin: Some(true),
        // Else the end of one attachment would be the end of stdin for all.
        stdin_once: Some(false),
        entrypoint: Some(vec![SUPERVISOR.into()]),
        cmd: Some(command(plan)),
        // An image's own check would run as the container's root.
        healthcheck: Some(HealthConfig {
            test: Some(vec!["NONE".into()]),
            ..HealthConfig::default()
        }),
        image: Some(plan.image.as_str().to_owned()),
        working_dir: Some("/".into()),
        labels: Some(labels(plan.id, plan.instance)),
        host_config: Some(host_config(plan)),
        ..ContainerCreateBody::default()
    }
}

fn host_config(plan: &ContainerPlan<'_>) -> HostConfig {
    let limits = &plan.limits;
    let memory_bytes = signed(limits.memory_bytes);
    HostConfig {
        memory: Some(memory_bytes),
        // The same: no swap.
        memory_swap: Some(memory_bytes),
        nano_cpus: Some(i64::from(limits.cpu_millis) * 1_000_000),
        pids_limit: Some(i64::from(limits.pids.saturating_add(OWN_PIDS))),
        ulimits: Some(vec![
            ulimit("core", 0),
            ulimit("fsize", limits.disk_bytes),
            ulimit("nofile", OPEN_FILES),
        ]),
        cap_drop: Some(vec!["ALL".into()]),
        cap_add: Some(CAPABILITIES.map(str::to_owned).to_vec()),
        security_opt: Some(vec!["no-new-privileges".into()]),
        privileged: Some(false),
        readonly_rootfs: Some(true),
        network_mode: Some("none".into()),
        // Else the file of the engine's machine is copied, with the names of its network.
        dns: Some(vec!["127.0.0.1".into()]),
        dns_search: Some(vec![".".into()]),
        ipc_mode: Some("private".into()),
        cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),
        shm_size: Some(signed(SHARED_MEMORY_BYTES.min(limits.memory_bytes / 16))),
        tmpfs: Some(memory_file_systems(plan)),
        mounts: Some(mounts(plan)),
        // The protocol is no log, and would fill the engine's disk.
        log_config: Some(HostConfigLogConfig {
            typ: Some("none".into()),
            ..HostConfigLogConfig::default()
        }),
        // With it goes what it wrote, also when no server is left to remove it.
        auto_remove: Some(true),
        init: Some(false),
        runtime: plan.runtime.map(str::to_owned),
        ..HostConfig::default()
    }
}

/// Pages of these count as memory: together they stay under about half of it.
fn memory_file_systems(plan: &ContainerPlan<'_>) -> HashMap<String, String> {
    let limits = &plan.limits;
    let bytes = limits.tmp_bytes.min(limits.memory_bytes / 4);
    let of_commands = "uid=1000,gid=1000,mode=0755";
    [
        ("/tmp", bytes, "mode=1777"),
        (HOME, bytes, of_commands),
        ("/run", RUN_BYTES.min(limits.memory_bytes / 16), of_commands),
    ]
    .into_iter()
    .filter(|(place, ..)| *place != HOME || plan.home.is_none())
    .map(|(place, bytes, owner)| {
        let options = format!("rw,exec,nosuid,nodev,size={bytes},nr_inodes={MEMORY_INODES},{owner}");
        (place.to_owned(), options)
    })
    .collect()
}

/// The supervisor's mode; with a home folder on a disk, and the work tree in volumes then, also what both may take.
fn command(plan: &ContainerPlan<'_>) -> Vec<String> {
    let watched = plan.home.map(|_| plan.limits.disk_bytes.to_string());
    std::iter::once("contain".to_owned()).chain(watched).collect()
}

fn mounts(plan: &ContainerPlan<'_>) -> Vec<Mount> {
    let supervisor = match plan.supervisor {
        SupervisorSource::Path(path) => bound(path, SUPERVISOR),
        SupervisorSource::Volume(name) => Mount {
            read_only: Some(true),
            ..named(name, SUPERVISOR_FOLDER)
        },
    };
    let own = |target| own_volume(target, labels(plan.id, plan.instance));
    let writable = |of: &FolderVolume, target| match of {
        FolderVolume::Own => own(target),
        FolderVolume::Named(name) => named(name, target),
        FolderVolume::Disk(device) => mounted(own(target), "ext4", device, "nosuid,nodev,noatime"),
        FolderVolume::Over { lower, upper, scratch } => {
            let lower = lower.join(":");
            let layers = format!("lowerdir={lower},upperdir={upper},workdir={scratch}");
            mounted(own(target), "overlay", "overlay", &layers)
        }
    };
    let mut mounts = vec![supervisor, writable(plan.work_tree, WORK_TREE), own(SPILL)];
    mounts.extend(plan.home.map(|home| writable(home, HOME)));
    mounts.extend(plan.objects.map(|path| bound(path, OBJECTS)));
    mounts
}

/// A volume that the engine mounts with options, at the container's start.
fn mounted(volume: Mount, kind: &str, device: &str, options: &str) -> Mount {
    let options = [("type", kind), ("device", device), ("o", options)];
    let driver = MountVolumeOptionsDriverConfig {
        name: Some("local".into()),
        options: Some(options.map(|(name, value)| (name.to_owned(), value.to_owned())).into()),
    };
    Mount {
        volume_options: volume.volume_options.map(|options| MountVolumeOptions {
            driver_config: Some(driver),
            ..options
        }),
        ..volume
    }
}

/// A path of the engine's machine, read-only.
fn bound(source: &str, target: &str) -> Mount {
    Mount {
        typ: Some(MountType::BIND),
        source: Some(source.to_owned()),
        target: Some(target.to_owned()),
        read_only: Some(true),
        bind_options: Some(MountBindOptions {
            propagation: Some(MountBindOptionsPropagationEnum::RPRIVATE),
            ..MountBindOptions::default()
        }),
        ..Mount::default()
    }
}

/// A volume of this name.
fn named(name: &str, target: &str) -> Mount {
    Mount {
        source: Some(name.to_owned()),
        ..volume(target, None)
    }
}

/// A volume without a name, which goes with its container. An engine that is restarted forgets that: by its labels a sweep
/// finds it.
fn own_volume(target: &str, labels: HashMap<String, String>) -> Mount {
    volume(target, Some(labels))
}

fn volume(target: &str, labels: Option<HashMap<String, String>>) -> Mount {
    Mount {
        typ: Some(MountType::VOLUME),
        target: Some(target.to_owned()),
        volume_options: Some(MountVolumeOptions {
            no_copy: Some(true),
            labels,
            ..MountVolumeOptions::default()
        }),
        ..Mount::default()
    }
}

fn ulimit(name: &str, value: u64) -> ResourcesUlimits {
    ResourcesUlimits {
        name: Some(name.to_owned()),
        soft: Some(signed(value)),
        hard: Some(signed(value)),
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
