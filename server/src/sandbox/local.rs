//! The `local` backend: sandboxes made of namespaces by the supervisor's own launcher, without an engine.
//!
//! Owns the folder of each sandbox, its cgroups, its host ids and the launcher's process. A sandbox ends
//! with the server's end of its stream, so nothing has to be found again after a crash but the folder: a
//! work tree on disk outlives the server, and `reattach` starts a fresh supervisor over it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::oneshot;

use super::egress::{EgressConfig, EgressPolicy};
use super::{Capabilities, KeptSetup, Sandbox, SandboxError, SandboxProvider, SandboxSpec, making};
use crate::jobs::Jobs;
use crate::task::id::SandboxId;

use self::cgroups::Cgroups;
use self::disk::Disk;
use self::folder::{Folders, Storage};
use self::host_ids::HostIds;
use self::kept::Kept;
use self::running::Maker;
use self::tools::Tools;

mod cgroups;
mod disk;
mod fault;
mod folder;
mod host_ids;
mod keeping;
mod kept;
mod limits;
mod running;
mod self_test;
mod tools;

/// Name of the supervisor's binary.
const SUPERVISOR: &str = "backspace-supervisor";

/// Where sandboxes are kept and what is shown in them.
#[derive(Clone, Debug)]
pub struct LocalConfig {
    /// Folder of all sandboxes of this server; made with mode 0700 when missing.
    pub state_folder: PathBuf,
    /// The supervisor's binary.
    pub supervisor: PathBuf,
    /// Whose toolchains are looked for; none of a user's when `None`.
    pub home: Option<PathBuf>,
    /// More host paths to show read-only, e.g. `/opt/toolchain`; a folder `bin` in one goes into PATH.
    pub extra_paths: Vec<PathBuf>,
    /// First host id for commands when the server runs as root; each sandbox takes two.
    pub first_host_id: u32,
    /// Root of the cgroup hierarchies.
    pub cgroup_root: PathBuf,
    /// How the work tree's growth is limited.
    pub disk: DiskLimit,
    /// Most bytes of checkouts that are kept to lie under work trees; 0 keeps none. 8 GiB.
    pub checkout_bytes: u64,
    /// Most bytes of what set-up commands left that are kept for later Tasks; 0 keeps none. 8 GiB.
    pub setup_bytes: u64,
    /// What commands may reach at all.
    pub egress: EgressConfig,
}

/// How the growth of a work tree is limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DiskLimit {
    /// `Image` where the self-test can make one, `Files` otherwise, which the capabilities then say.
    #[default]
    Automatic,
    /// Only single files are; costs nothing and needs no right.
    Files,
    /// Each sandbox has a file system in an image of that size. Needs root, loop devices and `mkfs.ext4`.
    Image,
}

impl LocalConfig {
    /// Makes the config with the usual values.
    pub fn new(state_folder: impl Into<PathBuf>, supervisor: impl Into<PathBuf>) -> Self {
        Self {
            state_folder: state_folder.into(),
            supervisor: supervisor.into(),
            home: std::env::var_os("HOME").map(PathBuf::from),
            extra_paths: Vec::new(),
            first_host_id: 200_000,
            cgroup_root: "/sys/fs/cgroup".into(),
            disk: DiskLimit::default(),
            checkout_bytes: 8 << 30,
            setup_bytes: 8 << 30,
            egress: EgressConfig::default(),
        }
    }
}

/// Finds the supervisor's binary in the folder of another binary, usually the server's own.
pub fn find_supervisor(beside: &Path) -> Option<PathBuf> {
    let folder = beside.parent()?;
    // A test binary lies one folder deeper than the binaries it tests.
    [Some(folder), folder.parent()]
        .into_iter()
        .flatten()
        .map(|folder| folder.join(SUPERVISOR))
        .find(|path| path.is_file())
}

/// Makes sandboxes on this machine.
pub struct LocalProvider {
    maker: Arc<Maker>,
    jobs: Jobs,
}

impl LocalProvider {
    /// Prepares the state folder and looks at what this machine has. Makes no sandbox; `self_test` does.
    pub fn new(config: LocalConfig, jobs: Jobs) -> Result<Self, SandboxError> {
        let folders = Folders::prepare(&config.state_folder)?;
        let host_ids = HostIds::find(config.first_host_id, &folders)?;
        let kept = |what, most_bytes| {
            Kept::prepare(&config.state_folder, what, most_bytes).map_err(|error| SandboxError::Internal {
                message: format!("prepare {what} in {}: {error}", config.state_folder.display()),
            })
        };
        let maker = Maker {
            cgroups: Cgroups::find(&config.cgroup_root),
            tools: Tools::find(config.home.as_deref(), &config.extra_paths),
            supervisor: config.supervisor,
            egress: EgressPolicy::new(config.egress),
            jobs: jobs.clone(),
            live: Arc::default(),
            checkouts: kept("checkouts", config.checkout_bytes)?,
            setups: kept("setups", config.setup_bytes)?,
            disk: Disk::find(config.disk, &config.state_folder, host_ids.are_mapped()),
            folders,
            host_ids,
        };
        Ok(Self {
            maker: Arc::new(maker),
            jobs,
        })
    }
}

