//! The system calls that no command gets.
//!
//! A deny-list, because commands are arbitrary programs; what it takes away is what a build or a test never
//! needs and an attack on the kernel often does. Denied calls fail as for any unprivileged program (EPERM);
//! `clone3` fails as on an old kernel (ENOSYS), because its flags are behind a pointer that a filter can't read,
//! and C libraries fall back to `clone`. Calls of another architecture kill the process.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    sock_filter,
};

/// System calls that no command needs and that reach the kernel's delicate parts.
const DENIED: &[libc::c_long] = &[
    // Mounts and namespaces.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_unshare,
    libc::SYS_setns,
    // Keys, tracing, other processes' memory.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    // Kernel programs and interfaces with a history of holes.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_fanotify_init,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_reboot,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_vhangup,
];

/// Ports of the machine, which only this architecture has.
#[cfg(target_arch = "x86_64")]
const DENIED_HERE: &[libc::c_long] = &[libc::SYS_iopl, libc::SYS_ioperm];
#[cfg(not(target_arch = "x86_64"))]
const DENIED_HERE: &[libc::c_long] = &[];

/// First number of the x32 calls of x86-64: the same calls under other numbers, past any list of numbers.
const X32_FIRST: u32 = 0x4000_0000;

/// Flags of `clone` that make namespaces; the last is that of time namespaces.
const NAMESPACES: [libc::c_int; 8] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
    0x80,
];

/// Socket families that a program without a network has a use for: unix, inet, inet6, netlink.
const FAMILIES: [libc::c_int; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// Compiles the filters; all of them are to be installed.
pub(super) fn filters() -> Result<Vec<BpfProgram>, seccompiler::BackendError> {
    Ok(vec![foreign_numbers(), denied_filter()?, unknown_filter()?])
}

fn condition(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
}

fn denied_filter() -> Result<BpfProgram, seccompiler::BackendError> {
    let listed = DENIED.iter().chain(DENIED_HERE);
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = listed.map(|&call| (call, Vec::new())).collect();
    let mut namespaces = Vec::new();
    for flag in NAMESPACES {
        let flag = flag as u64;
        namespaces.push(SeccompRule::new(vec![condition(
            0,
            SeccompCmpOp::MaskedEq(flag),
            flag,
        )?])?);
    }
    rules.insert(libc::SYS_clone, namespaces);
    let foreign = FAMILIES
        .iter()
        .map(|&family| condition(0, SeccompCmpOp::Ne, family as u64));
    let foreign = SeccompRule::new(foreign.collect::<Result<_, _>>()?)?;
    rules.insert(libc::SYS_socket, vec![foreign.clone(), raw_sockets()?]);
    rules.insert(libc::SYS_socketpair, vec![foreign]);
    let injections = [libc::TIOCSTI, libc::TIOCLINUX]
        .map(|request| condition(1, SeccompCmpOp::Eq, request).and_then(|condition| SeccompRule::new(vec![condition])));
    rules.insert(libc::SYS_ioctl, injections.into_iter().collect::<Result<_, _>>()?);
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM as u32),
        std::env::consts::ARCH.try_into()?,
    )?;
    filter.try_into()
}

/// Raw sockets of the internet families; the kernel wants a capability for them, this is the second line.
fn raw_sockets() -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![
        condition(0, SeccompCmpOp::Ne, libc::AF_UNIX as u64)?,
        condition(0, SeccompCmpOp::Ne, libc::AF_NETLINK as u64)?,
        condition(1, SeccompCmpOp::MaskedEq(0xf), libc::SOCK_RAW as u64)?,
    ])
}

fn unknown_filter() -> Result<BpfProgram, seccompiler::BackendError> {
    let filter = SeccompFilter::new(
        BTreeMap::from([(libc::SYS_clone3, Vec::new())]),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS as u32),
        std::env::consts::ARCH.try_into()?,
    )?;
    filter.try_into()
}

/// Refuses every x32 call. By hand, because the compiler of filters knows numbers one by one only.
fn foreign_numbers() -> BpfProgram {
    const LOAD_WORD: u16 = 0x20;
    const JUMP_IF_NOT_LESS: u16 = 0x35;
    const RETURN: u16 = 0x06;
    const ALLOW: u32 = 0x7fff_0000;
    const ERRNO: u32 = 0x0005_0000;
    let step = |code, jt, k| sock_filter { code, jt, jf: 0, k };
    vec![
        // The number is the first word of what a filter sees.
        step(LOAD_WORD, 0, 0),
        step(JUMP_IF_NOT_LESS, 1, X32_FIRST),
        step(RETURN, 0, ALLOW),
        step(RETURN, 0, ERRNO | libc::EPERM.cast_unsigned()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_filters_compile_for_this_machine() {
        let lengths: Vec<_> = filters().unwrap().iter().map(Vec::len).collect();
        assert!(
            matches!(lengths.as_slice(), [4, denied, unknown] if *denied > DENIED.len() && *unknown > 4),
            "{lengths:?}"
        );
    }
}
