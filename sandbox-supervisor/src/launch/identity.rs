//! The namespaces and the map of host ids.
//!
//! Started by root, nothing inside is ever mapped to host id 0: ready-made launchers do that, and then a
//! set-user-id file or a write to /proc/sys/kernel is a host root escape. The map is written by a
//! forked helper that stays outside, because a process can map only its own id by itself.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};

use sandbox_supervisor::plan::{Identity, LaunchFault, Layer};

use super::system::{self, Forked};

/// Id of the commands inside.
pub(crate) const COMMAND_ID: u32 = 1000;

const NAMESPACES: i32 = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWNET;

/// Enters new namespaces with the identity of the plan. Processes forked from here on are in the new
/// process namespace.
pub(crate) fn enter(identity: Identity) -> Result<(), LaunchFault> {
    match identity {
        Identity::Mapped { command_id } => enter_mapped(command_id),
        Identity::Own => enter_own(),
    }
}

/// Makes the cgroups that this process is in the root of what is seen inside. Not with the other namespaces, because
/// the process may be entering its cgroups then.
pub(crate) fn enter_cgroup_namespace() -> Result<(), LaunchFault> {
    system::unshare(libc::CLONE_NEWCGROUP)
        .map_err(|error| LaunchFault::new(Layer::Namespaces, "unshare cgroups", &error))
}

fn enter_mapped(command_id: u32) -> Result<(), LaunchFault> {
    if command_id == 0 || command_id >= u32::MAX - 2 {
        let error = io::Error::other("host id 0 or out of range");
        return Err(LaunchFault::new(Layer::UserMap, format!("map to {command_id}"), &error));
    }
    let map = format!("0 {} 1\n{COMMAND_ID} {command_id} 1\n", command_id + 1);
    let own_id = std::process::id();
    let write_maps = move || write_maps(own_id, &map);
    let mapper = Mapper::start(write_maps).map_err(|error| LaunchFault::new(Layer::UserMap, "fork", &error))?;
    system::unshare(NAMESPACES).map_err(|error| LaunchFault::new(Layer::Namespaces, "unshare", &error))?;
    mapper
        .finish()
        .map_err(|error| LaunchFault::new(Layer::UserMap, "write the maps of ids", &error))?;
    system::become_user(0).map_err(|error| LaunchFault::new(Layer::UserMap, "become the mapped user", &error))
}

fn enter_own() -> Result<(), LaunchFault> {
    let (user, group) = system::own_ids();
    system::unshare(NAMESPACES).map_err(|error| LaunchFault::new(Layer::Namespaces, "unshare", &error))?;
    let write = |path: &str, text: String| {
        fs::write(path, text).map_err(|error| LaunchFault::new(Layer::UserMap, format!("write {path}"), &error))
    };
    write("/proc/self/setgroups", "deny".into())?;
    write("/proc/self/uid_map", format!("{COMMAND_ID} {user} 1\n"))?;
    write("/proc/self/gid_map", format!("{COMMAND_ID} {group} 1\n"))
}

fn write_maps(process: u32, map: &str) -> io::Result<()> {
    fs::write(format!("/proc/{process}/uid_map"), map)?;
    fs::write(format!("/proc/{process}/gid_map"), map)
}

/// Makes a user namespace that maps files of `owner` to `shown_as`, for a mount with mapped ids.
pub(crate) fn file_map(owner: (u32, u32), shown_as: u32) -> io::Result<OwnedFd> {
    let (ready_read, ready_write) = system::pipe()?;
    let (hold_read, hold_write) = system::pipe()?;
    let child = match system::fork()? {
        Forked::Child => {
            drop((ready_read, hold_write));
            let entered = system::unshare(libc::CLONE_NEWUSER);
            if entered.is_ok() && fs::File::from(ready_write).write_all(&[1]).is_ok() {
                let _ = system::wait_readable(hold_read.as_fd(), -1);
            }
            system::exit_now(0);
        }
        Forked::Parent(child) => child,
    };
    drop((ready_write, hold_read));
    let made = fs::File::from(ready_read).read_exact(&mut [0]).and_then(|()| {
        fs::write(format!("/proc/{child}/uid_map"), format!("{} {shown_as} 1\n", owner.0))?;
        fs::write(format!("/proc/{child}/gid_map"), format!("{} {shown_as} 1\n", owner.1))?;
        fs::File::open(format!("/proc/{child}/ns/user"))
    });
    drop(hold_write);
    system::wait_for(child)?;
    made.map(OwnedFd::from)
}

/// A forked process that stays outside and does one thing when told.
struct Mapper {
    process: libc::pid_t,
    go: OwnedFd,
}

impl Mapper {
    fn start(work: impl FnOnce() -> io::Result<()>) -> io::Result<Self> {
        let (wait, go) = system::pipe()?;
        match system::fork()? {
            Forked::Child => {
                drop(go);
                // End of file means that the launcher failed before it needed the maps.
                let told = fs::File::from(wait).read_exact(&mut [0]);
                let status = told
                    .and_then(|()| work())
                    .map_or_else(|error| error.raw_os_error().unwrap_or(255), |()| 0);
                system::exit_now(status);
            }
            Forked::Parent(process) => Ok(Self { process, go }),
        }
    }

    fn finish(self) -> io::Result<()> {
        fs::File::from(self.go).write_all(&[1])?;
        let status = system::wait_for(self.process)?;
        match libc::WEXITSTATUS(status) {
            0 if libc::WIFEXITED(status) => Ok(()),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }
}
