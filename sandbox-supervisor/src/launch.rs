//! The launcher of the `local` backend: from a plan to a supervisor as PID 1 of its own namespaces.
//!
//! Runs as a process of its own with one thread, so it may fork, and nothing of the server's memory,
//! descriptors or environment is in it. It stays as the *holder*: it keeps the lock of the sandbox's
//! folder until the kernel has killed everything inside, and kills PID 1 when the server's end of stdin
//! is gone, should PID 1 not end by itself.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use sandbox_supervisor::plan::{Identity, LaunchFault, LaunchPlan, Layer};
use sandbox_supervisor::supervisor::{self, SupervisorConfig};

use self::cgroups::Joining;
use self::system::Forked;

mod cgroups;
mod devices;
mod disk;
pub(crate) mod identity;
mod limits;
mod overlay;
pub(crate) mod system;
mod tree;

/// How long PID 1 may take to end by itself after the end of its input.
const GRACE_MS: i32 = 2000;

/// Exit status after a fault that was reported on stderr.
const FAULT_STATUS: i32 = 70;

/// Launches what the plan on stdin asks for, holds it, and ends with its status.
pub(crate) fn main() -> ! {
    let status = match launch() {
        Ok(status) => status,
        Err(fault) => {
            // Nobody is left to tell when stderr is gone.
            eprintln!(
                "{}",
                serde_json::to_string(&fault).unwrap_or_else(|_| fault.to_string())
            );
            FAULT_STATUS
        }
    };
    system::exit_now(status);
}

fn launch() -> Result<i32, LaunchFault> {
    let mut prepared = Prepared::from_stdin()?;
    let plan = &prepared.plan;
    // Root may read what its mapped user may not, and must open it before; a user gets the right by the namespaces.
    let trees = match plan.identity {
        Identity::Mapped { command_id } => {
            if let Some(image) = &plan.disk_image {
                disk::cover(image, command_id, plan)?;
            }
            let trees = tree::open(plan)?;
            if let Some(image) = &plan.disk_image {
                disk::uncover(image)?;
            }
            identity::enter(plan.identity)?;
            trees
        }
        Identity::Own => {
            if plan.disk_image.is_some() {
                let error = io::Error::from_raw_os_error(libc::EPERM);
                return Err(LaunchFault::new(
                    Layer::Disk,
                    "mount an image as an ordinary user",
                    &error,
                ));
            }
            identity::enter(plan.identity)?;
            tree::open(plan)?
        }
    };
    tree::build(plan, trees)?;
    // Before PID 1, so that it and all after it are in the cgroups, and see those as the root of their namespace.
    if let Some(joining) = prepared.joining.take() {
        joining.finish()?;
    }
    identity::enter_cgroup_namespace()?;
    let (holder_lives, holder_end) = system::pipe().map_err(fault(Layer::Process, "pipe"))?;
    match system::fork().map_err(fault(Layer::Process, "fork PID 1"))? {
        Forked::Child => {
            drop(holder_end);
            become_first_process(prepared, holder_lives.as_fd())
        }
        Forked::Parent(child) => {
            drop(holder_lives);
            let status = hold(child, prepared).map_err(fault(Layer::Process, "hold PID 1"));
            drop(holder_end);
            status
        }
    }
}

fn fault(layer: Layer, step: impl Into<String>) -> impl FnOnce(io::Error) -> LaunchFault {
    let step = step.into();
    move |error| LaunchFault::new(layer, step, &error)
}

/// What is taken from the host before anything is given up.
struct Prepared {
    plan: LaunchPlan,
    memory_events: Option<OwnedFd>,
    input: OwnedFd,
    output: OwnedFd,
    nothing: OwnedFd,
    joining: Option<Joining>,
    /// Inherited by PID 1 and never read: its lock says that the sandbox lives.
    _lock: File,
}

impl Prepared {
    fn from_stdin() -> Result<Self, LaunchFault> {
        system::close_inherited().map_err(fault(Layer::Plan, "close inherited descriptors"))?;
        let _ = system::leave_session();
        system::set_creation_mask(0o022);
        let plan = LaunchPlan::read_from(&mut io::stdin().lock()).map_err(fault(Layer::Plan, "read the plan"))?;
        let joining = Joining::start(&plan.cgroups)?;
        let lock = open_lock(&plan.lock)?;
        let memory_events = plan.oom_counter.as_ref().map(File::open).transpose();
        let duplicate = |stream: BorrowedFd<'_>| {
            stream
                .try_clone_to_owned()
                .map_err(fault(Layer::Plan, "copy stdin and stdout"))
        };
        Ok(Self {
            memory_events: memory_events
                .map_err(fault(Layer::Cgroups, "open the counter of memory kills"))?
                .map(OwnedFd::from),
            input: duplicate(io::stdin().as_fd())?,
            output: duplicate(io::stdout().as_fd())?,
            nothing: OpenOptions::new()
                .read(true)
                .write(true)
                .open("/dev/null")
                .map_err(fault(Layer::Plan, "open /dev/null"))?
                .into(),
            _lock: lock,
            joining: Some(joining),
            plan,
        })
    }
}

