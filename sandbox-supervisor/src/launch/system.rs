//! System calls of the launcher, each as a function that returns `io::Result`.
//!
//! Owns no policy: what is mounted where, and in which order, is `tree`'s. The numbers of the mount
//! interface are written here because libc's crate does not have them.

use std::ffi::{CStr, CString, c_int, c_uint};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const OPEN_TREE_CLONE: c_uint = 1;
const OPEN_TREE_CLOEXEC: c_uint = libc::O_CLOEXEC as c_uint;
const MOVE_MOUNT_F_EMPTY_PATH: c_uint = 0x4;
const FSOPEN_CLOEXEC: c_uint = 1;
const FSCONFIG_SET_FLAG: c_uint = 0;
const FSCONFIG_SET_STRING: c_uint = 1;
const FSCONFIG_CMD_CREATE: c_uint = 6;
const FSMOUNT_CLOEXEC: c_uint = 1;

/// Mount attributes.
pub(crate) mod attribute {
    pub(crate) const READ_ONLY: u64 = 0x1;
    pub(crate) const NO_SUID: u64 = 0x2;
    pub(crate) const NO_DEVICES: u64 = 0x4;
    pub(crate) const NO_EXEC: u64 = 0x8;
    pub(crate) const NO_ACCESS_TIME: u64 = 0x10;
    pub(crate) const ID_MAP: u64 = 0x0010_0000;
}

#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// Which process a fork returned in.
pub(crate) enum Forked {
    /// The new one.
    Child,
    /// The old one, with the new one's id.
    Parent(libc::pid_t),
}

pub(crate) fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

pub(crate) fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    let number = c_int::try_from(check(result)?).map_err(io::Error::other)?;
    // SAFETY: the kernel has just given this descriptor to this call alone.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

pub(crate) fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}

/// Closes every descriptor but stdin, stdout and stderr.
pub(crate) fn close_inherited() -> io::Result<()> {
    // SAFETY: called before anything in this process owns a descriptor above 2.
    check(libc::c_long::from(unsafe { libc::close_range(3, c_uint::MAX, 0) })).map(drop)
}

/// Copies the mount at a path, with all below it, to a tree that is mounted nowhere yet.
pub(crate) fn open_tree(path: &Path) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    let flags =
        OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | libc::AT_RECURSIVE as c_uint | libc::AT_SYMLINK_NOFOLLOW as c_uint;
    // SAFETY: the path is a live C string; the call takes no other memory.
    owned(unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) })
}

/// Sets attributes on a tree and all below it; `user_namespace` goes with `ID_MAP`.
pub(crate) fn set_attributes(tree: BorrowedFd<'_>, set: u64, user_namespace: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let attributes = MountAttributes {
        set,
        clear: 0,
        propagation: 0,
        user_namespace: user_namespace.map_or(0, |fd| u64::try_from(fd.as_raw_fd()).unwrap_or(0)),
    };
    let flags = libc::AT_EMPTY_PATH | libc::AT_RECURSIVE;
    // SAFETY: the structure outlives the call and its size is given; the path is an empty C string.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<MountAttributes>(),
        )
    })
    .map(drop)
}

/// Makes the mount at the root of this process read-only, and only that one.
pub(crate) fn make_root_read_only() -> io::Result<()> {
    let attributes = MountAttributes {
        set: attribute::READ_ONLY | attribute::NO_SUID | attribute::NO_DEVICES,
        clear: 0,
        propagation: 0,
        user_namespace: 0,
    };
    // SAFETY: as in `set_attributes`.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            c"/".as_ptr(),
            0,
            &raw const attributes,
            size_of::<MountAttributes>(),
        )
    })
    .map(drop)
}

/// Mounts a tree at a path.
pub(crate) fn move_mount(tree: BorrowedFd<'_>, target: &Path) -> io::Result<()> {
    let target = c_path(target)?;
    // SAFETY: both paths are live C strings.
    check(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            target.as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH,
        )
    })
    .map(drop)
}

