//! A provider of the `docker` backend with a state folder of its own, on the engine of this machine.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use backspace_server::jobs::Jobs;
use backspace_server::sandbox::docker::{DockerConfig, DockerProvider, EngineAddress};
use backspace_server::sandbox::{Sandbox, SandboxProvider as _};
use tempfile::TempDir;

use crate::inside::spec;
use crate::own_engine::{OwnEngine, SMALL};

/// Processes that one command line of a shell sees at most: PID 1, its shepherd, itself and two it runs.
pub const MOST_PROCESSES: u32 = 5;

/// Names the image with what the tests need; tests/parts/docker.sh makes it.
const IMAGE_VARIABLE: &str = "BACKSPACE_TEST_IMAGE";

/// Where the supervisor is, when it can't be built here.
const SUPERVISOR_VARIABLE: &str = "BACKSPACE_TEST_SUPERVISOR";

/// A provider whose folder goes with it.
pub struct Backend {
    pub provider: DockerProvider,
    pub state: TempDir,
}

impl Backend {
    pub fn new() -> Self {
        let state = TempDir::new().unwrap();
        Self {
            provider: provider(state.path()),
            state,
        }
    }

    /// A backend whose sandboxes may be allowed hosts of a range that is not public.
    pub fn reaching(range: &str) -> Self {
        let state = TempDir::new().unwrap();
        let mut config = config(state.path());
        config.egress.private_ranges = vec![range.parse().unwrap()];
        Self {
            provider: DockerProvider::new(config, Jobs::new()).unwrap(),
            state,
        }
    }

    pub async fn sandbox(&self) -> Arc<dyn Sandbox> {
        self.provider.create(spec()).await.unwrap()
    }

    /// Lists what the engine has of this server, by name; of volumes only those that are in no container.
    pub fn leftovers(&self) -> Vec<String> {
        let id = std::fs::read_to_string(self.state.path().join("instance")).unwrap();
        let label = format!("label=backspace.instance={}", id.trim());
        let containers = docker(&["ps", "--all", "--filter", &label, "--format", "{{.Names}}"]);
        let free = "dangling=true";
        let volumes = docker(&[
            "volume",
            "ls",
            "--filter",
            &label,
            "--filter",
            free,
            "--format",
            "{{.Name}}",
        ]);
        let all = containers.lines().chain(volumes.lines());
        // A busy engine may go on listing a container that it has removed, without a name.
        all.filter(|name| !name.is_empty()).map(str::to_owned).collect()
    }
}

/// Removes the volumes of a server that are in no container.
pub fn remove_volumes(state: &Path) {
    let Ok(id) = std::fs::read_to_string(state.join("instance")) else {
        return;
    };
    let label = format!("label=backspace.instance={}", id.trim());
    let filters = ["--filter", &label, "--filter", "dangling=true"];
    let listed = docker(&[["volume", "ls", "--quiet"].as_slice(), &filters].concat());
    for volume in listed.lines() {
        docker(&["volume", "rm", volume]);
    }
}

/// Makes a provider over a state folder, as a restarted server does.
pub fn provider(state: &Path) -> DockerProvider {
    DockerProvider::new(config(state), Jobs::new()).unwrap()
}

/// A config for the engine that the Docker client would use as well.
pub fn config(state: &Path) -> DockerConfig {
    let variable = |name: &str| std::env::var(name).ok();
    // The first of several is enough; a server does this first thing.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let certificates = variable("DOCKER_CERT_PATH").map(Into::into);
    let host = variable("DOCKER_HOST").unwrap_or_default();
    DockerConfig {
        engine: EngineAddress::parse(&host, certificates).unwrap(),
        ..DockerConfig::new(state, supervisor(), image())
    }
}

/// A config for an engine of the test's own and its small image.
pub fn config_of(engine: &OwnEngine, state: &Path) -> DockerConfig {
    let mut config = config(state);
    config.engine = EngineAddress::Socket(engine.socket());
    config.images.default = SMALL.into();
    config
}

/// The part says which way to the engine it tests; the server has to find out.
pub fn are_paths_shared() -> bool {
    std::env::var("BACKSPACE_TEST_PATHS").as_deref() != Ok("apart")
}

pub fn image() -> String {
    std::env::var(IMAGE_VARIABLE).expect("BACKSPACE_TEST_IMAGE is not set: run tests/parts/docker.sh")
}

/// Runs the engine's own client, which must succeed.
pub fn docker(arguments: &[&str]) -> String {
    let run = Command::new("docker").args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "docker {arguments:?}: {error}");
    String::from_utf8(run.stdout).unwrap()
}

/// Returns the supervisor's binary, static, built of the present source.
pub fn supervisor() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build_supervisor).clone()
}

fn build_supervisor() -> PathBuf {
    if let Some(path) = std::env::var_os(SUPERVISOR_VARIABLE) {
        return path.into();
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let target = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned();
    let built = Command::new("sh")
        .arg("scripts/supervisor.sh")
        .current_dir(root)
        .env("CARGO", env!("CARGO"))
        .env("TARGET_FOLDER", &target)
        .status()
        .unwrap();
    assert!(built.success());
    // Beside the server's there may be one that another test has built, and that is not static.
    let host = std::fs::read_dir(target.join("static")).unwrap();
    let binaries = host.map(|entry| entry.unwrap().path().join("debug/backspace-supervisor"));
    binaries.into_iter().find(|path| path.is_file()).unwrap()
}
