//! A sandbox's life on this machine: its folder, cgroups, host ids and launcher, from start to removal.
//!
//! The launcher holds the folder's lock until the kernel has killed everything inside, so nothing is
//! removed, and no folder entered again, before that lock is free.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use sandbox_supervisor::plan::{Identity, LaunchPlan};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio_util::sync::CancellationToken;

use super::super::egress::EgressPolicy;
use super::super::supervised::{Entry, Lifecycle, Session, SupervisedSandbox};
use super::super::{Sandbox, SandboxError, SandboxSpec};
use super::cgroups::{Cgroups, SandboxCgroups};
use super::disk::Disk;
use super::fault::{self, StderrTail};
use super::folder::{Folder, Folders, Lower, Storage};
use super::host_ids::{HostIdPair, HostIds};
use super::kept::Kept;
use super::limits;
use super::tools::Tools;
use crate::jobs::Jobs;
use crate::task::id::SandboxId;

/// How long a sandbox may take to end by itself once its stream has ended.
const END_DEADLINE: Duration = Duration::from_secs(3);

/// Whether the program of the self-test is in a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probe {
    Shown,
    Absent,
}

/// What is needed to make sandboxes.
pub(super) struct Maker {
    pub(super) supervisor: PathBuf,
    pub(super) folders: Folders,
    pub(super) host_ids: HostIds,
    pub(super) cgroups: Cgroups,
    pub(super) tools: Tools,
    pub(super) checkouts: Kept,
    pub(super) setups: Kept,
    pub(super) egress: Arc<EgressPolicy>,
    pub(super) disk: Disk,
    pub(super) jobs: Jobs,
    pub(super) live: Arc<Mutex<HashSet<SandboxId>>>,
}

impl Maker {
    /// Makes a sandbox; removes what it made when that fails.
    pub(super) async fn create(&self, spec: SandboxSpec, storage: Storage) -> Result<Arc<dyn Sandbox>, SandboxError> {
        let sandbox: Arc<dyn Sandbox> = self.create_with(spec, storage, Probe::Absent).await?;
        Ok(sandbox)
    }

    /// Returns where the folders of a sandbox for a Task are.
    pub(super) fn storage(&self) -> Storage {
        self.disk.templates().map_or(Storage::Folders, |_| Storage::Image)
    }

    /// Makes a sandbox with or without the program of the self-test in it.
    pub(super) async fn create_with(
        &self,
        spec: SandboxSpec,
        storage: Storage,
        probe: Probe,
    ) -> Result<Arc<SupervisedSandbox>, SandboxError> {
        let host_ids = self.host_ids.take()?;
        let folder = self.folders.of(spec.id);
        let lower = Lower {
            checkout: spec.checkout.as_deref(),
            setup: spec.setup.as_ref().map(|setup| setup.work_tree.as_path()),
        };
        let made = folder.make(host_ids.command_id(), lower, storage);
        if let Err(error) = made {
            // A folder that was there before is another sandbox's, and not removed.
            if error.kind() != std::io::ErrorKind::AlreadyExists {
                folder.remove().await?;
            }
            return Err(SandboxError::Unavailable {
                message: format!("make the folder of sandbox {}: {error}", spec.id),
            });
        }
        let life = self.life(spec.id, folder, host_ids);
        match self.store_and_start(&spec, &life, storage, probe).await {
            Ok(sandbox) => Ok(sandbox),
            Err(error) => {
                life.destroy().await?;
                Err(error)
            }
        }
    }

    /// Starts a fresh supervisor over the work tree that a sandbox left.
    pub(super) async fn reattach(&self, spec: SandboxSpec) -> Result<Option<Arc<dyn Sandbox>>, SandboxError> {
        let folder = self.folders.of(spec.id);
        if !folder.has_work_tree() {
            return Ok(None);
        }
        let left = self.cgroups.of(spec.id);
        left.kill();
        folder.wait_until_dead().await?;
        left.remove();
        let owner = folder.command_id().map_err(|error| SandboxError::Unavailable {
            message: format!("look at the work tree of sandbox {}: {error}", spec.id),
        })?;
        let life = self.life(spec.id, folder, self.host_ids.take_again(owner)?);
        match self.start(&spec, &life, Probe::Absent).await {
            Ok(sandbox) => Ok(Some(sandbox)),
            Err(error) => {
                life.detach().await;
                Err(error)
            }
        }
    }

