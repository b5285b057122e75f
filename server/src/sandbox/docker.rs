//! The `docker` backend: each sandbox is a hardened container whose only program is the supervisor.
//!
//! Owns the way to the engine, the container's creation request, its image, and what of the engine belongs to
//! this server. The engine's `exec` is not used: it costs a hundred milliseconds and can't be killed. A container
//! outlives the server until the deadline it was told, so a restarted server attaches to it again.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::egress::{EgressConfig, EgressPolicy};
use super::{Capabilities, Sandbox, SandboxError, SandboxProvider, SandboxSpec, making};
use crate::jobs::Jobs;
use crate::task::id::SandboxId;

use self::container::Maker;
use self::engine::Engine;
use self::ground::Ground;
use self::image::Images;
use self::instance::Instance;

pub use self::address::{EngineAddress, InvalidEngineAddress};
pub use self::image::{ImageConfig, PullPolicy};

mod address;
mod attach;
mod container;
mod engine;
mod ground;
mod image;
mod instance;
mod request;
mod self_test;

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
    /// Which images.
    pub images: ImageConfig,
    /// The engine's runtime, e.g. `runsc`; its default when `None`.
    pub runtime: Option<String>,
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
            images: ImageConfig::new(image),
            runtime: None,
            egress: EgressConfig::default(),
        }
    }
}

/// Makes sandboxes by a Docker engine.
pub struct DockerProvider {
    maker: Arc<Maker>,
    jobs: Jobs,
}

impl DockerProvider {
    /// Prepares the state folder and the way to the engine, which is not asked anything yet.
    pub fn new(config: DockerConfig, jobs: Jobs) -> Result<Self, SandboxError> {
        let instance = Instance::open(&config.state_folder)?;
        let engine = Arc::new(Engine::new(&config.engine)?);
        let images = Images::new(config.images, Arc::clone(&engine))?;
        let maker = Maker {
            ground: Ground::new(Arc::clone(&engine), &instance, config.supervisor),
            runtime: config.runtime,
            egress: EgressPolicy::new(config.egress),
            jobs: jobs.clone(),
            live: Arc::default(),
            engine,
            images,
            instance,
        };
        Ok(Self {
            maker: Arc::new(maker),
            jobs,
        })
    }
}

#[async_trait]
impl SandboxProvider for DockerProvider {
    fn name(&self) -> &'static str {
        "docker"
    }

    async fn self_test(&self) -> Result<Capabilities, SandboxError> {
        self_test::run(&self.maker).await
    }

    async fn create(&self, spec: SandboxSpec) -> Result<Arc<dyn Sandbox>, SandboxError> {
        let maker = Arc::clone(&self.maker);
        let work = async move {
            let sandbox: Arc<dyn Sandbox> = maker.create(spec).await?;
            Ok(Some(sandbox))
        };
        let made = making::to_the_end(&self.jobs, work).await?;
        made.ok_or_else(|| SandboxError::Internal {
            message: "no sandbox was made".into(),
        })
    }

    async fn reattach(&self, spec: SandboxSpec) -> Result<Option<Arc<dyn Sandbox>>, SandboxError> {
        let maker = Arc::clone(&self.maker);
        making::to_the_end(&self.jobs, async move { maker.reattach(spec).await }).await
    }

    fn sweep_interval(&self) -> Option<Duration> {
        Some(SWEEP_INTERVAL)
    }

    async fn sweep(&self, keep: &[SandboxId]) -> Result<usize, SandboxError> {
        self.maker.sweep(keep).await
    }
}