/// Makes a file system that is mounted nowhere yet. An option with an empty value is a flag.
pub(crate) fn new_mount(kind: &CStr, options: &[(&CStr, String)], attributes: u64) -> io::Result<OwnedFd> {
    // SAFETY: the name is a live C string.
    let context = owned(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC) })?;
    for (key, value) in options {
        let value = CString::new(value.as_str()).map_err(io::Error::other)?;
        let (command, pointer) = if value.is_empty() {
            (FSCONFIG_SET_FLAG, std::ptr::null())
        } else {
            (FSCONFIG_SET_STRING, value.as_ptr())
        };
        // SAFETY: key and value are live C strings, as the one command wants; the other wants no value.
        check(unsafe {
            libc::syscall(
                libc::SYS_fsconfig,
                context.as_raw_fd(),
                command,
                key.as_ptr(),
                pointer,
                0,
            )
        })?;
    }
    // SAFETY: this command takes neither key nor value.
    check(unsafe {
        libc::syscall(
            libc::SYS_fsconfig,
            context.as_raw_fd(),
            FSCONFIG_CMD_CREATE,
            std::ptr::null::<u8>(),
            std::ptr::null::<u8>(),
            0,
        )
    })?;
    // SAFETY: takes numbers only.
    owned(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), FSMOUNT_CLOEXEC, attributes) })
}

/// Mounts the classic way, for file systems whose options are paths.
pub(crate) fn mount(kind: &CStr, target: &Path, flags: libc::c_ulong, options: &CStr) -> io::Result<()> {
    let target = c_path(target)?;
    // SAFETY: all four are live C strings.
    let result = unsafe {
        libc::mount(
            kind.as_ptr(),
            target.as_ptr(),
            kind.as_ptr(),
            flags,
            options.as_ptr().cast(),
        )
    };
    check(libc::c_long::from(result)).map(drop)
}

/// Keeps this mount namespace's changes to itself.
pub(crate) fn make_mounts_private() -> io::Result<()> {
    // SAFETY: source, kind and data may be null for a change of propagation.
    let result = unsafe {
        libc::mount(
            std::ptr::null(),
            c"/".as_ptr(),
            std::ptr::null(),
            libc::MS_REC | libc::MS_PRIVATE,
            std::ptr::null(),
        )
    };
    check(libc::c_long::from(result)).map(drop)
}

/// Makes the working folder the root and lets go of the old one.
pub(crate) fn pivot_to_working_folder() -> io::Result<()> {
    // SAFETY: both are live C strings.
    check(unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) })?;
    // The old root now lies over the new one at ".".
    detach(Path::new("."))?;
    std::env::set_current_dir("/")
}

/// Unmounts a path as soon as nothing uses it.
pub(crate) fn detach(path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    // SAFETY: the path is a live C string.
    check(libc::c_long::from(unsafe {
        libc::umount2(path.as_ptr(), libc::MNT_DETACH)
    }))
    .map(drop)
}

pub(crate) fn unshare(flags: c_int) -> io::Result<()> {
    // SAFETY: takes numbers only; the process has one thread.
    check(libc::c_long::from(unsafe { libc::unshare(flags) })).map(drop)
}

pub(crate) fn fork() -> io::Result<Forked> {
    // SAFETY: the process has one thread, so the child may do anything the parent may.
    let id = unsafe { libc::fork() };
    check(libc::c_long::from(id))?;
    Ok(if id == 0 { Forked::Child } else { Forked::Parent(id) })
}

/// Ends this process at once, without running anything of the parent's that was copied.
pub(crate) fn exit_now(status: c_int) -> ! {
    // SAFETY: does not return and touches no memory.
    unsafe { libc::_exit(status) }
}

/// Waits for a child and returns its raw status.
pub(crate) fn wait_for(child: libc::pid_t) -> io::Result<c_int> {
    let mut status = 0;
    loop {
        // SAFETY: the status is a live integer.
        let result = unsafe { libc::waitpid(child, &raw mut status, 0) };
        match check(libc::c_long::from(result)) {
            Ok(_) => return Ok(status),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

pub(crate) fn open_pid(child: libc::pid_t) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers only.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, child, 0) })
}

