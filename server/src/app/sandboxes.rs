//! Chooses the sandbox backend at start: the one that was asked for, or Docker where it passes its self-test.
//!
//! The choice is never changed later: an engine that goes away makes Tasks wait or fail, and never run with
//! another isolation than was said at start.

use std::sync::Arc;

use crate::config::{Config, DockerSettings, PullChoice, SandboxChoice};
use crate::jobs::Jobs;
use crate::sandbox::docker::{DockerConfig, DockerProvider, EngineAddress, PullPolicy};
use crate::sandbox::local::{LocalConfig, LocalProvider, find_supervisor};
use crate::sandbox::{Capabilities, SandboxProvider};

/// A backend that was tried, and what it enforces.
pub(super) type Tried = (Arc<dyn SandboxProvider>, Capabilities);

/// Chooses and tries a backend; what is only missing goes to `degraded`.
pub(super) async fn choose(config: &Config, jobs: &Jobs, degraded: &mut Vec<String>) -> Result<Tried, String> {
    let beside = std::env::current_exe().ok();
    let found = config
        .supervisor
        .clone()
        .or_else(|| beside.as_deref().and_then(find_supervisor));
    let Some(supervisor) = found else {
        return Err(
            "backspace-supervisor was not found beside the server: run `make supervisor`, or set BACKSPACE_SUPERVISOR"
                .into(),
        );
    };
    match config.sandbox {
        SandboxChoice::Local => local(config, supervisor, jobs).await,
        SandboxChoice::Docker => docker(config, supervisor, jobs)
            .await
            .map_err(|fault| format!("BACKSPACE_SANDBOX=docker: {fault}")),
        SandboxChoice::Auto => match docker(config, supervisor.clone(), jobs).await {
            Ok(tried) => Ok(tried),
            Err(fault) => {
                degraded.push(format!("sandboxes are local, without Docker: {fault}"));
                local(config, supervisor, jobs).await
            }
        },
    }
}

async fn local(config: &Config, supervisor: std::path::PathBuf, jobs: &Jobs) -> Result<Tried, String> {
    let mut local = LocalConfig::new(config.data_folder.join("sandboxes"), supervisor);
    local.setup_bytes = config.setup_bytes;
    local.egress.private_ranges = config.private_ranges.clone();
    let provider = LocalProvider::new(local, jobs.clone()).map_err(|error| error.to_string())?;
    try_out(provider).await
}

async fn docker(config: &Config, supervisor: std::path::PathBuf, jobs: &Jobs) -> Result<Tried, String> {
    let DockerSettings {
        host,
        certificates,
        runtime,
        pull,
        pool_size,
    } = config.docker.clone();
    let engine = EngineAddress::parse(&host, certificates).map_err(|error| format!("DOCKER_HOST: {error}"))?;
    let mut docker = DockerConfig {
        engine,
        runtime,
        pool_size,
        pool_limits: config.sandbox_limits,
        setup_bytes: config.setup_bytes,
        ..DockerConfig::new(config.data_folder.join("docker"), supervisor, &config.image)
    };
    docker.images.allowed.clone_from(&config.allowed_images);
    docker.images.pull = match pull {
        PullChoice::Never => PullPolicy::Never,
        PullChoice::Missing => PullPolicy::Missing,
    };
    docker.egress.private_ranges = config.private_ranges.clone();
    let provider = DockerProvider::new(docker, jobs.clone()).map_err(|error| error.to_string())?;
    try_out(provider).await
}

async fn try_out(provider: impl SandboxProvider) -> Result<Tried, String> {
    let capabilities = provider.self_test().await.map_err(|error| error.to_string())?;
    Ok((Arc::new(provider), capabilities))
}
