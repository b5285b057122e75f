//! A folder as an overlay over what earlier sandboxes made: a checkout, what set-up commands left.
//!
//! The overlay is made inside the user namespace, so it needs nothing from root; but a file whose owner
//! is not mapped can't be copied up. Started by root, what lies below is therefore shown with its owner's
//! id mapped to that of the commands; where a file system can't do that, this fails and the caller fills an ordinary folder.
//! Commands may have made what lies below, so what an overlay could be told there is told by `user.` attributes alone,
//! of which the kernel then follows none to another place.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use sandbox_supervisor::plan::{LaunchFault, Layer};

use super::system::{self, attribute};
use super::{identity, tree};

const LOWER: &str = ".backspace/lower";
const UPPER: &str = ".backspace/upper";
const ATTRIBUTES: u64 = attribute::NO_SUID | attribute::NO_DEVICES;

/// The layers, ready to be mounted.
pub(crate) struct Layers {
    lower: Vec<OwnedFd>,
    disk: OwnedFd,
    upper_name: String,
    scratch_name: String,
}

fn fault(step: impl Into<String>) -> impl FnOnce(io::Error) -> LaunchFault {
    let step = step.into();
    move |error| LaunchFault::new(Layer::Overlay, step, &error)
}

/// Opens the layers; `shown_as` is the host id that shall own the files of the lower ones.
pub(crate) fn open(
    lower: &[PathBuf],
    upper: &Path,
    scratch: &Path,
    shown_as: Option<u32>,
) -> Result<Layers, LaunchFault> {
    let folder = upper.parent().filter(|parent| scratch.parent() == Some(parent));
    let disk = folder.ok_or_else(|| fault("upper and scratch in one folder")(io::Error::other("they are apart")))?;
    let name = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.map(str::to_owned)
            .ok_or_else(|| fault("name of a layer")(io::Error::other("not text")))
    };
    let lower = lower.iter().map(|path| open_lower(path, shown_as));
    Ok(Layers {
        lower: lower.collect::<Result<_, _>>()?,
        disk: tree::open_tree(disk, ATTRIBUTES)?,
        upper_name: name(upper)?,
        scratch_name: name(scratch)?,
    })
}

fn open_lower(path: &Path, shown_as: Option<u32>) -> Result<OwnedFd, LaunchFault> {
    let lower = tree::open_tree(path, ATTRIBUTES | attribute::READ_ONLY)?;
    if let Some(shown_as) = shown_as {
        let at = |step: &str| fault(format!("{step} {}", path.display()));
        let owner = tree::owner(path).map_err(at("look at"))?;
        if owner != (shown_as, shown_as) {
            let map = identity::file_map(owner, shown_as).map_err(at("map the ids of"))?;
            system::set_attributes(lower.as_fd(), attribute::ID_MAP, Some(map.as_fd()))
                .map_err(at("show with mapped ids"))?;
        }
    }
    Ok(lower)
}

/// Mounts the overlay at a folder below the working folder.
pub(crate) fn mount(layers: &Layers, target: &Path) -> Result<(), LaunchFault> {
    let names: Vec<String> = (0..layers.lower.len())
        .map(|number| format!("{LOWER}{number}"))
        .collect();
    let all = names.iter().map(String::as_str).zip(&layers.lower);
    for (name, layer) in all.chain([(UPPER, &layers.disk)]) {
        tree::make_folder(Path::new(name)).map_err(fault(format!("make {name}")))?;
        tree::attach(layer, Path::new(name))?;
    }
    let options = format!(
        "lowerdir={},upperdir={UPPER}/{},workdir={UPPER}/{},userxattr",
        names.join(":"),
        layers.upper_name,
        layers.scratch_name
    );
    let options = CString::new(options).map_err(|error| fault("options")(io::Error::other(error)))?;
    let flags = libc::MS_NOSUID | libc::MS_NODEV;
    system::mount(c"overlay", target, flags, &options).map_err(fault("mount the overlay"))?;
    // The overlay holds its layers; by path they must not be reachable.
    for name in names.iter().map(String::as_str).chain([UPPER]) {
        system::detach(Path::new(name)).map_err(fault(format!("detach {name}")))?;
        std::fs::remove_dir(name).map_err(fault(format!("remove {name}")))?;
    }
    Ok(())
}
