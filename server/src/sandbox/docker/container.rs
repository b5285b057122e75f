//! A sandbox's life at the engine: created, attached to before it is started, entered, removed.
//!
//! Whatever carries this server's label and is neither in use nor kept is removed by a sweep, so nothing has to
//! be undone that a crash interrupted; volumes that a failed creation made are that sweep's as well.

use std::sync::Arc;
use std::time::Duration;

use bollard::query_parameters::{
    CreateContainerOptions, InspectContainerOptions, RenameContainerOptions, StartContainerOptions,
};

use super::attach::{Attachment, attach};
use super::disks::{Disk, Disks};
use super::engine::{Engine, is_missing};
use super::ground::Ground;
use super::image::{ImageId, Images};
use super::instance::Instance;
use super::kept::Kept;
use super::life::{Life, Live};
use super::pool::{Kind, Pool, Ready};
use super::request::{self, ContainerPlan, INSTANCE_LABEL};
use super::volumes::Volumes;
use crate::jobs::Jobs;
use crate::sandbox::egress::EgressPolicy;
use crate::sandbox::supervised::{Entry, Lifecycle, Session, SupervisedSandbox};
use crate::sandbox::{ExecSpec, Sandbox, SandboxError, SandboxSpec};
use crate::task::id::SandboxId;

/// How long git may take to say that it is there.
const GIT_DEADLINE: Duration = Duration::from_secs(20);

/// Which folders of a new sandbox are to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keeping {
    /// All go with the sandbox.
    Nothing,
    /// The work tree may become a checkout.
    WorkTree,
    /// It and the home folder may be kept as what set-up commands left.
    Setup,
}

/// What is needed to make sandboxes.
pub(super) struct Maker {
    pub(super) engine: Arc<Engine>,
    pub(super) instance: Instance,
    pub(super) ground: Ground,
    pub(super) images: Images,
    pub(super) runtime: Option<String>,
    pub(super) egress: Arc<EgressPolicy>,
    pub(super) jobs: Jobs,
    pub(super) live: Live,
    pub(super) volumes: Volumes,
    pub(super) checkouts: Kept,
    pub(super) setups: Kept,
    pub(super) disks: Disks,
    pub(super) pool: Pool,
}

/// A container that was created and not started.
struct Created {
    name: String,
    disk: Option<Disk>,
}

async fn release(disk: Option<Disk>) {
    if let Some(disk) = disk {
        disk.release().await;
    }
}

impl Maker {
    /// Makes a sandbox, of a container that is ready where there is one; removes what it made when that fails.
    pub(super) async fn create(
        &self,
        spec: SandboxSpec,
        keeping: Keeping,
    ) -> Result<Arc<SupervisedSandbox>, SandboxError> {
        let begun = tokio::time::Instant::now();
        let image = self.images.find(spec.image.as_deref()).await?;
        let kind = Kind {
            image: image.clone(),
            limits: spec.limits,
        };
        if keeping == Keeping::Nothing
            && let Some(ready) = self.pool.take(&spec, kind)
        {
            match self.adopt(&spec, ready).await {
                Ok(sandbox) => {
                    let ready_ms = begun.elapsed().as_millis();
                    tracing::debug!(sandbox.id = %spec.id, ready_ms, "made a sandbox of a container that was ready");
                    return Ok(sandbox);
                }
                Err(error) => tracing::debug!(sandbox.id = %spec.id, %error, "a container that was ready is not fit"),
            }
        }
        // Before there is anything that a sweep could take for left.
        let life = self.live.begin(spec.id, &self.volumes);
        // A container of that name that was there before is another sandbox's, and stays.
        let created = self.create_container(&spec, &image, keeping).await?;
        let made = async {
            let attachment = self.start(created).await?;
            let sandbox = self.enter(&spec, Entry::Fresh, attachment, &life).await?;
            self.require_git(sandbox.as_ref(), &image).await?;
            Ok(sandbox)
        };
        match made.await {
            Ok(sandbox) => {
                let ready_ms = begun.elapsed().as_millis();
                tracing::debug!(sandbox.id = %spec.id, ready_ms, "made a sandbox of a new container");
                Ok(sandbox)
            }
            Err(error) => {
                self.ground.forget().await;
                life.destroy().await?;
                Err(error)
            }
        }
    }

    /// Makes a container that waits for a sandbox.
    pub(super) async fn make_ready(&self, kind: Kind) -> Result<Ready, SandboxError> {
        let mut spec = SandboxSpec::of_no_task(Duration::ZERO);
        spec.limits = kind.limits;
        let life = self.live.begin(spec.id, &self.volumes);
        let created = self.create_container(&spec, &kind.image, Keeping::Nothing).await?;
        match self.start(created).await {
            Ok(attachment) => Ok(Ready::new(kind, life, attachment)),
            Err(error) => {
                life.destroy().await?;
                Err(error)
            }
        }
    }

