//! Tries from inside a sandbox what must be refused, for the self-test and the tests.
//!
//! Runs as an ordinary command. Asks the kernel itself instead of tools, which an image may lack. Run
//! outside of a sandbox by root, in namespaces of its own, the same attempts succeed: that is the tests' control.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_int, c_long};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a process found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeReport {
    /// Attempts that succeeded, none in a sandbox.
    pub allowed: Vec<String>,
    /// Attempts that failed, with what the system said.
    pub refused: BTreeMap<String, String>,
    /// `NoNewPrivs`, `CapEff`, `CapPrm`, `CapInh`, `CapBnd`, `CapAmb` and `Seccomp` of the process.
    pub status: BTreeMap<String, String>,
    /// Its namespaces by name.
    pub namespaces: BTreeMap<String, String>,
    /// Its open descriptors.
    pub descriptors: Vec<u32>,
    /// Processes that it can see.
    pub processes: usize,
}

type Attempt = (&'static str, fn() -> io::Result<()>);

const ATTEMPTS: &[Attempt] = &[
    ("read /etc/shadow", || File::open("/etc/shadow").map(drop)),
    ("read /proc/1/environ", || fs::read("/proc/1/environ").map(drop)),
    ("read /proc/1/root", || fs::read_dir("/proc/1/root").map(drop)),
    ("read /proc/1/fd", || fs::read_dir("/proc/1/fd").map(drop)),
    ("open /proc/1/mem", || open_to_write("/proc/1/mem")),
    ("write core_pattern", || open_to_write("/proc/sys/kernel/core_pattern")),
    ("write sysrq-trigger", || open_to_write("/proc/sysrq-trigger")),
    ("write /usr", || create("/usr/backspace-probe")),
    ("write /etc", || create("/etc/backspace-probe")),
    ("write /dev", || create("/dev/backspace-probe")),
    ("write /", || create("/backspace-probe")),
    ("mount tmpfs", mount_memory),
    ("remount /proc", remount),
    ("unmount /proc", || {
        call_number(libc::SYS_umount2, &[c"/proc".as_ptr() as c_long, 2])
    }),
    ("fsopen", || {
        call_descriptor(libc::SYS_fsopen, &[c"tmpfs".as_ptr() as c_long, 0])
    }),
    ("open_tree", || {
        call_descriptor(libc::SYS_open_tree, &[-100, c"/".as_ptr() as c_long, 1])
    }),
    ("chroot", || call_number(libc::SYS_chroot, &[c"/".as_ptr() as c_long])),
    ("unshare user", || {
        call_number(libc::SYS_unshare, &[c_long::from(libc::CLONE_NEWUSER)])
    }),
    ("unshare network", || {
        call_number(libc::SYS_unshare, &[c_long::from(libc::CLONE_NEWNET)])
    }),
    ("clone3 user", clone_user),
    ("ptrace PID 1", || {
        call_number(libc::SYS_ptrace, &[c_long::from(libc::PTRACE_SEIZE), 1, 0, 0])
    }),
    ("become root", || call_number(libc::SYS_setresuid, &[0, 0, 0])),
    ("become another group", || call_number(libc::SYS_setresgid, &[7, 7, 7])),
    ("chown to root", chown_to_root),
    ("make a device", make_device),
    ("vsock socket", || socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0)),
    ("packet socket", || socket(libc::AF_PACKET, libc::SOCK_RAW, 0)),
    ("crypto socket", || socket(libc::AF_ALG, libc::SOCK_SEQPACKET, 0)),
    ("raw socket", || {
        socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP)
    }),
    ("io_uring", io_uring),
    ("bpf", bpf),
    ("perf", perf),
    ("userfaultfd", || call_descriptor(libc::SYS_userfaultfd, &[0])),
    ("keyring", || call_number(libc::SYS_keyctl, &[0, -3, 1])),
    ("process_vm_readv", || {
        call_number(libc::SYS_process_vm_readv, &[own_id(), 0, 0, 0, 0, 0])
    }),
    ("x32 call", || call_number(0x4000_0000 | libc::SYS_getppid, &[])),
    ("32-bit call", call_in_32_bits),
    ("read the kernel's log", read_kernel_log),
    ("type into a terminal", type_into_terminal),
    ("raise a limit", raise_limit),
    ("set the host name", || {
        call_number(libc::SYS_sethostname, &[c"x".as_ptr() as c_long, 1])
    }),
];

