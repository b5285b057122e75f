//! What a command and a file operation may not do: capabilities, landlock, system calls.
//!
//! The filters are compiled once and inherited over fork. Everything but landlock must work, or nothing is
//! run: landlock says only what the mount tree says already, and not every kernel has it.

use std::io;
use std::path::PathBuf;

use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetStatus, Scope,
};
use seccompiler::BpfProgram;

use crate::supervisor::SupervisorConfig;
use crate::supervisor::{seccomp, system};

/// Confines processes before they run what is not ours.
pub(super) struct Confinement {
    filters: Vec<BpfProgram>,
    command_user: Option<(u32, u32)>,
    writable: Vec<PathBuf>,
}

impl Confinement {
    /// Compiles the filters.
    pub(super) fn new(config: &SupervisorConfig) -> io::Result<Self> {
        Ok(Self {
            filters: seccomp::filters().map_err(io::Error::other)?,
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
        self.filters
            .iter()
            .try_for_each(|filter| seccompiler::apply_filter(filter).map_err(io::Error::other))
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