fn open_lock(path: &Path) -> Result<File, LaunchFault> {
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).open(path);
    let file = file.map_err(fault(Layer::Lock, format!("open {}", path.display())))?;
    system::lock(file.as_fd()).map_err(fault(
        Layer::Lock,
        format!("lock {}: another sandbox lives in this folder", path.display()),
    ))?;
    Ok(file)
}

/// Waits for PID 1, and kills it when the server is gone and it does not end.
fn hold(child: libc::pid_t, prepared: Prepared) -> io::Result<i32> {
    let process = system::open_pid(child)?;
    // The server sees the end of PID 1 as end of file, so this process may not hold the output.
    system::replace_descriptor(prepared.nothing.as_fd(), 1)?;
    let Prepared { _lock, .. } = prepared;
    let mut entries = [
        // No event is asked for: only a hang-up is told.
        libc::pollfd {
            fd: 0,
            events: 0,
            revents: 0,
        },
        libc::pollfd {
            fd: process.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        },
    ];
    system::poll(&mut entries, -1)?;
    if !system::wait_readable(process.as_fd(), GRACE_MS)? {
        system::kill(child);
    }
    // PID 1 can be waited for only when the kernel has killed all of its process namespace.
    let status = system::wait_for(child)?;
    Ok(if libc::WIFEXITED(status) {
        libc::WEXITSTATUS(status)
    } else {
        128 + libc::WTERMSIG(status)
    })
}

/// Finishes the sandbox from inside, and is its PID 1 until the end.
fn become_first_process(prepared: Prepared, holder_lives: BorrowedFd<'_>) -> Result<i32, LaunchFault> {
    system::die_with_parent().map_err(fault(Layer::Process, "tie PID 1 to its holder"))?;
    // The holder may have ended before the line above; then this pipe has ended too.
    if system::wait_readable(holder_lives, 0).map_err(fault(Layer::Process, "look for the holder"))? {
        return Ok(FAULT_STATUS);
    }
    let plan = &prepared.plan;
    tree::mount_proc()?;
    system::pivot_to_working_folder().map_err(fault(Layer::Root, "pivot_root"))?;
    system::make_root_read_only().map_err(fault(Layer::Root, "make / read-only"))?;
    system::set_host_name(&plan.host_name).map_err(fault(Layer::Network, "set the host name"))?;
    devices::bring_loopback_up().map_err(fault(Layer::Network, "bring loopback up"))?;
    limits::apply(&plan.limits)?;
    for number in [0, 1] {
        system::replace_descriptor(prepared.nothing.as_fd(), number)
            .map_err(fault(Layer::Process, "put /dev/null in the place of the protocol"))?;
    }
    Ok(supervisor::run(config(prepared)))
}

fn config(prepared: Prepared) -> SupervisorConfig {
    let Prepared {
        plan,
        memory_events,
        input,
        output,
        _lock: lock,
        ..
    } = prepared;
    // PID 1 holds the lock to its end.
    std::mem::forget(lock);
    let mut config = SupervisorConfig::new(input, output);
    config.command_user = match plan.identity {
        Identity::Mapped { .. } => Some((identity::COMMAND_ID, identity::COMMAND_ID)),
        Identity::Own => None,
    };
    config.spill_folder = PathBuf::from("/.backspace/spill");
    config.memory_events = memory_events;
    if plan.home.is_some() {
        config.watched.push("/home/agent".into());
    }
    config.watched_bytes = plan.disk_image.is_none().then_some(plan.limits.file_bytes);
    for (name, value) in plan.environment {
        config.environment.retain(|(other, _)| *other != name);
        config.environment.push((name, value));
    }
    config.layers = ["namespaces", "mount-tree", "network"].map(str::to_owned).to_vec();
    if !plan.cgroups.is_empty() {
        config.layers.push("cgroups".into());
    }
    config
}
