//! What a command and a file operation may not do: capabilities, landlock, system calls.
//!
//! The filters are compiled once and inherited over fork. Denied calls fail as for any unprivileged
//! program (EPERM); `clone3` fails as on an old kernel (ENOSYS), because its flags are behind a pointer
//! that a filter can't read, and C libraries fall back to `clone`.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetStatus, Scope,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use crate::supervisor::SupervisorConfig;
use crate::supervisor::system;

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
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_quotactl,
    libc::SYS_fanotify_init,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_reboot,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_vhangup,
];

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

/// Confines processes before they run what is not ours.
pub(super) struct Confinement {
    denied: BpfProgram,
    unknown: BpfProgram,
    command_user: Option<(u32, u32)>,
    writable: Vec<PathBuf>,
}

impl Confinement {
    /// Compiles the filters.
    pub(super) fn new(config: &SupervisorConfig) -> io::Result<Self> {
        Ok(Self {
            denied: denied_filter().map_err(io::Error::other)?,
            unknown: unknown_filter().map_err(io::Error::other)?,
            command_user: config.command_user,
            writable: config.writable.clone(),
        })
    }

    /// Returns the layers that hold for every command.
    pub(super) fn layers(&self) -> Vec<String> {
        let mut layers = vec!["capabilities".to_owned(), "no-new-privileges".into(), "seccomp".into()];
        if landlock_works() {
            layers.push("landlock".into());
        }
        layers
    }

    /// Confines this process for good. Everything but landlock, the second line, must work.
    pub(super) fn apply(&self) -> io::Result<()> {
        // The bounding set first: becoming a user takes the right to change it.
        system::empty_bounding_set();
        if let Some((user, group)) = self.command_user {
            system::become_user(user, group)?;
        }
        system::drop_capabilities()?;
        system::control(libc::PR_SET_NO_NEW_PRIVS, 1)?;
        // Best effort: the mount tree says the same.
        let _ = self.restrict_files();
        seccompiler::apply_filter(&self.denied).map_err(io::Error::other)?;
        seccompiler::apply_filter(&self.unknown).map_err(io::Error::other)
    }

    fn restrict_files(&self) -> Result<RulesetStatus, landlock::RulesetError> {
        let abi = ABI::V6;
        let mut rules = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(abi))?
            .scope(Scope::from_all(abi))?
            .create()?;
        let read = AccessFs::from_read(abi);
        if let Ok(root) = PathFd::new("/") {
            rules = rules.add_rule(PathBeneath::new(root, read))?;
        }
        for folder in &self.writable {
            if let Ok(folder) = PathFd::new(folder) {
                rules = rules.add_rule(PathBeneath::new(folder, AccessFs::from_all(abi)))?;
            }
        }
        Ok(rules.restrict_self()?.ruleset)
    }
}

fn landlock_works() -> bool {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))
        .and_then(Ruleset::create)
        .is_ok()
}

fn condition(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
}

fn denied_filter() -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = DENIED.iter().map(|&call| (call, Vec::new())).collect();
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
    let injections = [libc::TIOCSTI, 0x541c]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_filters_compile_for_this_machine() {
        assert!(denied_filter().unwrap().len() > DENIED.len());
        assert!(!unknown_filter().unwrap().is_empty());
    }
}
