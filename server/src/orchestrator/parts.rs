//! What an orchestrator is made of. The composition root fills it; nothing here names an adapter.

use std::sync::Arc;
use std::time::Duration;

use crate::forge::Forge;
use crate::forge::git::GitStore;
use crate::forge::policy::Policy;
use crate::jobs::Jobs;
use crate::model::catalog::Models;
use crate::orchestrator::ServerInfo;
use crate::orchestrator::analyse::code_map::Outliner;
use crate::sandbox::{SandboxLimits, SandboxProvider};
use crate::secret::Redactor;
use crate::store::feed::Feed;
use crate::store::{QueueLimits, TaskStore};
use crate::task::address::RepositoryAddress;
use crate::task::id::{ServerId, TaskId};
use crate::task::spec::SpecPolicy;

/// Settings of the orchestrator.
#[derive(Clone, Debug)]
pub struct OrchestratorConfig {
    /// Most Tasks running at once.
    pub max_running: usize,
    /// Most waiting Tasks of one principal.
    pub queue_per_principal: u32,
    /// Most waiting Tasks in all.
    pub queue_total: u32,
    /// Default limit of one command or verification.
    pub command_timeout: Duration,
    /// Longest limit of one verification command.
    pub verification_timeout: Duration,
    /// Rounds in which red checks go back to the model.
    pub verification_rounds: u32,
    /// How long a lease lasts without renewal.
    pub lease_time: Duration,
    /// Limits of each sandbox.
    pub sandbox_limits: SandboxLimits,
    /// Address of this server as people reach it, without a slash at the end.
    pub public_url: Option<String>,
}

impl OrchestratorConfig {
    /// Returns the address at which people find a Task.
    pub(super) fn task_link(&self, task: TaskId) -> Option<String> {
        let url = self.public_url.as_deref()?;
        Some(format!("{url}/api/v1/tasks/{task}"))
    }

    /// Returns the queue limits as the store wants them.
    pub fn queue_limits(&self) -> QueueLimits {
        QueueLimits {
            per_principal: self.queue_per_principal,
            total: self.queue_total,
        }
    }
}

impl Default for OrchestratorConfig {
    fn default() -> Self {
        Self {
            max_running: 5,
            queue_per_principal: 100,
            queue_total: 1000,
            command_timeout: Duration::from_secs(300),
            verification_timeout: Duration::from_secs(1800),
            verification_rounds: 3,
            lease_time: Duration::from_secs(30),
            sandbox_limits: SandboxLimits::default(),
            public_url: None,
        }
    }
}

/// The modules that an orchestrator drives.
pub struct Parts {
    /// Keeps Tasks.
    pub store: Arc<dyn TaskStore>,
    /// Shows events.
    pub feed: Feed,
    /// Makes sandboxes.
    pub sandboxes: Arc<dyn SandboxProvider>,
    /// Forges, each answering for its name.
    pub forges: Vec<Arc<dyn Forge>>,
    /// Mirrors and quarantines.
    pub git: GitStore,
    /// Models.
    pub models: Models,
    /// Tells what files define.
    pub outliner: Outliner,
    /// Masks secrets.
    pub redactor: Arc<Redactor>,
    /// Rules for a change before anything leaves.
    pub diff_policy: Policy,
    /// What a request is checked against.
    pub policy: SpecPolicy,
    /// What this server is.
    pub info: ServerInfo,
    /// Settings.
    pub config: OrchestratorConfig,
    /// This process, for leases.
    pub server: ServerId,
    /// The one place that spawns.
    pub jobs: Jobs,
}

impl Parts {
    /// Returns the forge that serves an address.
    pub fn forge(&self, address: &RepositoryAddress) -> Option<&Arc<dyn Forge>> {
        self.forges.iter().find(|forge| forge.name() == address.forge_name())
    }
}
