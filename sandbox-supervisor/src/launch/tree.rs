//! The mount tree inside: what of the host is shown, and what is fresh.
//!
//! Host folders are copied to detached trees first (`open`), because they must be reachable: by root
//! that happens before its rights are given up, by an ordinary user once the namespaces have given it
//! the right. Only then is anything covered (`build`). Nothing of the host is writable but the sandbox's own folders.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};

use sandbox_supervisor::plan::{Identity, LaunchFault, LaunchPlan, Layer, PROBE, Tree};

use super::system::{self, attribute};
use super::{identity, overlay};

const READ_ONLY: u64 = attribute::READ_ONLY | attribute::NO_SUID | attribute::NO_DEVICES;
const OWN_FOLDER: u64 = attribute::NO_SUID | attribute::NO_DEVICES;
const DATA: u64 = OWN_FOLDER | attribute::NO_EXEC;
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Any folder that exists everywhere; it is covered by the new root, in this mount namespace only.
const STAGE: &str = "/usr";

/// The home folder of commands.
const HOME: &str = "home/agent";

/// Host folders, ready to be mounted.
pub(crate) struct Trees {
    shown: Vec<Shown>,
    devices: Vec<(&'static str, OwnedFd)>,
    hidden: Vec<(PathBuf, Option<OwnedFd>)>,
    work: Opened,
    home: Option<Opened>,
    spill: OwnedFd,
    objects: Option<OwnedFd>,
    probe: Option<OwnedFd>,
}

enum Shown {
    Tree { path: PathBuf, tree: OwnedFd, folder: bool },
    Link { path: PathBuf, target: PathBuf },
}

pub(crate) enum Opened {
    Folder(OwnedFd),
    Overlay(overlay::Layers),
}

fn fault(step: impl Into<String>) -> impl FnOnce(io::Error) -> LaunchFault {
    let step = step.into();
    move |error| LaunchFault::new(Layer::MountTree, step, &error)
}

/// Opens a host path with attributes set on it and all below.
pub(crate) fn open_tree(path: &Path, attributes: u64) -> Result<OwnedFd, LaunchFault> {
    let tree = system::open_tree(path).map_err(fault(format!("open {}", path.display())))?;
    system::set_attributes(tree.as_fd(), attributes, None)
        .map_err(fault(format!("set attributes of {}", path.display())))?;
    Ok(tree)
}

/// Opens everything of the host that the plan shows.
pub(crate) fn open(plan: &LaunchPlan) -> Result<Trees, LaunchFault> {
    let mut paths: Vec<&PathBuf> = plan.shown.iter().collect();
    paths.sort();
    paths.dedup();
    let mut shown: Vec<Shown> = Vec::new();
    for path in paths {
        let covered = shown.iter().any(|other| match other {
            Shown::Tree { path: above, .. } => path.starts_with(above),
            Shown::Link { .. } => false,
        });
        // What is not there is not shown: the list is one for all machines.
        if let (false, Ok(metadata)) = (covered, fs::symlink_metadata(path)) {
            shown.push(open_shown(path, &metadata)?);
        }
    }
    let mut devices = Vec::new();
    for name in DEVICES {
        let path = Path::new("/dev").join(name);
        let tree = system::open_tree(&path).map_err(fault(format!("open {}", path.display())))?;
        devices.push((name, tree));
    }
    let mut hidden = Vec::new();
    for path in &plan.hidden {
        let folder = path.is_dir();
        let cover = if folder {
            None
        } else {
            Some(open_tree(Path::new("/dev/null"), READ_ONLY)?)
        };
        hidden.push((path.clone(), cover));
    }
    Ok(Trees {
        shown,
        devices,
        hidden,
        work: open_writable(&plan.work_tree, plan.identity)?,
        home: plan
            .home
            .as_ref()
            .map(|home| open_writable(home, plan.identity))
            .transpose()?,
        spill: open_tree(&plan.spill, DATA)?,
        objects: plan
            .objects
            .as_deref()
            .map(|path| open_tree(path, DATA | attribute::READ_ONLY))
            .transpose()?,
        probe: plan
            .probe
            .as_deref()
            .map(|path| open_tree(path, READ_ONLY))
            .transpose()?,
    })
}

fn open_shown(path: &Path, metadata: &fs::Metadata) -> Result<Shown, LaunchFault> {
    let path = path.to_path_buf();
    if metadata.is_symlink() {
        let target = fs::read_link(&path).map_err(fault(format!("read {}", path.display())))?;
        return Ok(Shown::Link { path, target });
    }
    Ok(Shown::Tree {
        tree: open_tree(&path, READ_ONLY)?,
        folder: metadata.is_dir(),
        path,
    })
}

fn open_writable(tree: &Tree, identity: Identity) -> Result<Opened, LaunchFault> {
    match tree {
        Tree::Folder { path } => open_tree(path, OWN_FOLDER).map(Opened::Folder),
        Tree::Overlay { lower, upper, scratch } => {
            let shown_as = match identity {
                Identity::Mapped { command_id } => Some(command_id),
                Identity::Own => None,
            };
            overlay::open(lower, upper, scratch, shown_as).map(Opened::Overlay)
        }
    }
}

/// Mounts the new root and everything in it, and makes it the working folder.
pub(crate) fn build(plan: &LaunchPlan, trees: Trees) -> Result<(), LaunchFault> {
    system::make_mounts_private().map_err(fault("make mounts private"))?;
    let root = [("mode", "0755"), ("size", "1m"), ("nr_inodes", "4096")];
    mount_memory(Path::new(STAGE), &root, attribute::NO_SUID)?;
    std::env::set_current_dir(STAGE).map_err(fault("enter the new root"))?;

    // What is shown may lie below one of these, e.g. a toolchain in /run.
    make_memory_folders(plan)?;
    if let Some(home) = &trees.home {
        make_folder(Path::new(HOME)).map_err(fault(format!("make /{HOME}")))?;
        mount_writable(home, Path::new(HOME))?;
    }
    show(&trees)?;
    make_etc().map_err(fault("write /etc"))?;
    make_devices(plan, &trees)?;
    for name in ["proc", "sys", "workspace", ".backspace/spill"] {
        make_folder(Path::new(name)).map_err(fault(format!("make /{name}")))?;
    }
    mount_writable(&trees.work, Path::new("workspace"))?;
    attach(&trees.spill, Path::new(".backspace/spill"))?;
    if let Some(objects) = &trees.objects {
        make_folder(Path::new(".backspace/objects")).map_err(fault("make /.backspace/objects"))?;
        attach(objects, Path::new(".backspace/objects"))?;
    }
    if let Some(probe) = &trees.probe {
        fs::write(relative(Path::new(PROBE)), "").map_err(fault("make the place of the probe"))?;
        attach(probe, &relative(Path::new(PROBE)))?;
    }
    Ok(())
}

fn mount_writable(opened: &Opened, target: &Path) -> Result<(), LaunchFault> {
    match opened {
        Opened::Folder(tree) => attach(tree, target),
        Opened::Overlay(layers) => overlay::mount(layers, target),
    }
}

pub(crate) fn attach(tree: &OwnedFd, target: &Path) -> Result<(), LaunchFault> {
    system::move_mount(tree.as_fd(), target).map_err(fault(format!("mount /{}", target.display())))
}

pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

fn show(trees: &Trees) -> Result<(), LaunchFault> {
    for shown in &trees.shown {
        let (Shown::Tree { path, .. } | Shown::Link { path, .. }) = shown;
        let target = relative(path);
        if let Some(parent) = target.parent() {
            make_folder(parent).map_err(fault(format!("make the folder of {}", path.display())))?;
        }
        match shown {
            Shown::Link { target: points_to, .. } => {
                symlink(points_to, &target).map_err(fault(format!("link {}", path.display())))?;
            }
            Shown::Tree { tree, folder: true, .. } => {
                make_folder(&target).map_err(fault(format!("make {}", path.display())))?;
                attach(tree, &target)?;
            }
            Shown::Tree {
                tree, folder: false, ..
            } => {
                fs::write(&target, "").map_err(fault(format!("make {}", path.display())))?;
                attach(tree, &target)?;
            }
        }
    }
    for (path, cover) in &trees.hidden {
        let target = relative(path);
        match cover {
            Some(nothing) => attach(nothing, &target)?,
            None => mount_memory(&target, &[("mode", "0555"), ("size", "4k")], READ_ONLY)?,
        }
    }
    Ok(())
}

fn relative(path: &Path) -> PathBuf {
    path.strip_prefix("/").unwrap_or(path).to_path_buf()
}

/// Writes the files of /etc that must not be the host's.
fn make_etc() -> io::Result<()> {
    make_folder(Path::new("etc"))?;
    let shell = if Path::new("usr/bin/bash").exists() {
        "/bin/bash"
    } else {
        "/bin/sh"
    };
    let users = format!(
        "root:x:0:0:root:/:/usr/sbin/nologin\nagent:x:1000:1000:agent:/home/agent:{shell}\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"
    );
    fs::write("etc/passwd", users)?;
    fs::write("etc/group", "root:x:0:\nagent:x:1000:\nnogroup:x:65534:\n")?;
    fs::write("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")?;
    fs::write("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n")
}

fn make_devices(plan: &LaunchPlan, trees: &Trees) -> Result<(), LaunchFault> {
    let make = |error: io::Error| LaunchFault::new(Layer::MountTree, "make /dev", &error);
    make_folder(Path::new("dev/pts")).map_err(make)?;
    make_folder(Path::new("dev/shm")).map_err(make)?;
    for (name, tree) in &trees.devices {
        let target = Path::new("dev").join(name);
        fs::write(&target, "").map_err(make)?;
        attach(tree, &target)?;
    }
    let links = [
        ("/proc/self/fd", "dev/fd"),
        ("/proc/self/fd/0", "dev/stdin"),
        ("/proc/self/fd/1", "dev/stdout"),
        ("/proc/self/fd/2", "dev/stderr"),
        ("pts/ptmx", "dev/ptmx"),
    ];
    for (points_to, name) in links {
        symlink(points_to, name).map_err(make)?;
    }
    let options = [(c"ptmxmode", "0666".to_owned()), (c"mode", "0620".to_owned())];
    let terminals = system::new_mount(c"devpts", &options, attribute::NO_SUID | attribute::NO_EXEC)
        .map_err(fault("make /dev/pts"))?;
    attach(&terminals, Path::new("dev/pts"))?;
    mount_sized("dev/shm", "1777", plan.limits.shm_bytes, plan.limits.tmp_inodes)
}

fn make_memory_folders(plan: &LaunchPlan) -> Result<(), LaunchFault> {
    const RUN_BYTES: u64 = 16 << 20;
    let limits = plan.limits;
    let home = plan.home.is_none().then_some((HOME, "0700", limits.tmp_bytes));
    let others = [("tmp", "1777", limits.tmp_bytes), ("run", "0755", RUN_BYTES)];
    for (name, mode, bytes) in others.into_iter().chain(home) {
        make_folder(Path::new(name)).map_err(fault(format!("make /{name}")))?;
        mount_sized(name, mode, bytes, limits.tmp_inodes)?;
    }
    make_folder(Path::new("var")).map_err(fault("make /var"))?;
    symlink("../tmp", "var/tmp").map_err(fault("make /var/tmp"))?;
    symlink("../run", "var/run").map_err(fault("make /var/run"))
}

fn mount_sized(name: &str, mode: &str, bytes: u64, inodes: u64) -> Result<(), LaunchFault> {
    let (bytes, inodes, id) = (bytes.to_string(), inodes.to_string(), identity::COMMAND_ID.to_string());
    let options = [
        ("mode", mode),
        ("size", &bytes),
        ("nr_inodes", &inodes),
        ("uid", &id),
        ("gid", &id),
    ];
    mount_memory(Path::new(name), &options, OWN_FOLDER)
}

fn mount_memory(target: &Path, options: &[(&str, &str)], attributes: u64) -> Result<(), LaunchFault> {
    let name = || format!("mount tmpfs on {}", target.display());
    let options = options
        .iter()
        .map(|(key, value)| {
            Ok((
                std::ffi::CString::new(*key).map_err(io::Error::other)?,
                (*value).to_owned(),
            ))
        })
        .collect::<io::Result<Vec<_>>>()
        .map_err(fault(name()))?;
    let options: Vec<_> = options
        .iter()
        .map(|(key, value)| (key.as_c_str(), value.clone()))
        .collect();
    let tree = system::new_mount(c"tmpfs", &options, attributes).map_err(fault(name()))?;
    system::move_mount(tree.as_fd(), target).map_err(fault(name()))
}

/// Returns owner and group of a folder.
pub(crate) fn owner(path: &Path) -> io::Result<(u32, u32)> {
    fs::metadata(path).map(|metadata| (metadata.uid(), metadata.gid()))
}

/// Mounts a /proc of the new process namespace. The old one must still be in sight: the kernel gives an
/// unprivileged user a full /proc only if there is one already.
pub(crate) fn mount_proc() -> Result<(), LaunchFault> {
    let fault = |error: io::Error| LaunchFault::new(Layer::Proc, "mount /proc", &error);
    let attributes = attribute::NO_SUID | attribute::NO_DEVICES | attribute::NO_EXEC;
    let tree = system::new_mount(c"proc", &[], attributes).map_err(fault)?;
    system::move_mount(tree.as_fd(), Path::new("proc")).map_err(fault)
}