/// Makes all attempts, connects to `addresses` and opens `paths`.
pub fn run(addresses: &[SocketAddr], paths: &[String]) -> ProbeReport {
    let mut report = ProbeReport {
        descriptors: descriptors(),
        status: status(),
        namespaces: namespaces(),
        processes: processes(),
        ..ProbeReport::default()
    };
    for (name, attempt) in ATTEMPTS {
        report.note((*name).to_owned(), apart(*attempt));
    }
    for address in addresses {
        let connected = TcpStream::connect_timeout(address, Duration::from_secs(2));
        report.note(format!("connect to {address}"), connected.map(drop));
    }
    for path in paths {
        report.note(format!("open {path}"), File::open(path).map(drop));
    }
    report
}

impl ProbeReport {
    fn note(&mut self, name: String, result: io::Result<()>) {
        match result {
            Ok(()) => self.allowed.push(name),
            Err(error) => {
                self.refused.insert(name, error.to_string());
            }
        }
    }
}

/// Makes an attempt in a process of its own: one that succeeds would change what the next ones can.
fn apart(attempt: fn() -> io::Result<()>) -> io::Result<()> {
    // SAFETY: this process has one thread, so its copy may do anything.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let status = attempt().map_or_else(|error| error.raw_os_error().unwrap_or(255), |()| 0);
        // SAFETY: does not return and touches no memory.
        unsafe { libc::_exit(status) };
    }
    let mut status = 0;
    // SAFETY: the status is a live integer. A failed fork has no child to wait for, which is an error too.
    if unsafe { libc::waitpid(child, &raw mut status, 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    match libc::WEXITSTATUS(status) {
        0 if libc::WIFEXITED(status) => Ok(()),
        0 => Err(io::Error::other(format!("killed by signal {}", libc::WTERMSIG(status)))),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

fn descriptors() -> Vec<u32> {
    let listing = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let mut found: Vec<u32> = listing
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    // The listing itself has one, gone by now.
    found.retain(|number| fs::symlink_metadata(format!("/proc/self/fd/{number}")).is_ok());
    found.sort_unstable();
    found
}

fn status() -> BTreeMap<String, String> {
    const WANTED: [&str; 7] = [
        "NoNewPrivs",
        "CapEff",
        "CapPrm",
        "CapInh",
        "CapBnd",
        "CapAmb",
        "Seccomp",
    ];
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs
        .filter(|(name, _)| WANTED.contains(name))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}

fn namespaces() -> BTreeMap<String, String> {
    let names = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"];
    let read = |name: &str| fs::read_link(format!("/proc/self/ns/{name}")).ok();
    names
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), read(name)?.to_string_lossy().into_owned())))
        .collect()
}

fn processes() -> usize {
    let listing = fs::read_dir("/proc").into_iter().flatten().flatten();
    listing
        .filter(|entry| {
            entry
                .file_name()
                .to_str()
                .is_some_and(|name| name.parse::<u32>().is_ok())
        })
        .count()
}

fn open_to_write(path: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(path).map(drop)
}

fn create(path: &str) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).open(path)?;
    fs::remove_file(path)
}

