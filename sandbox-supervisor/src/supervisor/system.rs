//! System calls of the supervisor, each wrapped once. Nothing here decides anything.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use libc::c_int;

/// Which side of a fork this is.
pub(super) enum Forked {
    /// The new process.
    Child,
    /// The old one, with the child's id.
    Parent(libc::pid_t),
}

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Forks; with `namespaces` the child is the first process of new ones.
pub(super) fn fork(namespaces: c_int) -> io::Result<Forked> {
    let flags = libc::c_long::from(namespaces | libc::SIGCHLD);
    // SAFETY: this process has one thread, and without CLONE_VM and a new stack clone acts as fork does.
    let child = check(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) })?;
    Ok(if child == 0 {
        Forked::Child
    } else {
        Forked::Parent(child as libc::pid_t)
    })
}

/// Ends this process without running what Rust or C registered for its end.
pub(super) fn exit_now(status: c_int) -> ! {
    // SAFETY: never returns and touches no memory.
    unsafe { libc::_exit(status) }
}

/// Makes a pipe whose ends are closed by exec.
pub(super) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for two descriptors.
    check(libc::c_long::from(unsafe {
        libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC)
    }))?;
    let [reader, writer] = ends;
    // SAFETY: both are new and nobody else's.
    Ok(unsafe { (OwnedFd::from_raw_fd(reader), OwnedFd::from_raw_fd(writer)) })
}

/// Lets a pipe hold more, so that its two ends need not take turns for every 64 KiB. Not as much as could be: all pipes
/// of a user have a common limit, beyond which new ones are tiny. Where it is refused the pipe stays as it is.
pub(super) fn grow_pipe(fd: BorrowedFd<'_>) {
    const BYTES: c_int = 256 << 10;
    // SAFETY: works on a descriptor alone.
    let _ = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETPIPE_SZ, BYTES) };
}

/// Makes reads and writes return instead of waiting.
pub(super) fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: works on a descriptor alone.
    let flags = check(libc::c_long::from(unsafe {
        libc::fcntl(fd.as_raw_fd(), libc::F_GETFL)
    }))? as c_int;
    // SAFETY: as above.
    check(libc::c_long::from(unsafe {
        libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK)
    }))?;
    Ok(())
}

/// Copies a descriptor to one above the standard ones, closed by exec.
pub(super) fn move_up(fd: OwnedFd) -> io::Result<OwnedFd> {
    // SAFETY: works on a descriptor alone.
    let copy = check(libc::c_long::from(unsafe {
        libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 10)
    }))?;
    // SAFETY: the copy is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(copy as RawFd) })
}

/// Reads once; zero is the end.
pub(super) fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the kernel writes at most the buffer's length into it.
    let count = unsafe { libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
    check(count as libc::c_long).map(|count| count as usize)
}

/// Writes once.
pub(super) fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the kernel reads at most the slice's length.
    let count = unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
    check(count as libc::c_long).map(|count| count as usize)
}

/// Reads from the start of a file, wherever it stands.
pub(super) fn read_from_start(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the kernel writes at most the buffer's length into it.
    let count = unsafe { libc::pread(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
    check(count as libc::c_long).map(|count| count as usize)
}

/// Breaks a connection so that its other end sees that it broke, whoever else holds the descriptor.
pub(super) fn abort_connection(fd: BorrowedFd<'_>) {
    // SAFETY: an all-zero address is valid, and its family AF_UNSPEC.
    let nowhere: libc::sockaddr = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel reads at most the address's own size. A failure means that it is broken already.
    let _ = unsafe {
        libc::connect(
            fd.as_raw_fd(),
            &raw const nowhere,
            size_of_val(&nowhere) as libc::socklen_t,
        )
    };
}

/// Waits for events; `timeout_ms` below zero waits for ever.
pub(super) fn poll(entries: &mut [libc::pollfd], timeout_ms: c_int) -> io::Result<()> {
    // SAFETY: pointer and length are those of the slice.
    let result = unsafe { libc::poll(entries.as_mut_ptr(), entries.len() as libc::nfds_t, timeout_ms) };
    match check(libc::c_long::from(result)) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
        other => other.map(|_| ()),
    }
}

/// Opens a descriptor that becomes readable when a process ends.
pub(super) fn open_pid(process: libc::pid_t) -> io::Result<OwnedFd> {
    // SAFETY: works on numbers alone.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, process, 0) })?;
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Waits for one child, or for any with -1; returns its id and status.
pub(super) fn wait(process: libc::pid_t, options: c_int) -> io::Result<(libc::pid_t, c_int)> {
    let mut status = 0;
    loop {
        // SAFETY: `status` outlives the call.
        match check(libc::c_long::from(unsafe {
            libc::waitpid(process, &raw mut status, options)
        })) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other.map(|child| (child as libc::pid_t, status)),
        }
    }
}

/// Sends a signal; a process that is gone is no error.
pub(super) fn kill(process: libc::pid_t, signal: c_int) {
    // SAFETY: works on numbers alone.
    let _ = unsafe { libc::kill(process, signal) };
}

/// Signals every process of a user in this namespace but this one and PID 1, at once. Root only.
pub(super) fn signal_all_of(user: u32, signal: c_int) -> io::Result<()> {
    // SAFETY: works on numbers alone. The saved user stays root, so that it can be gone back to.
    check(libc::c_long::from(unsafe { libc::setresuid(user, user, 0) }))?;
    // SAFETY: as above.
    let signalled = check(libc::c_long::from(unsafe { libc::kill(-1, signal) }));
    // SAFETY: as above.
    if check(libc::c_long::from(unsafe { libc::setresuid(0, 0, 0) })).is_err() {
        // Nothing here may go on as the commands' user.
        exit_now(70);
    }
    signalled.map(|_| ())
}

/// Calls prctl with one argument.
pub(super) fn control(option: c_int, argument: libc::c_ulong) -> io::Result<()> {
    // SAFETY: only options that take a number are passed by this module's users.
    check(libc::c_long::from(unsafe { libc::prctl(option, argument, 0, 0, 0) })).map(|_| ())
}

/// Makes `fd` the descriptor `number`, not closed by exec.
pub(super) fn replace(fd: BorrowedFd<'_>, number: c_int) -> io::Result<()> {
    // SAFETY: works on descriptors alone; whoever owned `number` is this process before its exec.
    check(libc::c_long::from(unsafe { libc::dup2(fd.as_raw_fd(), number) })).map(|_| ())
}

/// Marks all descriptors from 3 on to be closed by exec.
pub(super) fn close_others_on_exec() -> io::Result<()> {
    // SAFETY: works on numbers alone.
    check(unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) }).map(|_| ())
}