    /// Removes folders of sandboxes that are neither kept nor alive in this process.
    pub(super) async fn sweep(&self, keep: &[SandboxId]) -> Result<usize, SandboxError> {
        let (ids, gone) = self.folders.list().map_err(|error| SandboxError::Internal {
            message: format!("list sandboxes: {error}"),
        })?;
        for folder in gone {
            folder.remove().await?;
        }
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut count = 0;
        for id in ids.into_iter().filter(|id| !keep.contains(id) && !live.contains(id)) {
            let folder = self.folders.of(id);
            let pair = match folder.command_id().map(|owner| self.host_ids.take_again(owner)) {
                Ok(Ok(pair)) => pair,
                // No work tree, or one of a stranger: nothing to free.
                _ => self.host_ids.nobody(),
            };
            self.life(id, folder, pair).destroy().await?;
            count += 1;
        }
        Ok(count)
    }

    pub(super) fn life(&self, id: SandboxId, folder: Folder, host_ids: HostIdPair) -> Arc<Life> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        Arc::new(Life {
            id,
            folder,
            command_id: host_ids.command_id(),
            cgroups: Mutex::new(self.cgroups.of(id)),
            host_ids: Mutex::new(Some(host_ids)),
            process: tokio::sync::Mutex::default(),
            live: Arc::clone(&self.live),
            over: CancellationToken::new(),
        })
    }

    /// Ends the sandbox at its deadline, should nobody have done so before.
    fn watch_deadline(&self, life: &Arc<Life>, deadline: Duration) {
        let (life, over, stop) = (Arc::downgrade(life), life.over.clone(), self.jobs.child_token());
        self.jobs.spawn("sandbox deadline", async move {
            tokio::select! {
                () = over.cancelled() => {}
                () = stop.cancelled() => {}
                () = tokio::time::sleep(deadline) => {
                    if let Some(life) = life.upgrade() {
                        tracing::warn!(sandbox.id = %life.id, "the sandbox is ended at its deadline");
                        life.kill_process().await;
                    }
                }
            }
        });
    }

    async fn store_and_start(
        &self,
        spec: &SandboxSpec,
        life: &Arc<Life>,
        storage: Storage,
        probe: Probe,
    ) -> Result<Arc<SupervisedSandbox>, SandboxError> {
        if storage == Storage::Image
            && let Some(templates) = self.disk.templates()
        {
            let image = life.folder.image_place();
            templates.make(spec.limits.disk_bytes, &image, &self.jobs).await?;
            let owned = life.folder.own_image(life.command_id);
            owned.map_err(|error| SandboxError::Unavailable {
                message: format!("give {} its owner: {error}", image.display()),
            })?;
        }
        self.start(spec, life, probe).await
    }

    async fn start(
        &self,
        spec: &SandboxSpec,
        life: &Arc<Life>,
        probe: Probe,
    ) -> Result<Arc<SupervisedSandbox>, SandboxError> {
        let cgroups = self.cgroups.make(spec.id, &spec.limits);
        let cgroups = cgroups.map_err(|error| SandboxError::Unavailable {
            message: format!("make the cgroups of sandbox {}: {error}", spec.id),
        })?;
        let plan = self.plan(spec, life, &cgroups, probe);
        *life.cgroups.lock().unwrap_or_else(PoisonError::into_inner) = cgroups;
        let (child, input, output, stderr) = self.spawn(&plan).await?;
        *life.process.lock().await = Some(child);
        let lifecycle: Arc<dyn Lifecycle> = Arc::<Life>::clone(life);
        let entered = SupervisedSandbox::enter(
            &self.jobs,
            Session::new(spec, Entry::Fresh, Arc::clone(&self.egress)),
            output,
            input,
            lifecycle,
        )
        .await;
        match entered {
            Ok(sandbox) => {
                self.watch_deadline(life, spec.deadline);
                Ok(sandbox)
            }
            // The launcher's own words say more than the end of its stream.
            Err(error) => {
                life.end_process().await;
                Err(fault::explain(&stderr.read().await, &self.supervisor).unwrap_or(error))
            }
        }
    }

    async fn spawn(&self, plan: &LaunchPlan) -> Result<(Child, ChildStdin, ChildStdout, StderrTail), SandboxError> {
        let failed = |step: &str, error: &std::io::Error| SandboxError::Unavailable {
            message: format!("{step} {}: {error}", self.supervisor.display()),
        };
        let mut child = Command::new(&self.supervisor)
            .arg("launch")
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed("start", &error))?;
        let (Some(mut input), Some(output), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(failed("talk to", &std::io::Error::other("no pipes")));
        };
        let stderr = StderrTail::collect(&self.jobs, stderr);
        let bytes = plan.encode().map_err(|error| failed("write the plan of", &error))?;
        if let Err(error) = input.write_all(&bytes).await {
            let told = fault::explain(&stderr.read().await, &self.supervisor);
            return Err(told.unwrap_or_else(|| failed("send the plan to", &error)));
        }
        Ok((child, input, output, stderr))
    }

    fn plan(&self, spec: &SandboxSpec, life: &Life, cgroups: &SandboxCgroups, probe: Probe) -> LaunchPlan {
        let folder = &life.folder;
        LaunchPlan {
            lock: folder.lock(),
            cgroups: cgroups.folders.clone(),
            oom_counter: cgroups.oom_counter.clone(),
            identity: life
                .command_id
                .map_or(Identity::Own, |command_id| Identity::Mapped { command_id }),
            host_name: "sandbox".into(),
            disk_image: folder.image(),
            work_tree: folder.work_tree(),
            home: folder.home_tree(),
            spill: folder.spill(),
            objects: spec.objects.clone(),
            shown: self.tools.shown.clone(),
            probe: (probe == Probe::Shown).then(|| self.supervisor.clone()),
            hidden: self.tools.hidden.clone(),
            environment: self.tools.environment.clone(),
            limits: limits::of_plan(&spec.limits, &self.cgroups.limited()),
        }
    }
}

