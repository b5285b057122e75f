//! A sandbox's life at the engine: created, attached to before it is started, entered, removed.
//!
//! Whatever carries this server's label and is neither in use nor kept is removed by a sweep, so nothing has to
//! be undone that a crash interrupted.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bollard::query_parameters::{
    CreateContainerOptions, InspectContainerOptions, ListContainersOptions, RemoveContainerOptions,
    StartContainerOptions,
};

use super::attach::attach;
use super::engine::{Engine, is_conflict, is_missing, is_slow_kill};
use super::ground::Ground;
use super::image::{ImageId, Images};
use super::instance::Instance;
use super::request::{self, ContainerPlan, INSTANCE_LABEL, SANDBOX_LABEL};
use crate::jobs::Jobs;
use crate::sandbox::egress::EgressPolicy;
use crate::sandbox::supervised::{self, Lifecycle, Session, SupervisedSandbox};
use crate::sandbox::{ExecSpec, Sandbox, SandboxError, SandboxSpec};
use crate::task::id::SandboxId;

/// How long a removal that the engine has begun may take.
const REMOVAL_DEADLINE: Duration = Duration::from_secs(20);
const REMOVAL_INTERVAL: Duration = Duration::from_millis(50);

/// How long git may take to say that it is there.
const GIT_DEADLINE: Duration = Duration::from_secs(20);

/// Sandboxes in use by this process, and by how many.
type Live = Arc<Mutex<HashMap<SandboxId, usize>>>;

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
}

impl Maker {
    /// Makes a sandbox; removes what it made when that fails.
    pub(super) async fn create(&self, spec: SandboxSpec) -> Result<Arc<SupervisedSandbox>, SandboxError> {
        let image = self.images.find(spec.image.as_deref()).await?;
        // Before there is anything that a sweep could take for left.
        let life = self.life(spec.id);
        // A container of that name that was there before is another sandbox's, and stays.
        let name = self.create_container(&spec, &image).await?;
        let made = async {
            let sandbox = self.start(&spec, &name, &life).await?;
            self.require_git(sandbox.as_ref(), &image).await?;
            Ok(sandbox)
        };
        match made.await {
            Ok(sandbox) => Ok(sandbox),
            Err(error) => {
                self.ground.forget().await;
                life.destroy().await?;
                Err(error)
            }
        }
    }

    async fn create_container(&self, spec: &SandboxSpec, image: &ImageId) -> Result<String, SandboxError> {
        let common = self.ground.find(image).await?;
        let objects = spec.objects.as_ref().filter(|_| common.has_paths);
        let body = request::body(&ContainerPlan {
            id: spec.id,
            instance: self.instance.id(),
            image,
            runtime: self.runtime.as_deref(),
            limits: spec.limits,
            supervisor: &common.supervisor,
            objects: objects.and_then(|path| path.to_str()),
        });
        let name = request::name(spec.id);
        let options = CreateContainerOptions {
            name: Some(name.clone()),
            ..CreateContainerOptions::default()
        };
        let made = self.engine.client().create_container(Some(options), body).await;
        made.map(|_| name)
            .map_err(|error| self.engine.fault("create the container", error))
    }

    /// Attaches first, so that nothing the supervisor says is missed.
    async fn start(
        &self,
        spec: &SandboxSpec,
        name: &str,
        life: &Arc<Life>,
    ) -> Result<Arc<SupervisedSandbox>, SandboxError> {
        let attachment = attach(&self.engine, name).await?;
        let started = self
            .engine
            .client()
            .start_container(name, None::<StartContainerOptions>)
            .await;
        started.map_err(|error| self.engine.fault("start the container", error))?;
        let session = Session::new(spec, supervised::Entry::Fresh, Arc::clone(&self.egress));
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
        if !self.is_running(spec.id).await? {
            return Ok(None);
        }
        let life = self.life(spec.id);
        let attachment = attach(&self.engine, &request::name(spec.id)).await?;
        let session = Session::new(&spec, supervised::Entry::Running, Arc::clone(&self.egress));
        let lifecycle: Arc<dyn Lifecycle> = Arc::<Life>::clone(&life);
        let entered =
            SupervisedSandbox::enter(&self.jobs, session, attachment.reader, attachment.writer, lifecycle).await;
        let sandbox: Arc<dyn Sandbox> = entered?;
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

    /// Removes containers of this server that are neither kept nor in use by this process.
    pub(super) async fn sweep(&self, keep: &[SandboxId]) -> Result<usize, SandboxError> {
        let filters = HashMap::from([(
            "label".to_owned(),
            vec![format!("{INSTANCE_LABEL}={}", self.instance.id())],
        )]);
        let options = ListContainersOptions {
            all: true,
            filters: Some(filters),
            ..ListContainersOptions::default()
        };
        let listed = self.engine.client().list_containers(Some(options)).await;
        let listed = listed.map_err(|error| self.engine.fault("list the containers", error))?;
        let mut count = 0;
        for container in listed {
            let labels = container.labels.unwrap_or_default();
            let id = labels
                .get(SANDBOX_LABEL)
                .and_then(|text| text.parse::<SandboxId>().ok());
            let is_used = id.is_some_and(|id| keep.contains(&id) || self.lives().contains_key(&id));
            if !is_used && let Some(container) = container.id {
                remove(&self.engine, &container).await?;
                count += 1;
            }
        }
        Ok(count)
    }

    fn lives(&self) -> std::sync::MutexGuard<'_, HashMap<SandboxId, usize>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn life(&self, id: SandboxId) -> Arc<Life> {
        *self.lives().entry(id).or_default() += 1;
        Arc::new(Life {
            id,
            engine: Arc::clone(&self.engine),
            live: Arc::clone(&self.live),
            counts: AtomicBool::new(true),
        })
    }
}

/// What belongs to one sandbox at the engine.
struct Life {
    id: SandboxId,
    engine: Arc<Engine>,
    live: Live,
    /// Whether it is counted among the live.
    counts: AtomicBool,
}

impl Life {
    fn forget(&self) {
        if !self.counts.swap(false, Ordering::AcqRel) {
            return;
        }
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut entry) = live.entry(self.id) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

/// A sandbox that was dropped without a word is a sweep's.
impl Drop for Life {
    fn drop(&mut self) {
        self.forget();
    }
}

#[async_trait]
impl Lifecycle for Life {
    async fn detach(&self) {
        self.forget();
    }

    async fn destroy(&self) -> Result<(), SandboxError> {
        remove(&self.engine, &request::name(self.id)).await?;
        self.forget();
        Ok(())
    }
}

/// Kills and removes a container with its volumes; waits for a removal that is under way.
async fn remove(engine: &Engine, container: &str) -> Result<(), SandboxError> {
    let removed = async {
        loop {
            let options = RemoveContainerOptions {
                force: true,
                v: true,
                ..RemoveContainerOptions::default()
            };
            match engine.client().remove_container(container, Some(options)).await {
                Ok(()) => return Ok(()),
                Err(error) if is_missing(&error) => return Ok(()),
                // The engine tells of no end of a removal.
                Err(error) if is_conflict(&error) => tokio::time::sleep(REMOVAL_INTERVAL).await,
                Err(error) if is_slow_kill(&error) => {}
                Err(error) => return Err(engine.fault("remove the container", error)),
            }
        }
    };
    tokio::time::timeout(REMOVAL_DEADLINE, removed)
        .await
        .unwrap_or_else(|_| {
            Err(SandboxError::Unavailable {
                message: format!("the engine does not end the removal of the container {container}"),
            })
        })
}