impl LocalProvider {
    /// Keeps something to its end even when the caller goes away, so that nothing is left half moved.
    async fn keep<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, SandboxError>> + Send + 'static,
    ) -> Result<T, SandboxError> {
        let (sender, receiver) = oneshot::channel();
        let maker = Arc::clone(&self.maker);
        self.jobs.spawn("keep a sandbox's folders", async move {
            drop(sender.send(work.await));
            if let Err(error) = maker.evict().await {
                tracing::warn!(%error, "what is kept could not be evicted");
            }
        });
        receiver.await.map_err(|_| SandboxError::Internal {
            message: "the job that keeps a sandbox's folders ended early".into(),
        })?
    }
}

#[async_trait]
impl SandboxProvider for LocalProvider {
    fn name(&self) -> &'static str {
        "local"
    }

    async fn self_test(&self) -> Result<Capabilities, SandboxError> {
        self_test::run(&self.maker).await
    }

    fn tools(&self) -> String {
        self.maker.tools.version()
    }

    async fn create(&self, spec: SandboxSpec) -> Result<Arc<dyn Sandbox>, SandboxError> {
        let maker = Arc::clone(&self.maker);
        let (has_checkout, has_setup) = (spec.checkout.is_some(), spec.setup.is_some());
        let storage = self.maker.storage();
        let work = async move { maker.create(spec, storage).await.map(Some) };
        let made = making::to_the_end(&self.jobs, work).await;
        if let Err(error) = &made {
            // What can't be laid below is tried once more without a set-up; the checkout is to blame only then.
            if has_setup {
                self.maker.setups.give_up(error);
            } else if has_checkout {
                self.maker.checkouts.give_up(error);
            }
        }
        let made = made?;
        made.ok_or_else(|| SandboxError::Internal {
            message: "no sandbox was made".into(),
        })
    }

    async fn reattach(&self, spec: SandboxSpec) -> Result<Option<Arc<dyn Sandbox>>, SandboxError> {
        let maker = Arc::clone(&self.maker);
        making::to_the_end(&self.jobs, async move { maker.reattach(spec).await }).await
    }

    async fn checkout(&self, key: &str) -> Option<PathBuf> {
        self.maker.checkouts.find(key)
    }

    async fn create_for_checkout(&self, spec: SandboxSpec) -> Result<Option<Arc<dyn Sandbox>>, SandboxError> {
        if !self.maker.checkouts.are_usable() {
            return Ok(None);
        }
        let maker = Arc::clone(&self.maker);
        // A work tree in an image can't be moved out of it.
        let work = async move { maker.create(spec, Storage::Folders).await.map(Some) };
        making::to_the_end(&self.jobs, work).await
    }

    async fn keep_checkout(
        &self,
        sandbox: &Arc<dyn Sandbox>,
        key: &str,
        bytes: u64,
    ) -> Result<Option<PathBuf>, SandboxError> {
        if !self.maker.can_keep_checkout(sandbox.id()) {
            return Ok(None);
        }
        let (maker, sandbox, key) = (Arc::clone(&self.maker), Arc::clone(sandbox), key.to_owned());
        let work = async move { maker.keep_checkout(&sandbox, &key, bytes).await };
        self.keep(work).await.map(Some)
    }

    async fn setup(&self, key: &str) -> Option<KeptSetup> {
        self.maker.setup(key)
    }

    async fn create_for_setup(&self, spec: SandboxSpec) -> Result<Option<Arc<dyn Sandbox>>, SandboxError> {
        if !self.maker.setups.are_usable() {
            return Ok(None);
        }
        let maker = Arc::clone(&self.maker);
        let work = async move { maker.create(spec, Storage::Keepable).await.map(Some) };
        making::to_the_end(&self.jobs, work).await
    }

    async fn keep_setup(
        &self,
        sandbox: &Arc<dyn Sandbox>,
        key: &str,
        note: &str,
        bytes: u64,
    ) -> Result<Option<KeptSetup>, SandboxError> {
        if !self.maker.can_keep_setup(sandbox.id(), bytes) {
            return Ok(None);
        }
        let (maker, sandbox) = (Arc::clone(&self.maker), Arc::clone(sandbox));
        let (key, note) = (key.to_owned(), note.to_owned());
        let work = async move { maker.keep_setup(&sandbox, &key, &note, bytes).await };
        self.keep(work).await.map(Some)
    }

    async fn sweep(&self, keep: &[SandboxId]) -> Result<usize, SandboxError> {
        self.maker.sweep(keep).await
    }
}