    /// Makes a waiting container the sandbox's: by its name, since nothing else of it can be changed.
    async fn adopt(&self, spec: &SandboxSpec, ready: Ready) -> Result<Arc<SupervisedSandbox>, SandboxError> {
        let options = RenameContainerOptions {
            name: request::name(spec.id),
        };
        let waiting = request::name(ready.life.id());
        let life = self.live.begin_in(spec.id, &self.volumes, Arc::clone(&ready.life));
        if let Err(error) = self.engine.client().rename_container(&waiting, options).await {
            ready.life.destroy().await?;
            return Err(self.engine.fault("rename the container", error));
        }
        let entered = async {
            let sandbox = self.enter(spec, Entry::Fresh, ready.attachment, &life).await?;
            // Its greeting was written long ago; only an answer says that it lives.
            sandbox.changes().await?;
            Ok(sandbox)
        };
        match entered.await {
            Ok(sandbox) => Ok(sandbox),
            Err(error) => {
                life.destroy().await?;
                Err(error)
            }
        }
    }

    async fn create_container(
        &self,
        spec: &SandboxSpec,
        image: &ImageId,
        keeping: Keeping,
    ) -> Result<Created, SandboxError> {
        let common = self.ground.find(image).await?;
        let objects = spec.objects.as_ref().filter(|_| common.has_paths);
        let (folders, disk) = self.folders(spec, keeping, common.has_paths).await?;
        let body = request::body(&ContainerPlan {
            id: spec.id,
            instance: self.instance.id(),
            image,
            runtime: self.runtime.as_deref(),
            limits: spec.limits,
            supervisor: &common.supervisor,
            work_tree: &folders.work_tree,
            home: folders.home.as_ref(),
            objects: objects.and_then(|path| path.to_str()),
        });
        let name = request::name(spec.id);
        let options = CreateContainerOptions {
            name: Some(name.clone()),
            ..CreateContainerOptions::default()
        };
        let made = self.engine.client().create_container(Some(options), body).await;
        match made {
            Ok(_) => Ok(Created { name, disk }),
            Err(error) => {
                release(disk).await;
                // A path that is gone is refused here.
                self.ground.forget().await;
                Err(self.engine.fault("create the container", error))
            }
        }
    }

    /// Starts a container; attaches first, so that nothing the supervisor says is missed.
    async fn start(&self, created: Created) -> Result<Attachment, SandboxError> {
        let Created { name, disk } = created;
        let started = async {
            let attachment = attach(&self.engine, &name).await?;
            let started = self
                .engine
                .client()
                .start_container(&name, None::<StartContainerOptions>)
                .await;
            started.map_err(|error| self.engine.fault("start the container", error))?;
            Ok(attachment)
        };
        let started = started.await;
        // From here on the container alone holds its disk, or nobody does.
        release(disk).await;
        started
    }

    async fn enter(
        &self,
        spec: &SandboxSpec,
        entry: Entry,
        attachment: Attachment,
        life: &Arc<Life>,
    ) -> Result<Arc<SupervisedSandbox>, SandboxError> {
        let session = Session::new(spec, entry, Arc::clone(&self.egress));
        let lifecycle: Arc<dyn Lifecycle> = Arc::<Life>::clone(life);
        let entered =
            SupervisedSandbox::enter(&self.jobs, session, attachment.reader, attachment.writer, lifecycle).await;
        // The supervisor's own words say more than the end of its stream.
        entered.map_err(|error| match attachment.words.last_line() {
            Some(line) => SandboxError::Unsupported {
                message: format!("the supervisor said: {line}"),
            },
            None => error,
        })
    }

    /// Looks for git, once in each image: without it there is no work tree.
    async fn require_git(&self, sandbox: &dyn Sandbox, image: &ImageId) -> Result<(), SandboxError> {
        if self.images.is_fit(image) {
            return Ok(());
        }
        let spec = ExecSpec {
            argv: ["git", "--version"].map(str::to_owned).to_vec(),
            folder: Some("/".into()),
            ..ExecSpec::shell("", GIT_DEADLINE)
        };
        match sandbox.exec(spec, None).await {
            Ok(report) if report.exit_code == Some(0) => {
                self.images.note_fit(image);
                Ok(())
            }
            Ok(_) | Err(SandboxError::Start { .. }) => Err(SandboxError::Image {
                message: format!("there is no git that runs in the image {}", image.as_str()),
            }),
            Err(error) => Err(error),
        }
    }

    /// Attaches to the container that a sandbox left running.
    pub(super) async fn reattach(&self, spec: SandboxSpec) -> Result<Option<Arc<dyn Sandbox>>, SandboxError> {
        let life = self.live.begin(spec.id, &self.volumes);
        if !self.is_running(spec.id).await? {
            return Ok(None);
        }
        let attachment = attach(&self.engine, &request::name(spec.id)).await?;
        let sandbox: Arc<dyn Sandbox> = self.enter(&spec, Entry::Running, attachment, &life).await?;
        Ok(Some(sandbox))
    }

    /// Tells whether the container of a sandbox of this server runs.
    async fn is_running(&self, id: SandboxId) -> Result<bool, SandboxError> {
        let name = request::name(id);
        let found = self
            .engine
            .client()
            .inspect_container(&name, None::<InspectContainerOptions>)
            .await;
        let found = match found {
            Ok(found) => found,
            Err(error) if is_missing(&error) => return Ok(false),
            Err(error) => return Err(self.engine.fault("look for the container", error)),
        };
        let labels = found.config.and_then(|config| config.labels).unwrap_or_default();
        let is_own = labels.get(INSTANCE_LABEL) == Some(&self.instance.id().to_string());
        let is_running = found.state.and_then(|state| state.running).unwrap_or(false);
        Ok(is_own && is_running)
    }
}
