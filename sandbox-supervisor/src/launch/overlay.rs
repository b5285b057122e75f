//! The work tree as an overlay over a cached checkout.
//!
//! The overlay is made inside the user namespace, so it needs nothing from root; but a file whose owner
//! is not mapped can't be copied up. Started by root, the checkout is therefore shown with its owner's
//! id mapped to that of the commands; where a file system can't do that, this fails and the caller fills an ordinary folder.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use sandbox_supervisor::plan::{LaunchFault, Layer};

use super::system::{self, attribute};
use super::{identity, tree};

const LOWER: &str = ".backspace/lower";
const UPPER: &str = ".backspace/upper";

/// The layers, ready to be mounted.
pub(crate) struct Layers {
    lower: OwnedFd,
    disk: OwnedFd,
    upper_name: String,
    scratch_name: String,
}

fn fault(step: impl Into<String>) -> impl FnOnce(io::Error) -> LaunchFault {
    let step = step.into();
    move |error| LaunchFault::new(Layer::Overlay, step, &error)
}

/// Opens the layers; `shown_as` is the host id that shall own the checkout's files.
pub(crate) fn open(lower: &Path, upper: &Path, scratch: &Path, shown_as: Option<u32>) -> Result<Layers, LaunchFault> {
    let folder = upper.parent().filter(|parent| scratch.parent() == Some(parent));
    let disk = folder.ok_or_else(|| fault("upper and scratch in one folder")(io::Error::other("they are apart")))?;
    let name = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.map(str::to_owned)
            .ok_or_else(|| fault("name of a layer")(io::Error::other("not text")))
    };
    let attributes = attribute::NO_SUID | attribute::NO_DEVICES;
    let lower_tree = tree::open_tree(lower, attributes | attribute::READ_ONLY)?;
    if let Some(shown_as) = shown_as {
        let owner = tree::owner(lower).map_err(fault("look at the checkout"))?;
        if owner != (shown_as, shown_as) {
            let map = identity::file_map(owner, shown_as).map_err(fault("map the ids of the checkout"))?;
            system::set_attributes(lower_tree.as_fd(), attribute::ID_MAP, Some(map.as_fd()))
                .map_err(fault("show the checkout with mapped ids"))?;
        }
    }
    Ok(Layers {
        lower: lower_tree,
        disk: tree::open_tree(disk, attributes)?,
        upper_name: name(upper)?,
        scratch_name: name(scratch)?,
    })
}

/// Mounts the overlay at `workspace` below the working folder.
pub(crate) fn mount(layers: &Layers) -> Result<(), LaunchFault> {
    for (name, layer) in [(LOWER, &layers.lower), (UPPER, &layers.disk)] {
        tree::make_folder(Path::new(name)).map_err(fault(format!("make {name}")))?;
        tree::attach(layer, Path::new(name))?;
    }
    let options = format!(
        "lowerdir={LOWER},upperdir={UPPER}/{},workdir={UPPER}/{},userxattr",
        layers.upper_name, layers.scratch_name
    );
    let options = CString::new(options).map_err(|error| fault("options")(io::Error::other(error)))?;
    let flags = libc::MS_NOSUID | libc::MS_NODEV;
    system::mount(c"overlay", Path::new("workspace"), flags, &options).map_err(fault("mount the overlay"))?;
    // The overlay holds its layers; by path they must not be reachable.
    for name in [LOWER, UPPER] {
        system::detach(Path::new(name)).map_err(fault(format!("detach {name}")))?;
        std::fs::remove_dir(name).map_err(fault(format!("remove {name}")))?;
    }
    Ok(())
}
