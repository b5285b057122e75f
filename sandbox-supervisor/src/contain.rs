//! The supervisor as PID 1 of a container that an engine has made: what the launcher does for `local`, less
//! all that the engine has done.
//!
//! It starts as root of the container with five capabilities and the image's environment, which becomes that
//! of the commands, since an image says there where its tools are. Commands are another user, and each has a
//! shepherd, because without a right over the user namespace there is no process namespace for each.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};

use sandbox_supervisor::supervisor::{self, SupervisorConfig};

use crate::launch::identity::COMMAND_ID;
use crate::launch::system;

/// Exit status when PID 1 could not begin.
const FAULT_STATUS: i32 = 70;

/// Where kills for memory are counted: cgroup 2, cgroup 1.
const MEMORY_EVENTS: [&str; 2] = [
    "/sys/fs/cgroup/memory.events",
    "/sys/fs/cgroup/memory/memory.oom_control",
];

/// Home folder of commands.
const HOME: &str = "/home/agent";

/// Variables that are ours and not the image's.
const OWN_VARIABLES: [&str; 7] = ["HOME", "HOSTNAME", "LOGNAME", "PWD", "SHELL", "TERM", "USER"];

/// Serves as PID 1 of a container, and ends with its status.
pub(crate) fn main() -> ! {
    let status = match prepare() {
        Ok(config) => supervisor::run(config),
        Err(error) => {
            eprintln!("the container is not fit for a sandbox: {error}");
            FAULT_STATUS
        }
    };
    system::exit_now(status);
}

fn prepare() -> io::Result<SupervisorConfig> {
    if std::process::id() != 1 {
        return Err(io::Error::other("this is for PID 1 of a container"));
    }
    system::close_inherited()?;
    system::set_creation_mask(0o022);
    let input = io::stdin().as_fd().try_clone_to_owned()?;
    let output = io::stdout().as_fd().try_clone_to_owned()?;
    let nothing = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    for number in [0, 1] {
        system::replace_descriptor(nothing.as_fd(), number)?;
    }
    let mut config = SupervisorConfig::new(input, output);
    own(&config.work_tree)?;
    config.watched_bytes = watched_bytes()?;
    if config.watched_bytes.is_some() {
        own(Path::new(HOME))?;
        config.watched.push(HOME.into());
    }
    config.command_user = Some((COMMAND_ID, COMMAND_ID));
    config.nested_pid_namespace = false;
    config.survives_end_of_input = true;
    config.spill_folder = PathBuf::from("/.backspace/spill");
    config.memory_events = MEMORY_EVENTS
        .iter()
        .find_map(|path| File::open(path).ok())
        .map(OwnedFd::from);
    config.environment = environment(image_variables(), &config.environment);
    config.layers = ["namespaces", "mount-tree", "network", "cgroups"]
        .map(str::to_owned)
        .to_vec();
    Ok(config)
}

/// Returns what work tree and home folder may take together, where both are in volumes: the argument after the mode.
fn watched_bytes() -> io::Result<Option<u64>> {
    let bytes = std::env::args().nth(2).map(|text| text.parse());
    bytes.transpose().map_err(io::Error::other)
}

/// Gives the commands a folder of theirs: an engine makes it root's.
fn own(folder: &Path) -> io::Result<()> {
    if std::fs::symlink_metadata(folder)?.uid() == COMMAND_ID {
        return Ok(());
    }
    chown(folder, Some(COMMAND_ID), Some(COMMAND_ID))
}

/// Returns the variables that this process was given, as far as they are text.
fn image_variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Returns the image's variables, and those of every sandbox where they are ours or the image has none.
fn environment(image: impl Iterator<Item = (String, String)>, usual: &[(String, String)]) -> Vec<(String, String)> {
    let mut all: Vec<_> = image
        .filter(|(name, _)| !OWN_VARIABLES.contains(&name.as_str()))
        .collect();
    for (name, value) in usual {
        if !all.iter().any(|(other, _)| other == name) {
            all.push((name.clone(), value.clone()));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn the_image_says_where_tools_are_and_not_who_one_is() {
        let image = pairs(&[
            ("PATH", "/cargo/bin:/bin"),
            ("CARGO_HOME", "/cargo"),
            ("HOME", "/root"),
            ("HOSTNAME", "x"),
        ]);
        let usual = pairs(&[("PATH", "/bin"), ("HOME", "/home/agent"), ("LANG", "C.UTF-8")]);
        assert_eq!(
            environment(image.into_iter(), &usual),
            pairs(&[
                ("PATH", "/cargo/bin:/bin"),
                ("CARGO_HOME", "/cargo"),
                ("HOME", "/home/agent"),
                ("LANG", "C.UTF-8")
            ])
        );
    }
}
