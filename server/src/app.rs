//! The composition root: the only file that names adapters.
//!
//! Faults are gathered and reported together before a port is bound; what is only missing makes the
//! server degraded, which is said at start, by `GetServerInfo` and by `doctor`.

mod forges;
mod sandboxes;
mod upkeep;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::api::serve;
use crate::config::{Config, ProviderSettings};
use crate::forge::Forge;
use crate::forge::git::{GitConfig, GitStore};
use crate::forge::github::GitHubHost;
use crate::forge::policy::Policy;
use crate::jobs::Jobs;
use crate::metrics;
use crate::model::catalog::{Models, ModelsConfig, ProviderConfig};
use crate::orchestrator::analyse::code_map::Outliner;
use crate::orchestrator::{Orchestrator, OrchestratorConfig, Parts, SandboxBackendInfo, ServerInfo};
use crate::sandbox::{Capabilities, SandboxProvider};
use crate::secret::Redactor;
use crate::shutdown;
use crate::store::TaskStore;
use crate::store::feed::Feed;
use crate::store::sqlite::SqliteStore;
use crate::task::id::ServerId;
use crate::task::spec::SpecPolicy;

/// How long jobs may take to end after the drain.
const JOBS_DEADLINE: Duration = Duration::from_secs(3);

/// A server, ready to serve.
pub struct App {
    config: Config,
    store: Arc<SqliteStore>,
    sandboxes: Arc<dyn SandboxProvider>,
    orchestrator: Orchestrator,
    jobs: Jobs,
}

/// Why a server can't start.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Everything that is wrong, one sentence each.
    #[error("the server can't start: {}", .0.join("; "))]
    Faults(Vec<String>),
}

/// Makes the redactor of this server: it knows every secret of the configuration.
pub fn redactor(config: &Config) -> Redactor {
    let keys = [
        config.anthropic.key.as_ref(),
        config.openai.key.as_ref(),
        config.github.login.secret(),
    ];
    // A models file that can't be read is reported when the server is built.
    let headers = config.telemetry.headers.iter().map(|(_, value)| value.clone());
    let of_models = models_config(config).map(|models| models.secrets()).unwrap_or_default();
    Redactor::new(keys.into_iter().flatten().cloned().chain(headers).chain(of_models))
}

/// What was found out about the parts of a server; `doctor` shows it.
pub(crate) struct Found {
    pub(crate) models: Models,
    pub(crate) git: GitStore,
    pub(crate) github: GitHubHost,
    pub(crate) sandboxes: Arc<dyn SandboxProvider>,
    pub(crate) capabilities: Capabilities,
    pub(crate) degraded: Vec<String>,
}

impl App {
    /// Builds every part, or says everything that is wrong.
    pub async fn build(config: Config, redactor: Arc<Redactor>) -> Result<Self, BuildError> {
        let jobs = Jobs::new();
        let found = find(&config, &jobs).await;
        let mut faults = found.as_ref().err().cloned().unwrap_or_default();
        faults.extend(config.api.validate());
        let diff_policy = Policy::new(config.diff.clone(), Arc::clone(&redactor));
        if let Err(error) = &diff_policy {
            faults.push(format!("BACKSPACE_PROTECTED_PATHS or BACKSPACE_EXEMPT_PATHS: {error}"));
        }
        let store = SqliteStore::open(&config.data_folder, jobs.clone());
        if let Err(error) = &store {
            faults.push(format!("{:#}", anyhow::Error::msg(chain(error))));
        }
        let (Ok(found), Ok(store), Ok(diff_policy), true) = (found, store, diff_policy, faults.is_empty()) else {
            return Err(BuildError::Faults(faults));
        };
        let store = Arc::new(store);
        let forges =
            forges::forges(&config, &found.github, &found.git).map_err(|fault| BuildError::Faults(vec![fault]))?;
        let parts = Parts {
            store: Arc::clone(&store) as Arc<dyn TaskStore>,
            feed: Feed::new(),
            diff_policy,
            policy: spec_policy(&config, &found.github, &found.models),
            info: server_info(&config, &found, &forges),
            sandboxes: found.sandboxes,
            forges,
            git: found.git,
            models: found.models,
            outliner: std::env::current_exe().map(Outliner::new).unwrap_or_default(),
            redactor,
            config: orchestrator_config(&config),
            server: ServerId::random(),
            jobs: jobs.clone(),
        };
        for sentence in &parts.info.degraded {
            tracing::warn!("degraded: {sentence}");
        }
        for variable in &config.without_effect {
            tracing::warn!("{variable} is read and has no effect in this release: nothing is sent to LangSmith");
        }
        for note in &config.telemetry.notes {
            tracing::warn!("{note}");
        }
        metrics::show_pool(&parts.sandboxes);
        upkeep::sweep(store.as_ref(), parts.sandboxes.as_ref()).await;
        Ok(Self {
            config,
            store,
            sandboxes: Arc::clone(&parts.sandboxes),
            orchestrator: Orchestrator::new(parts),
            jobs,
        })
    }