/// Closes a descriptor that no `OwnedFd` of this process stands for any more.
pub(super) fn close_number(number: RawFd) {
    // SAFETY: called in a forked child that never drops the owner it had before the fork.
    let _ = unsafe { libc::close(number) };
}

/// Mounts a fresh /proc of this process's PID namespace over the old one.
pub(super) fn mount_proc() -> io::Result<()> {
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    let (kind, target): (&CStr, &CStr) = (c"proc", c"/proc");
    // SAFETY: all strings end with NUL; no data is passed.
    let result = unsafe { libc::mount(kind.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, std::ptr::null()) };
    check(libc::c_long::from(result)).map(|_| ())
}

/// Gives up all groups and becomes a user for good.
pub(super) fn become_user(user: u32, group: u32) -> io::Result<()> {
    // SAFETY: an empty list of groups.
    check(libc::c_long::from(unsafe { libc::setgroups(0, std::ptr::null()) }))?;
    // SAFETY: works on numbers alone.
    check(libc::c_long::from(unsafe { libc::setresgid(group, group, group) }))?;
    // SAFETY: as above.
    check(libc::c_long::from(unsafe { libc::setresuid(user, user, user) })).map(|_| ())
}

/// Starts a session of its own.
pub(super) fn new_session() -> io::Result<()> {
    // SAFETY: no arguments.
    check(libc::c_long::from(unsafe { libc::setsid() })).map(|_| ())
}

/// Takes every capability from whatever this process will execute; without the right to, nothing changes.
pub(super) fn empty_bounding_set() {
    for capability in 0..64 {
        // Numbers over the last capability are refused; then all are done.
        if control(libc::PR_CAPBSET_DROP, capability).is_err() {
            break;
        }
    }
}

/// Gives up every capability that this process has.
pub(super) fn drop_capabilities() -> io::Result<()> {
    let _ = control(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong);
    let header: [u32; 2] = [0x2008_0522, 0];
    let sets = [0_u32; 6];
    // SAFETY: version 3 takes a header of two words and two sets of three words.
    check(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) }).map(|_| ())
}

/// Sets every signal to its default and lets all through, as a new program expects.
pub(super) fn reset_signals() {
    for signal in 1..=64 {
        if signal != libc::SIGKILL && signal != libc::SIGSTOP {
            // SAFETY: the default handler; numbers that don't exist are refused.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
    }
    // SAFETY: an empty set, made by the C library.
    unsafe {
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// Ignores a signal.
pub(super) fn ignore_signal(signal: c_int) {
    // SAFETY: no handler runs.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

/// Executes a program; returns only with an error.
pub(super) fn execute(
    program: &CStr,
    arguments: &[*const libc::c_char],
    environment: &[*const libc::c_char],
) -> io::Error {
    // SAFETY: both lists end with a null pointer and their strings outlive the call.
    unsafe { libc::execve(program.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    io::Error::last_os_error()
}

/// The process that SIGTERM to this one kills.
static KILLED_ON_TERMINATE: std::sync::atomic::AtomicI32 = std::sync::atomic::AtomicI32::new(0);

extern "C" fn kill_on_terminate(_: c_int) {
    let process = KILLED_ON_TERMINATE.load(std::sync::atomic::Ordering::Relaxed);
    if process > 0 {
        kill(process, libc::SIGKILL);
    }
}

/// From now on SIGTERM to this process kills `process`.
pub(super) fn install_kill_on_terminate(process: libc::pid_t) {
    KILLED_ON_TERMINATE.store(process, std::sync::atomic::Ordering::Relaxed);
    let handler = kill_on_terminate as extern "C" fn(c_int);
    // SAFETY: the handler only loads an atomic and calls kill, both safe in a signal handler.
    unsafe { libc::signal(libc::SIGTERM, handler as libc::sighandler_t) };
}
