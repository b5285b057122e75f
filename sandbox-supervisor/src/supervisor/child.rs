//! The processes of one command: an init of its own PID namespace (or a shepherd), and the command.
//!
//! When the command's main process ends, the init ends, and the kernel kills every other process of the
//! namespace before the init can be waited for. That is the whole mechanism: nothing is looked for or
//! listed, so nothing can hide. Everything here runs between fork and exec of a process with one thread.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use crate::supervisor::confine::Confinement;
use crate::supervisor::shepherd;
use crate::supervisor::system::{self, Forked};

/// A command as it is started.
pub(super) struct Command<'a> {
    pub(super) argv: &'a [String],
    pub(super) folder: &'a Path,
    /// Name and value; later ones win.
    pub(super) environment: &'a [(String, String)],
    pub(super) nested: bool,
}

/// A started command, seen from the supervisor.
pub(super) struct Started {
    /// Its init or shepherd.
    pub(super) process: libc::pid_t,
    pub(super) process_fd: OwnedFd,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
    /// What the init says at the end.
    pub(super) report: OwnedFd,
}

/// What the init says at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// The command ended with this wait status.
    Status(i32),
    /// It could not be started.
    NotStarted(String),
    /// Nothing was said: the init was killed.
    Silent,
}

/// Starts a command.
pub(super) fn start(command: &Command<'_>, confinement: &Confinement) -> io::Result<Started> {
    let (stdout, stdout_writer) = system::pipe()?;
    system::grow_pipe(stdout.as_fd());
    let (stderr, stderr_writer) = system::pipe()?;
    let (report, report_writer) = system::pipe()?;
    let image = Image::new(command)?;
    let namespaces = if command.nested {
        libc::CLONE_NEWPID | libc::CLONE_NEWNS
    } else {
        0
    };
    let supervisor = std::process::id();
    let process = match system::fork(namespaces)? {
        Forked::Parent(process) => process,
        Forked::Child => {
            let writers = Writers {
                stdout: stdout_writer,
                stderr: stderr_writer,
                report: report_writer,
            };
            // The reading ends belong to the supervisor alone.
            drop((stdout, stderr, report));
            system::exit_now(run_init(command, confinement, &image, writers, supervisor));
        }
    };
    let process_fd = match system::open_pid(process) {
        Ok(fd) => fd,
        Err(error) => {
            system::kill(process, libc::SIGKILL);
            let _ = system::wait(process, 0);
            return Err(error);
        }
    };
    for reader in [&stdout, &stderr, &report] {
        system::set_nonblocking(reader.as_fd())?;
    }
    Ok(Started {
        process,
        process_fd,
        stdout,
        stderr,
        report,
    })
}

/// Reads what the init said.
pub(super) fn read_report(report: OwnedFd) -> Report {
    let mut bytes = Vec::new();
    // Not blocking: everything was written before the init ended.
    let _ = File::from(report).take(4096).read_to_end(&mut bytes);
    // A flock was told of before.
    match bytes.strip_prefix(b"F").unwrap_or(&bytes).split_first() {
        Some((b'S', status)) => status
            .try_into()
            .map_or(Report::Silent, |status| Report::Status(i32::from_le_bytes(status))),
        Some((b'E', message)) => Report::NotStarted(String::from_utf8_lossy(message).into_owned()),
        _ => Report::Silent,
    }
}

struct Writers {
    stdout: OwnedFd,
    stderr: OwnedFd,
    report: OwnedFd,
}

/// Everything that exec needs, made before the fork.
struct Image {
    programs: Vec<CString>,
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

impl Image {
    fn new(command: &Command<'_>) -> io::Result<Self> {
        let text = |text: String| CString::new(text).map_err(|_| io::Error::other("a NUL byte stands in the command"));
        let program = command
            .argv
            .first()
            .ok_or_else(|| io::Error::other("the command is empty"))?;
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        for (name, value) in command.environment {
            pairs.retain(|(known, _)| known != name);
            pairs.push((name, value));
        }
        let path = pairs
            .iter()
            .find(|(name, _)| *name == "PATH")
            .map_or("/usr/bin:/bin", |(_, value)| value);
        let programs = if program.contains('/') {
            vec![program.clone()]
        } else {
            path.split(':')
                .map(|folder| format!("{}/{program}", if folder.is_empty() { "." } else { folder }))
                .collect()
        };
        Ok(Self {
            programs: programs.into_iter().map(text).collect::<Result<_, _>>()?,
            arguments: command.argv.iter().cloned().map(text).collect::<Result<_, _>>()?,
            environment: pairs
                .iter()
                .map(|(name, value)| text(format!("{name}={value}")))
                .collect::<Result<_, _>>()?,
        })
    }

