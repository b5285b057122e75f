//! The `docker` backend: each sandbox is a hardened container whose only program is the supervisor.
//!
//! Owns the way to the engine, the container's creation request, its image, and what of the engine belongs to
//! this server. The engine's `exec` is not used: it costs a hundred milliseconds and can't be killed. A container
//! outlives the server until the deadline it was told, so a restarted server attaches to it again.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};

use super::egress::{EgressConfig, EgressPolicy};
use super::{
    Capabilities, KeptSetup, PoolNumbers, Sandbox, SandboxError, SandboxLimits, SandboxProvider, SandboxSpec, making,
};
use crate::jobs::Jobs;
use crate::task::id::SandboxId;

use self::container::{Keeping, Maker};
use self::disks::Disks;
use self::engine::Engine;
use self::ground::Ground;
use self::image::Images;
use self::instance::Instance;
use self::kept::Kept;
use self::life::Live;
use self::pool::{Kind, Pool};
use self::volumes::Volumes;

pub use self::address::{EngineAddress, InvalidEngineAddress};
pub use self::disks::WorkTreeLimit;
pub use self::image::{ImageConfig, PullPolicy};

mod address;
mod attach;
mod container;
mod disks;
mod engine;
mod folders;
mod ground;
mod image;
mod instance;
mod keeping;
mod kept;
mod life;
mod pool;
mod pull;
mod request;
mod self_test;
mod sweep;
mod volumes;

/// A container outlives a lost connection, a failed removal, and whoever dropped it.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// Which engine, and what sandboxes are made of.
#[derive(Clone, Debug)]
pub struct DockerConfig {
    /// Folder of this server's own notes; made with mode 0700 when missing.
    pub state_folder: PathBuf,
    /// The supervisor's binary, which must be static.
    pub supervisor: PathBuf,
    /// Where the engine is.
    pub engine: EngineAddress,
    /// How long the engine may take to begin an answer. A minute.
    pub answer_deadline: Duration,
    /// Which images.
    pub images: ImageConfig,
    /// The engine's runtime, e.g. `runsc`; its default when `None`.
    pub runtime: Option<String>,
    /// How the growth of a work tree is limited.
    pub work_tree_limit: WorkTreeLimit,
    /// Most bytes of checkouts that are kept to lie under work trees; 0 keeps none. 8 GiB.
    pub checkout_bytes: u64,
    /// Most bytes of what set-up commands left that are kept for later Tasks; 0 keeps none. 8 GiB.
    pub setup_bytes: u64,
    /// Containers that are kept ready. None.
    pub pool_size: usize,
    /// Limits of those at first; later they are as the last sandbox's.
    pub pool_limits: SandboxLimits,
    /// What commands may reach at all.
    pub egress: EgressConfig,
}

impl DockerConfig {
    /// Makes the config with the usual values.
    pub fn new(state_folder: impl Into<PathBuf>, supervisor: impl Into<PathBuf>, image: impl Into<String>) -> Self {
        Self {
            state_folder: state_folder.into(),
            supervisor: supervisor.into(),
            engine: EngineAddress::default(),
            answer_deadline: Duration::from_secs(60),
            images: ImageConfig::new(image),
            runtime: None,
            work_tree_limit: WorkTreeLimit::default(),
            checkout_bytes: 8 << 30,
            setup_bytes: 8 << 30,
            pool_size: 0,
            pool_limits: SandboxLimits::default(),
            egress: EgressConfig::default(),
        }
    }
}

/// Makes sandboxes by a Docker engine.
pub struct DockerProvider {
    maker: Arc<Maker>,
    pool_limits: SandboxLimits,
}

impl DockerProvider {
    /// Prepares the state folder and the way to the engine, which is not asked anything yet.
    pub fn new(config: DockerConfig, jobs: Jobs) -> Result<Self, SandboxError> {
        let instance = Instance::open(&config.state_folder)?;
        let engine = Arc::new(Engine::new(&config.engine, config.answer_deadline)?);
        let images = Images::new(config.images, Arc::clone(&engine))?;
        let volumes = Volumes {
            engine: Arc::clone(&engine),
            instance: instance.clone(),
        };
        let disks = Disks::prepare(instance.folder(), config.work_tree_limit);
        let kept = |what, most_bytes| {
            let kept = Kept::prepare(instance.folder(), what, volumes.clone(), most_bytes);
            kept.map_err(|error| SandboxError::Internal {
                message: format!("prepare the notes of {what}: {error}"),
            })
        };
        let maker = Maker {
            ground: Ground::new(Arc::clone(&engine), &instance, config.supervisor),
            runtime: config.runtime,
            egress: EgressPolicy::new(config.egress),
            jobs: jobs.clone(),
            live: Live::default(),
            checkouts: kept("checkouts", config.checkout_bytes)?,
            setups: kept("setups", config.setup_bytes)?,
            disks: disks.map_err(|error| SandboxError::Internal {
                message: format!("prepare the folder of disks: {error}"),
            })?,
            pool: Pool::new(config.pool_size),
            volumes,
            engine,
            images,
            instance,
        };
        let maker = Arc::new(maker);
        if config.pool_size > 0 {
            jobs.spawn("sandbox pool", pool::keep(Arc::downgrade(&maker), jobs.child_token()));
        }
        Ok(Self {
            maker,
            pool_limits: config.pool_limits,
        })
    }

