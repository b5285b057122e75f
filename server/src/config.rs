//! The server's configuration: typed values from the table of settings, with all faults together.
//!
//! A fault is found here, before a port is bound. What is merely missing (a key, a token) is no fault;
//! the composition root reports it as degraded.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::api::ApiConfig;
use crate::forge::policy::{GuessedSecrets, PolicyConfig};
use crate::sandbox::SandboxLimits;
use crate::sandbox::egress::address::AddressRange;
use crate::secret::Secret;
use crate::task::budget::{Limits, MIN_DURATION};
use crate::task::host::rules::HostRules;
use crate::task::spec::PublicationMode;

mod docker;
mod edge;
mod forges;
mod network;
pub mod settings;
mod telemetry;

pub use docker::{DockerSettings, PullChoice};
pub use forges::{GitHubForks, GitHubLogin, GitHubSettings};
pub use telemetry::TelemetryConfig;

use settings::Values;

/// Everything the composition root needs.
#[derive(Clone, Debug)]
pub struct Config {
    /// The edge: address, TLS, who may call.
    pub api: ApiConfig,
    /// Where everything is kept.
    pub data_folder: PathBuf,
    /// Written once the server answers.
    pub ready_file: Option<PathBuf>,
    /// Whether to stop when standard input ends.
    pub exit_with_parent: bool,
    /// For links in pull requests.
    pub public_url: Option<String>,
    /// Folders whose repositories may be used by path.
    pub local_roots: Vec<PathBuf>,
    /// Which backend.
    pub sandbox: SandboxChoice,
    /// The supervisor binary.
    pub supervisor: Option<PathBuf>,
    /// Limits of each sandbox.
    pub sandbox_limits: SandboxLimits,
    /// Most bytes of what set-up commands left that are kept; 0 keeps none.
    pub setup_bytes: u64,
    /// Default container image.
    pub image: String,
    /// Image patterns that a Task may ask for.
    pub allowed_images: Vec<String>,
    /// The Docker engine.
    pub docker: DockerSettings,
    /// Hosts that a Task may ask for.
    pub allowed_hosts: HostRules,
    /// Addresses that allowed hosts may have although they are not public.
    pub private_ranges: Vec<AddressRange>,
    /// What may leave.
    pub diff: PolicyConfig,
    /// Default model.
    pub model: Option<String>,
    /// Further providers.
    pub models_file: Option<PathBuf>,
    /// Scripted models.
    pub scripts: Option<PathBuf>,
    /// Key and address of a provider.
    pub anthropic: ProviderSettings,
    /// Key and address of a provider.
    pub openai: ProviderSettings,
    /// Where GitHub is, and who the server is there.
    pub github: GitHubSettings,
    /// Publication unless a Task says so.
    pub publication: PublicationMode,
    /// Tasks running at once.
    pub max_running: usize,
    /// Default limit of one command.
    pub command_timeout: Duration,
    /// Longest limit of one verification.
    pub verification_timeout: Duration,
    /// Default and highest limits of a Task.
    pub limits: Limits,
    /// How long events and artifacts are kept.
    pub retention: Duration,
    /// Logging.
    pub log: LogConfig,
    /// Export of traces and metrics.
    pub telemetry: TelemetryConfig,
    /// Settings that are read and have no effect yet, by variable.
    pub without_effect: Vec<&'static str>,
}

/// Which sandbox backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SandboxChoice {
    /// Docker where its engine answers at start, else local.
    Auto,
    /// Docker or nothing.
    Docker,
    /// The embedded one.
    Local,
}

/// Key and address of a model provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderSettings {
    /// The key.
    pub key: Option<Secret>,
    /// The address.
    pub base_url: String,
}

/// Logging.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// Filter directive.
    pub level: String,
    /// Text or JSON.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// Everything that is wrong with the configuration, one sentence each.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the configuration has {} fault(s):\n  {}", .0.len(), .0.join("\n  "))]
pub struct ConfigFaults(pub Vec<String>);

impl Config {
    /// Makes the configuration of gathered values. `home` is the user's data folder.
    pub fn new(values: &Values, home: Option<PathBuf>) -> Result<Self, ConfigFaults> {
        let mut reader = Reader {
            values,
            faults: Vec::new(),
        };
        let config = reader.config(home);
        match (config, reader.faults) {
            (Some(config), faults) if faults.is_empty() => Ok(config),
            (_, faults) => Err(ConfigFaults(faults)),
        }
    }
}

struct Reader<'a> {
    values: &'a Values,
    faults: Vec<String>,
}