pub(crate) fn kill(child: libc::pid_t) {
    // SAFETY: takes numbers only; a child that was not waited for keeps its number.
    unsafe { libc::kill(child, libc::SIGKILL) };
}

/// Leaves the server's session, so that a terminal's interrupt does not reach the sandbox.
pub(crate) fn leave_session() -> io::Result<()> {
    // SAFETY: takes nothing.
    check(libc::c_long::from(unsafe { libc::setsid() })).map(drop)
}

/// Sets which permissions new files don't get.
pub(crate) fn set_creation_mask(mask: libc::mode_t) {
    // SAFETY: takes a number only and can't fail.
    unsafe { libc::umask(mask) };
}

/// Has the kernel kill this process when its parent ends.
pub(crate) fn die_with_parent() -> io::Result<()> {
    // SAFETY: takes numbers only.
    let result = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) };
    check(libc::c_long::from(result)).map(drop)
}

/// Waits until a descriptor is readable or hung up, at most `timeout_ms` (-1 = for ever); true when it is.
pub(crate) fn wait_readable(fd: BorrowedFd<'_>, timeout_ms: c_int) -> io::Result<bool> {
    let mut entry = [libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    }];
    poll(&mut entry, timeout_ms)?;
    Ok(entry.iter().any(|entry| entry.revents != 0))
}

pub(crate) fn poll(entries: &mut [libc::pollfd], timeout_ms: c_int) -> io::Result<()> {
    loop {
        let count = libc::nfds_t::try_from(entries.len()).map_err(io::Error::other)?;
        // SAFETY: the slice is live and its length is given.
        let result = unsafe { libc::poll(entries.as_mut_ptr(), count, timeout_ms) };
        match check(libc::c_long::from(result)) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Makes a pipe whose ends do not survive exec.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: the array has room for two descriptors.
    check(libc::c_long::from(unsafe {
        libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC)
    }))?;
    let [read, write] = ends;
    Ok((owned(libc::c_long::from(read))?, owned(libc::c_long::from(write))?))
}

/// Puts `source` in the place of descriptor `number`.
pub(crate) fn replace_descriptor(source: BorrowedFd<'_>, number: c_int) -> io::Result<()> {
    // SAFETY: only called for 0, 1 and 2, which nothing in this process owns.
    check(libc::c_long::from(unsafe { libc::dup2(source.as_raw_fd(), number) })).map(drop)
}

/// Takes the exclusive lock of a file, or fails when another holds it.
pub(crate) fn lock(file: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes numbers only.
    let result = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) };
    check(libc::c_long::from(result)).map(drop)
}

pub(crate) fn set_host_name(name: &str) -> io::Result<()> {
    // SAFETY: the bytes are live and their count is given.
    check(libc::c_long::from(unsafe {
        libc::sethostname(name.as_ptr().cast(), name.len())
    }))
    .map(drop)
}

/// Becomes user and group `id` in the current user namespace, without supplementary groups.
pub(crate) fn become_user(id: u32) -> io::Result<()> {
    // The raw calls: libc's own are for processes with threads.
    // SAFETY: take numbers only, and an empty list of groups.
    unsafe {
        check(libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<libc::gid_t>()))?;
        check(libc::syscall(libc::SYS_setresgid, id, id, id))?;
        check(libc::syscall(libc::SYS_setresuid, id, id, id))?;
    }
    Ok(())
}

/// Returns this process's user and group.
pub(crate) fn own_ids() -> (u32, u32) {
    // SAFETY: take nothing.
    unsafe { (libc::geteuid(), libc::getegid()) }
}

/// Sets soft and hard limit of a resource to `value`, or to the present hard limit if that is lower.
pub(crate) fn limit(resource: libc::__rlimit_resource_t, value: u64) -> io::Result<()> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the structure is live.
    check(libc::c_long::from(unsafe { libc::getrlimit(resource, &raw mut limit) }))?;
    let value = value.min(limit.rlim_max);
    limit = libc::rlimit {
        rlim_cur: value,
        rlim_max: value,
    };
    // SAFETY: the structure is live.
    check(libc::c_long::from(unsafe {
        libc::setrlimit(resource, &raw const limit)
    }))
    .map(drop)
}