fn call(number: c_long, arguments: &[c_long]) -> io::Result<c_long> {
    let argument = |index: usize| arguments.get(index).copied().unwrap_or(0);
    // SAFETY: every caller passes numbers, null, or pointers to data that is 'static or lives on its stack.
    let result = unsafe {
        libc::syscall(
            number,
            argument(0),
            argument(1),
            argument(2),
            argument(3),
            argument(4),
            argument(5),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

fn call_number(number: c_long, arguments: &[c_long]) -> io::Result<()> {
    call(number, arguments).map(drop)
}

/// Leaves the descriptor open: the process ends at once.
fn call_descriptor(number: c_long, arguments: &[c_long]) -> io::Result<()> {
    call(number, arguments).map(drop)
}

fn mount_memory() -> io::Result<()> {
    let kind = c"tmpfs".as_ptr() as c_long;
    call_number(libc::SYS_mount, &[kind, c"/tmp".as_ptr() as c_long, kind, 0, 0])
}

fn remount() -> io::Result<()> {
    let flags = (libc::MS_REMOUNT | libc::MS_BIND).cast_signed();
    call_number(libc::SYS_mount, &[0, c"/proc".as_ptr() as c_long, 0, flags, 0])
}

fn clone_user() -> io::Result<()> {
    let arguments = [libc::CLONE_NEWUSER as u64, 0, 0, 0, libc::SIGCHLD as u64, 0, 0, 0_u64];
    if call(libc::SYS_clone3, &[arguments.as_ptr() as c_long, 64])? == 0 {
        // SAFETY: the new process ends at once.
        unsafe { libc::_exit(0) };
    }
    Ok(())
}

fn chown_to_root() -> io::Result<()> {
    File::create("probe-file")?;
    let result = std::os::unix::fs::chown("probe-file", Some(0), Some(0));
    fs::remove_file("probe-file")?;
    result
}

fn make_device() -> io::Result<()> {
    const NULL_DEVICE: c_long = 0x103;
    let path: &CStr = c"probe-device";
    let mode = c_long::from(libc::S_IFCHR | 0o600);
    call_number(libc::SYS_mknodat, &[-100, path.as_ptr() as c_long, mode, NULL_DEVICE])?;
    fs::remove_file("probe-device")
}

fn socket(family: c_int, kind: c_int, protocol: c_int) -> io::Result<()> {
    call_descriptor(libc::SYS_socket, &[family, kind, protocol].map(c_long::from))
}

fn io_uring() -> io::Result<()> {
    let parameters = [0_u8; 256];
    call_descriptor(libc::SYS_io_uring_setup, &[1, parameters.as_ptr() as c_long])
}

fn bpf() -> io::Result<()> {
    // BPF_MAP_CREATE of an array with one entry.
    let mut attributes = [0_u32; 32];
    for (place, value) in attributes.iter_mut().zip([2, 4, 4, 1]) {
        *place = value;
    }
    call_descriptor(libc::SYS_bpf, &[0, attributes.as_ptr() as c_long, 128])
}

fn perf() -> io::Result<()> {
    // PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_CLOCK.
    let mut attributes = [0_u32; 32];
    for (place, value) in attributes.iter_mut().zip([1, 128]) {
        *place = value;
    }
    call_descriptor(
        libc::SYS_perf_event_open,
        &[attributes.as_ptr() as c_long, 0, -1, -1, 0],
    )
}

/// The process that makes a call of another architecture is killed inside, not refused.
#[cfg(target_arch = "x86_64")]
fn call_in_32_bits() -> io::Result<()> {
    const GET_PARENT: i64 = 64;
    let result: i64;
    // SAFETY: getppid takes nothing and touches no memory; the kernel may clear the registers named.
    unsafe {
        std::arch::asm!("int 0x80", inlateout("rax") GET_PARENT => result,
            lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _);
    }
    if result < 0 {
        Err(io::Error::from_raw_os_error(libc::ENOSYS))
    } else {
        Ok(())
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn call_in_32_bits() -> io::Result<()> {
    Err(io::Error::from_raw_os_error(libc::ENOSYS))
}

fn read_kernel_log() -> io::Result<()> {
    const READ_ALL: c_long = 3;
    let buffer = [0_u8; 64];
    call_number(libc::SYS_syslog, &[READ_ALL, buffer.as_ptr() as c_long, 64])
}

fn type_into_terminal() -> io::Result<()> {
    let terminal = OpenOptions::new().read(true).write(true).open("/dev/ptmx")?;
    let descriptor = c_long::from(std::os::fd::AsRawFd::as_raw_fd(&terminal));
    let request = libc::TIOCSTI as c_long;
    call_number(libc::SYS_ioctl, &[descriptor, request, b"x".as_ptr() as c_long])
}

fn raise_limit() -> io::Result<()> {
    let limit = [libc::RLIM_INFINITY; 2];
    call_number(
        libc::SYS_setrlimit,
        &[libc::RLIMIT_CORE as c_long, limit.as_ptr() as c_long],
    )
}

fn own_id() -> c_long {
    c_long::from(std::process::id().cast_signed())
}