impl Reader<'_> {
    fn config(&mut self, home: Option<PathBuf>) -> Option<Config> {
        let debug = self.values.switch("DEBUG");
        let api = self.api();
        let data_folder = self
            .path("BACKSPACE_DATA_FOLDER")
            .or_else(|| home.map(|home| home.join("backspace-server")));
        if data_folder.is_none() {
            self.faults
                .push("BACKSPACE_DATA_FOLDER must be set: there is no home folder to put the data in".into());
        }
        let sandbox = self.choice(
            "BACKSPACE_SANDBOX",
            &[
                ("auto", SandboxChoice::Auto),
                ("docker", SandboxChoice::Docker),
                ("local", SandboxChoice::Local),
            ],
        );
        let publication = self.choice(
            "BACKSPACE_PUBLICATION",
            &[
                ("draft", PublicationMode::DraftPullRequest),
                ("ready", PublicationMode::PullRequest),
                ("branch", PublicationMode::BranchOnly),
                ("patch", PublicationMode::PatchOnly),
            ],
        );
        let format = self.choice(
            "BACKSPACE_LOG_FORMAT",
            &[("text", LogFormat::Text), ("json", LogFormat::Json)],
        );
        let sandbox_limits = self.sandbox_limits();
        let setup_mib = self.number("BACKSPACE_SETUP_CACHE_MIB", 0..=1_048_576);
        let limits = self.limits();
        let local_roots = self.local_roots();
        let allowed_hosts = self.allowed_hosts();
        let private_ranges = self.private_ranges();
        let diff = self.diff();
        let docker = self.docker();
        let github = self.github();
        let public_url = self.public_url();
        let telemetry = self.telemetry();
        let max_running = self.number("MAX_CONCURRENT_JOBS", 1..=1000);
        let command_timeout = self.number("SANDBOX_TIMEOUT", 1..=3600);
        let verification_timeout = self.number("BACKSPACE_VERIFICATION_TIMEOUT", 1..=7200);
        let retention_days = self.number("BACKSPACE_RETENTION_DAYS", 1..=3650);
        let without_effect = ["LANGCHAIN_TRACING_V2", "LANGCHAIN_PROJECT", "LANGCHAIN_API_KEY"];
        Some(Config {
            api: api?,
            data_folder: data_folder?,
            ready_file: self.path("BACKSPACE_READY_FILE"),
            exit_with_parent: self.values.switch("BACKSPACE_EXIT_WITH_PARENT"),
            public_url,
            local_roots,
            sandbox: sandbox?,
            supervisor: self.path("BACKSPACE_SUPERVISOR"),
            sandbox_limits: sandbox_limits?,
            setup_bytes: setup_mib? << 20,
            image: self.text("BACKSPACE_IMAGE").unwrap_or_default(),
            allowed_images: self.values.list("BACKSPACE_ALLOWED_IMAGES"),
            docker: docker?,
            allowed_hosts,
            private_ranges,
            diff: diff?,
            model: self.text("BACKSPACE_MODEL"),
            models_file: self.path("BACKSPACE_MODELS_FILE"),
            scripts: self.path("BACKSPACE_SCRIPTS"),
            anthropic: self.provider("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"),
            openai: self.provider("OPENAI_API_KEY", "OPENAI_BASE_URL"),
            github,
            publication: publication?,
            max_running: max_running? as usize,
            command_timeout: Duration::from_secs(command_timeout?),
            verification_timeout: Duration::from_secs(verification_timeout?),
            limits: limits?,
            retention: Duration::from_secs(retention_days? * 86_400),
            log: LogConfig {
                level: if debug {
                    "debug".into()
                } else {
                    self.text("LOG_LEVEL").unwrap_or_default().to_ascii_lowercase()
                },
                format: if debug { LogFormat::Text } else { format? },
            },
            telemetry,
            without_effect: without_effect
                .into_iter()
                .filter(|variable| self.values.text(variable).is_some())
                .collect(),
        })
    }

    fn provider(&self, key: &str, base_url: &str) -> ProviderSettings {
        ProviderSettings {
            key: self.values.text(key).map(Secret::new),
            base_url: self
                .values
                .text(base_url)
                .unwrap_or_default()
                .trim_end_matches('/')
                .to_owned(),
        }
    }

    fn text(&self, variable: &str) -> Option<String> {
        self.values.text(variable).map(str::to_owned)
    }

    fn path(&self, variable: &str) -> Option<PathBuf> {
        self.values.text(variable).map(PathBuf::from)
    }

    fn local_roots(&mut self) -> Vec<PathBuf> {
        let mut roots = Vec::new();
        for root in self.values.list("BACKSPACE_ALLOW_LOCAL") {
            match std::fs::canonicalize(&root) {
                Ok(path) if path.is_dir() && path.to_str().is_some() => roots.push(path),
                _ => self.faults.push(format!(
                    "BACKSPACE_ALLOW_LOCAL: {root} is not a folder that can be read"
                )),
            }
        }
        roots
    }

    fn sandbox_limits(&mut self) -> Option<SandboxLimits> {
        let memory = self.number("BACKSPACE_SANDBOX_MEMORY_MIB", 64..=1_048_576);
        let pids = self.number("BACKSPACE_SANDBOX_PIDS", 16..=32_768);
        let disk = self.number("BACKSPACE_SANDBOX_DISK_MIB", 16..=1_048_576);
        let cpus = self
            .parse::<f32>("BACKSPACE_SANDBOX_CPUS", "a number such as 2 or 0.5")
            .filter(|cpus| (0.05..=1024.0).contains(cpus));
        let memory_bytes = memory? << 20;
        let defaults = SandboxLimits::default();
        Some(SandboxLimits {
            memory_bytes,
            cpu_millis: (cpus? * 1000.0) as u32,
            pids: pids? as u32,
            disk_bytes: disk? << 20,
            tmp_bytes: defaults.tmp_bytes.min(memory_bytes / 4),
        })
    }

    fn limits(&mut self) -> Option<Limits> {
        let turns = self.number("BACKSPACE_MAX_TURNS", 1..=100_000);
        let tokens = self.number("BACKSPACE_MAX_TOKENS", 1..=u64::MAX);
        let seconds = self.number("BACKSPACE_MAX_DURATION", MIN_DURATION.as_secs()..=604_800);
        let cost = match self.values.text("BACKSPACE_MAX_COST_USD") {
            None => None,
            Some(_) => Some(
                self.parse::<f64>("BACKSPACE_MAX_COST_USD", "a number of dollars such as 2.50")
                    .filter(|usd| *usd > 0.0)?,
            ),
        };
        Some(Limits {
            max_turns: turns? as u32,
            max_tokens: tokens?,
            max_duration: Duration::from_secs(seconds?),
            max_cost_micro_usd: cost.map(|usd| (usd * 1e6) as u64),
        })
    }

    fn diff(&mut self) -> Option<PolicyConfig> {
        let max_files = self.number("BACKSPACE_MAX_CHANGED_FILES", 1..=1_000_000);
        let max_added_lines = self.number("BACKSPACE_MAX_ADDED_LINES", 1..=100_000_000);
        let max_file_mib = self.number("BACKSPACE_MAX_FILE_MIB", 1..=1024);
        let guessed_secrets = self.choice(
            "BACKSPACE_GUESSED_SECRETS",
            &[("deny", GuessedSecrets::Deny), ("report", GuessedSecrets::Report)],
        );
        Some(PolicyConfig {
            protected_paths: self.values.list("BACKSPACE_PROTECTED_PATHS"),
            exempt_paths: self.values.list("BACKSPACE_EXEMPT_PATHS"),
            max_files: usize::try_from(max_files?).unwrap_or(usize::MAX),
            max_added_lines: max_added_lines?,
            max_file_bytes: max_file_mib? << 20,
            guessed_secrets: guessed_secrets?,
        })
    }

    fn number(&mut self, variable: &str, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
        let wanted = format!("a whole number from {} to {}", range.start(), range.end());
        let number = self.parse::<u64>(variable, &wanted)?;
        if range.contains(&number) {
            return Some(number);
        }
        self.faults.push(format!("{variable}={number} must be {wanted}"));
        None
    }

    fn parse<T: FromStr>(&mut self, variable: &str, wanted: &str) -> Option<T> {
        let text = self.values.text(variable).unwrap_or_default();
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.faults.push(format!("{variable}={text} must be {wanted}"));
        }
        parsed
    }

    fn choice<T: Copy>(&mut self, variable: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.values.text(variable).unwrap_or_default().to_ascii_lowercase();
        let found = choices
            .iter()
            .find(|(name, _)| *name == text)
            .map(|(_, choice)| *choice);
        if found.is_none() {
            let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
            self.faults
                .push(format!("{variable}={text} must be one of {}", names.join(", ")));
        }
        found
    }
}

#[cfg(test)]
mod tests;
