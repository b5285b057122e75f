//! A file system of its own for the sandbox's folders, in an image of fixed size.
//!
//! Mounted by this process in a mount namespace of its own, over the image's folder, so that the paths
//! of the plan hold with and without an image. The host never mounts what commands have written, nothing
//! has to be unmounted, and the loop device goes with the last process inside. Its copy of the image's
//! descriptor carries a lock: an image is never mounted twice, even when a launcher was killed.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::{DirBuilderExt as _, chown};
use std::path::Path;
use std::time::{Duration, Instant};

use sandbox_supervisor::plan::{LaunchFault, LaunchPlan, Layer, Tree};

use super::devices;
use super::system::{self, attribute};

const LOCK_DEADLINE: Duration = Duration::from_secs(10);
const LOCK_INTERVAL: Duration = Duration::from_millis(5);

/// Another process may take the free device first.
const DEVICE_TRIES: u32 = 32;

fn fault(step: impl Into<String>) -> impl FnOnce(io::Error) -> LaunchFault {
    let step = step.into();
    move |error| LaunchFault::new(Layer::Disk, step, &error)
}

/// Mounts an image over its own folder and makes the plan's folders in it.
pub(crate) fn cover(image: &Path, command_id: u32, plan: &LaunchPlan) -> Result<(), LaunchFault> {
    let folder = folder_of(image)?;
    let file = OpenOptions::new().read(true).write(true).open(image);
    let file = file.map_err(fault(format!("open {}", image.display())))?;
    lock(&file).map_err(fault(format!("lock {}: it is still mounted", image.display())))?;
    let device = attach(&file).map_err(fault("take a loop device"))?;
    let options = [
        (c"source", device.path.clone()),
        // It is thrown away with its sandbox: the machine need not wait for its own disk.
        (c"barrier", "0".to_owned()),
        (c"noinit_itable", String::new()),
    ];
    let attributes = attribute::NO_SUID | attribute::NO_DEVICES | attribute::NO_ACCESS_TIME;
    let disk = system::new_mount(c"ext4", &options, attributes);
    let disk = disk.map_err(fault(format!("mount {}", image.display())))?;
    system::unshare(libc::CLONE_NEWNS).map_err(fault("unshare mounts"))?;
    system::make_mounts_private().map_err(fault("make mounts private"))?;
    system::move_mount(disk.as_fd(), folder).map_err(fault(format!("mount over {}", folder.display())))?;
    make_folders(plan, command_id).map_err(fault("make folders in the image"))
}

/// Takes the image off its folder; the trees that were opened keep it.
pub(crate) fn uncover(image: &Path) -> Result<(), LaunchFault> {
    system::detach(folder_of(image)?).map_err(fault("take the image off its folder"))
}

fn folder_of(image: &Path) -> Result<&Path, LaunchFault> {
    let folder = image.parent();
    folder.ok_or_else(|| fault("folder of the image")(io::Error::other("it has none")))
}

fn lock(file: &File) -> io::Result<()> {
    let begun = Instant::now();
    loop {
        match system::lock(file.as_fd()) {
            // The kernel may still be taking down what an earlier sandbox left.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && begun.elapsed() < LOCK_DEADLINE => {
                std::thread::sleep(LOCK_INTERVAL);
            }
            other => return other,
        }
    }
}

/// A device that is free again when its mount is gone, or at once if it was not mounted.
struct Device {
    path: String,
    _open: File,
}

fn attach(image: &File) -> io::Result<Device> {
    let control = OpenOptions::new().read(true).write(true).open("/dev/loop-control")?;
    let mut last = io::Error::other("no loop device is free");
    for _ in 0..DEVICE_TRIES {
        let number = devices::free_loop_device(control.as_fd())?;
        let path = format!("/dev/loop{number}");
        let device = OpenOptions::new().read(true).write(true).open(&path)?;
        match devices::configure_loop_device(device.as_fd(), image.as_raw_fd()) {
            Ok(()) => return Ok(Device { path, _open: device }),
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

fn make_folders(plan: &LaunchPlan, command_id: u32) -> io::Result<()> {
    let supervisor_id = command_id + 1;
    folder(&plan.spill, 0o755, supervisor_id)?;
    make_tree(&plan.work_tree, 0o755, command_id)?;
    match &plan.home {
        Some(home) => make_tree(home, 0o700, command_id),
        None => Ok(()),
    }
}

fn make_tree(tree: &Tree, mode: u32, command_id: u32) -> io::Result<()> {
    let supervisor_id = command_id + 1;
    match tree {
        Tree::Folder { path } => folder(path, mode, command_id),
        Tree::Overlay { upper, scratch, .. } => {
            if let Some(parent) = upper.parent() {
                folder(parent, 0o755, supervisor_id)?;
            }
            folder(upper, mode, command_id)?;
            folder(scratch, 0o700, supervisor_id)
        }
    }
}

/// Makes a folder if it is missing; one that is there was made here before.
fn folder(path: &Path, mode: u32, owner: u32) -> io::Result<()> {
    match fs::DirBuilder::new().mode(mode).create(path) {
        Ok(()) => chown(path, Some(owner), Some(owner)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}