    /// Serves until `stop`, then brings everything to a durable point.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
        let listen = self.config.api.listen;
        let listener = TcpListener::bind(listen)
            .await
            .with_context(|| format!("{listen} can't be listened on"))?;
        let address = listener.local_addr()?;
        self.orchestrator.start();
        let drained = CancellationToken::new();
        let edge = serve(
            listener,
            self.orchestrator.clone(),
            self.config.api.clone(),
            self.jobs.clone(),
            drained.clone(),
        );
        let edge = self.jobs.spawn("edge", edge);
        self.jobs.spawn(
            "trim",
            upkeep::trim(Arc::clone(&self.store), self.config.retention, self.jobs.child_token()),
        );
        if let Some(interval) = self.sandboxes.sweep_interval() {
            let (store, sandboxes) = (Arc::clone(&self.store), Arc::clone(&self.sandboxes));
            self.jobs.spawn(
                "sweep",
                upkeep::sweep_often(store, sandboxes, interval, self.jobs.child_token()),
            );
        }
        if let Some(path) = &self.config.ready_file {
            write_ready_file(path, &address.to_string())
                .with_context(|| format!("{} can't be written", path.display()))?;
        }
        tracing::info!(address = %address, version = env!("CARGO_PKG_VERSION"), "serving");
        tokio::select! {
            () = stop => {}
            () = shutdown::parent_gone(), if self.config.exit_with_parent => {}
        }
        self.orchestrator.drain().await;
        drained.cancel();
        edge.await.context("the edge failed")?.context("the edge failed")?;
        if !self.jobs.shutdown(JOBS_DEADLINE).await {
            tracing::warn!("some jobs did not end in time");
        }
        self.store.close().await;
        tracing::info!("stopped");
        Ok(())
    }
}

/// Finds and tries models, git and sandbox backends.
pub(crate) async fn find(config: &Config, jobs: &Jobs) -> Result<Found, Vec<String>> {
    let mut faults = Vec::new();
    let mut degraded = Vec::new();
    let models = models(config).map_err(|more| faults.extend(more)).ok();
    if let Some(models) = &models
        && models.default_name().is_none()
    {
        degraded.push(
            "no model is configured: set ANTHROPIC_API_KEY or OPENAI_API_KEY; tasks are refused until then".into(),
        );
    }
    let git_config = GitConfig::new(config.data_folder.join("git")).with_network_environment(std::env::vars());
    let git = GitStore::open(git_config)
        .await
        .map_err(|error| faults.push(error.to_string()))
        .ok();
    let sandbox = sandboxes::choose(config, jobs, &mut degraded)
        .await
        .map_err(|fault| faults.push(fault))
        .ok();
    let github = forges::github_host(config).map_err(|fault| faults.push(fault)).ok();
    degraded.extend(forges::degraded(config));
    match (models, git, sandbox, github) {
        (Some(models), Some(git), Some((sandboxes, capabilities)), Some(github)) if faults.is_empty() => Ok(Found {
            models,
            git,
            github,
            sandboxes,
            capabilities,
            degraded,
        }),
        _ => Err(faults),
    }
}

fn models(config: &Config) -> Result<Models, Vec<String>> {
    Models::new(models_config(config)?)
}

/// Reads what is set of models, with their keys.
fn models_config(config: &Config) -> Result<ModelsConfig, Vec<String>> {
    let mut models = match &config.models_file {
        None => ModelsConfig::default(),
        Some(path) => {
            let unreadable = |error: &dyn std::fmt::Display| vec![format!("{}: {error}", path.display())];
            let text = std::fs::read_to_string(path).map_err(|error| unreadable(&error))?;
            toml::from_str(&text).map_err(|error| unreadable(&error))?
        }
    };
    models.default = config.model.clone().or(models.default);
    models.scripted = config.scripts.clone().or(models.scripted);
    for (name, settings) in [("anthropic", &config.anthropic), ("openai", &config.openai)] {
        let ProviderSettings { key, base_url } = settings;
        if let Some(key) = key {
            let provider: &mut ProviderConfig = models.provider.entry(name.to_owned()).or_default();
            provider.api_key = Some(key.clone());
            provider.base_url.get_or_insert_with(|| base_url.clone());
        }
    }
    let faults = models.read_keys(&|name: &str| std::env::var(name).ok());
    if faults.is_empty() { Ok(models) } else { Err(faults) }
}

fn spec_policy(config: &Config, host: &GitHubHost, models: &Models) -> SpecPolicy {
    SpecPolicy {
        addresses: forges::addresses(config, host),
        hosts: config.allowed_hosts.clone(),
        models: models.names(),
        // A Task's recording can always be replayed; whose it is is checked when the Task is accepted.
        open_providers: models.providers().into_iter().chain(["replay".to_owned()]).collect(),
        default_limits: config.limits,
        max_limits: config.limits,
        default_mode: config.publication,
    }
}

fn server_info(config: &Config, found: &Found, forges: &[Arc<dyn Forge>]) -> ServerInfo {
    ServerInfo {
        version: env!("CARGO_PKG_VERSION").into(),
        models: found.models.names(),
        default_model: found.models.default_name(),
        sandbox_backends: vec![SandboxBackendInfo {
            name: found.sandboxes.name().into(),
            active: true,
            enforced: found.capabilities.enforced.clone(),
            not_enforced: found.capabilities.not_enforced.clone(),
        }],
        forges: forges.iter().map(|forge| forge.name().to_owned()).collect(),
        degraded: found.degraded.clone(),
        max_limits: config.limits,
    }
}

fn orchestrator_config(config: &Config) -> OrchestratorConfig {
    OrchestratorConfig {
        max_running: config.max_running,
        command_timeout: config.command_timeout,
        verification_timeout: config.verification_timeout,
        sandbox_limits: config.sandbox_limits,
        public_url: config.public_url.clone(),
        ..OrchestratorConfig::default()
    }
}

fn write_ready_file(path: &Path, address: &str) -> std::io::Result<()> {
    let temporary = path.with_extension("new");
    std::fs::write(&temporary, format!("{address}\n"))?;
    std::fs::rename(temporary, path)
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}