    async fn make(&self, spec: SandboxSpec, keeping: Keeping) -> Result<Arc<dyn Sandbox>, SandboxError> {
        let maker = Arc::clone(&self.maker);
        let work = async move {
            let sandbox: Arc<dyn Sandbox> = maker.create(spec, keeping).await?;
            Ok(Some(sandbox))
        };
        let made = making::to_the_end(&self.maker.jobs, work).await?;
        made.ok_or_else(|| SandboxError::Internal {
            message: "no sandbox was made".into(),
        })
    }
}

impl DockerProvider {
    /// Keeps something to its end even when the caller goes away, so that no volume is left half kept.
    async fn keep<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, SandboxError>> + Send + 'static,
    ) -> Result<T, SandboxError> {
        let (sender, receiver) = oneshot::channel();
        let maker = Arc::clone(&self.maker);
        maker.jobs.clone().spawn("keep a sandbox's volumes", async move {
            drop(sender.send(work.await));
            for kept in [&maker.checkouts, &maker.setups] {
                if let Err(error) = kept.evict().await {
                    tracing::warn!(%error, "what is kept could not be evicted");
                }
            }
        });
        receiver.await.map_err(|_| SandboxError::Internal {
            message: "the job that keeps a sandbox's volumes ended early".into(),
        })?
    }
}

#[async_trait]
impl SandboxProvider for DockerProvider {
    fn name(&self) -> &'static str {
        "docker"
    }

    async fn self_test(&self) -> Result<Capabilities, SandboxError> {
        let capabilities = self_test::run(&self.maker).await?;
        let image = self.maker.images.find(None).await?;
        self.maker.pool.want(Kind {
            image,
            limits: self.pool_limits,
        });
        Ok(capabilities)
    }

    fn allows_image(&self, image: &str) -> bool {
        self.maker.images.allows(image)
    }

    async fn prepare_image(
        &self,
        image: Option<&str>,
        progress: mpsc::Sender<String>,
    ) -> Result<Option<String>, SandboxError> {
        self.maker.images.prepare(image, &progress).await.map(Some)
    }

    async fn create(&self, spec: SandboxSpec) -> Result<Arc<dyn Sandbox>, SandboxError> {
        let (has_checkout, has_setup) = (spec.checkout.is_some(), spec.setup.is_some());
        let made = self.make(spec, Keeping::Nothing).await;
        // An image that is not fit says nothing of the checkouts of others.
        if let Err(error) = &made
            && !matches!(error, SandboxError::Image { .. })
        {
            // What can't be laid below is tried once more without a set-up; the checkout is to blame only then.
            if has_setup {
                self.maker.setups.give_up(error);
            } else if has_checkout {
                self.maker.checkouts.give_up(error);
            }
        }
        made
    }

    async fn checkout(&self, key: &str) -> Option<PathBuf> {
        self.maker.checkouts.find(key).await.map(|held| held.tree.into())
    }

    async fn create_for_checkout(&self, spec: SandboxSpec) -> Result<Option<Arc<dyn Sandbox>>, SandboxError> {
        if !self.maker.checkouts.are_usable() {
            return Ok(None);
        }
        self.make(spec, Keeping::WorkTree).await.map(Some)
    }

    async fn keep_checkout(
        &self,
        sandbox: &Arc<dyn Sandbox>,
        key: &str,
        bytes: u64,
    ) -> Result<Option<PathBuf>, SandboxError> {
        let (maker, sandbox, key) = (Arc::clone(&self.maker), Arc::clone(sandbox), key.to_owned());
        let work = async move { maker.keep_checkout(&sandbox, &key, bytes).await };
        Ok(self.keep(work).await?.map(PathBuf::from))
    }

    async fn setup(&self, key: &str) -> Option<KeptSetup> {
        self.maker.setup(key).await
    }

    async fn create_for_setup(&self, spec: SandboxSpec) -> Result<Option<Arc<dyn Sandbox>>, SandboxError> {
        if !self.maker.setups.are_usable() {
            return Ok(None);
        }
        self.make(spec, Keeping::Setup).await.map(Some)
    }

    async fn keep_setup(
        &self,
        sandbox: &Arc<dyn Sandbox>,
        key: &str,
        note: &str,
        bytes: u64,
    ) -> Result<Option<KeptSetup>, SandboxError> {
        let (maker, sandbox) = (Arc::clone(&self.maker), Arc::clone(sandbox));
        let (key, note) = (key.to_owned(), note.to_owned());
        self.keep(async move { maker.keep_setup(&sandbox, &key, &note, bytes).await })
            .await
    }

    async fn reattach(&self, spec: SandboxSpec) -> Result<Option<Arc<dyn Sandbox>>, SandboxError> {
        let maker = Arc::clone(&self.maker);
        making::to_the_end(&self.maker.jobs, async move { maker.reattach(spec).await }).await
    }

    fn pool(&self) -> Option<PoolNumbers> {
        Some(self.maker.pool.numbers())
    }

    fn sweep_interval(&self) -> Option<Duration> {
        Some(SWEEP_INTERVAL)
    }

    async fn sweep(&self, keep: &[SandboxId]) -> Result<usize, SandboxError> {
        self.maker.sweep(keep).await
    }
}