/// What belongs to one sandbox on this machine.
pub(super) struct Life {
    id: SandboxId,
    folder: Folder,
    command_id: Option<u32>,
    cgroups: Mutex<SandboxCgroups>,
    host_ids: Mutex<Option<HostIdPair>>,
    process: tokio::sync::Mutex<Option<Child>>,
    live: Arc<Mutex<HashSet<SandboxId>>>,
    /// Cancelled when it was left or removed.
    over: CancellationToken,
}

impl Life {
    fn with_cgroups(&self, act: impl FnOnce(&SandboxCgroups)) {
        act(&self.cgroups.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Waits for the launcher, which ends soon after its stream; kills it if it does not.
    async fn end_process(&self) {
        let Some(mut child) = self.process.lock().await.take() else {
            return;
        };
        if tokio::time::timeout(END_DEADLINE, child.wait()).await.is_err() {
            tracing::warn!(sandbox.id = %self.id, "the sandbox did not end with its stream and is killed");
            self.kill(&mut child).await;
        }
    }

    /// Kills the launcher, and with it all that it holds.
    async fn kill_process(&self) {
        if let Some(child) = self.process.lock().await.as_mut() {
            self.kill(child).await;
        }
    }

    async fn kill(&self, child: &mut Child) {
        if let Err(error) = child.kill().await {
            tracing::warn!(sandbox.id = %self.id, %error, "the launcher could not be killed");
        }
    }

    fn forget(&self) -> Option<HostIdPair> {
        self.over.cancel();
        self.live
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.id);
        self.host_ids.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[async_trait]
impl Lifecycle for Life {
    async fn detach(&self) {
        self.end_process().await;
        self.with_cgroups(SandboxCgroups::kill);
        self.with_cgroups(SandboxCgroups::remove);
        if let Some(pair) = self.forget() {
            pair.keep();
        }
    }

    async fn destroy(&self) -> Result<(), SandboxError> {
        self.end_process().await;
        self.with_cgroups(SandboxCgroups::kill);
        self.folder.wait_until_dead().await?;
        self.with_cgroups(SandboxCgroups::remove);
        self.folder.remove().await?;
        self.forget();
        Ok(())
    }
}