    /// Executes the first program that is there.
    fn execute(&self) -> io::Error {
        let pointers = |texts: &[CString]| {
            texts
                .iter()
                .map(|text| text.as_ptr())
                .chain([std::ptr::null()])
                .collect::<Vec<_>>()
        };
        let (arguments, environment) = (pointers(&self.arguments), pointers(&self.environment));
        let mut last = io::Error::from_raw_os_error(libc::ENOENT);
        for program in &self.programs {
            let error = system::execute(program, &arguments, &environment);
            match error.raw_os_error() {
                Some(libc::ENOENT | libc::ENOTDIR) => {}
                Some(libc::EACCES) => last = error,
                _ => return error,
            }
        }
        last
    }
}

/// The init: forks the command, waits for it, says how it ended.
fn run_init(command: &Command<'_>, confinement: &Confinement, image: &Image, writers: Writers, supervisor: u32) -> i32 {
    let say = |bytes: &[u8]| drop(File::from(duplicate(&writers.report)).write_all(bytes));
    let prepared = || -> io::Result<()> {
        system::control(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong)?;
        system::control(libc::PR_SET_DUMPABLE, 0)?;
        if command.nested {
            system::mount_proc()
        } else {
            // A supervisor that died before the signal was asked for sends none. (A nested init sees no parent; its
            // supervisor is the first process of the namespace around it, and all in that die with it.)
            if std::os::unix::process::parent_id() != supervisor {
                return Err(io::Error::other("the supervisor is gone"));
            }
            system::control(libc::PR_SET_CHILD_SUBREAPER, 1)
        }
    };
    let child = match prepared().and_then(|()| system::fork(0)) {
        Ok(Forked::Parent(child)) => child,
        Ok(Forked::Child) => {
            let error = run_command(command, confinement, image, &writers);
            say(format!("E{error}").as_bytes());
            system::exit_now(127);
        }
        Err(error) => {
            say(format!("E{error}").as_bytes());
            return 127;
        }
    };
    // The command's own copies keep the pipes open; the init's would outlive it by a moment.
    for writer in [&writers.stdout, &writers.stderr] {
        system::close_number(writer.as_raw_fd());
    }
    if !command.nested {
        // The supervisor asks a shepherd to end by SIGTERM; SIGKILL would leave its flock behind.
        system::install_kill_on_terminate(child);
    }
    let status = loop {
        match system::wait(-1, 0) {
            Ok((process, status)) if process == child => break status,
            Ok(_) => {}
            Err(_) => break 0,
        }
    };
    if !command.nested && shepherd::has_flock() {
        // The supervisor is faster, where it may: told so, it ends all of them.
        say(b"F");
        shepherd::end_flock();
    }
    let [a, b, c, d] = status.to_le_bytes();
    say(&[b'S', a, b, c, d]);
    std::mem::forget(writers);
    0
}

fn duplicate(fd: &OwnedFd) -> OwnedFd {
    fd.try_clone().unwrap_or_else(|_| system::exit_now(127))
}

/// Becomes the command; returns only with an error.
fn run_command(command: &Command<'_>, confinement: &Confinement, image: &Image, writers: &Writers) -> String {
    let step = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    let prepared = || -> Result<(), String> {
        system::new_session().map_err(step("setsid"))?;
        let nothing = File::open("/dev/null").map_err(step("open /dev/null"))?;
        let replace = |fd: BorrowedFd<'_>, number| system::replace(fd, number).map_err(step("connect the streams"));
        replace(nothing.as_fd(), 0)?;
        replace(writers.stdout.as_fd(), 1)?;
        replace(writers.stderr.as_fd(), 2)?;
        system::close_others_on_exec().map_err(step("close_range"))?;
        // The command is a better victim than the supervisor when memory runs out. The file belongs to root as
        // long as this process may not be traced; nobody who could do so is in its namespace yet.
        let _ = system::control(libc::PR_SET_DUMPABLE, 1);
        let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
        system::reset_signals();
        confinement.apply().map_err(step("confine the command"))?;
        let folder = command.folder;
        std::env::set_current_dir(folder).map_err(|error| format!("enter {}: {error}", folder.display()))
    };
    if let Err(error) = prepared() {
        return error;
    }
    let program = command.argv.first().map_or("", String::as_str);
    format!("{program}: {}", image.execute())
}
