//! `.backspace.toml`: what a repository states about itself. Documented in docs/backspace-toml.md.
//!
//! It is untrusted input from the base commit and can only narrow what the server and the caller allow.
//! A fault names line and column and says what is right.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::task::budget::{Limits, MIN_DURATION};
use crate::task::host::{HostError, rules};

/// Name of the file, at the root of the repository.
pub const FILE_NAME: &str = ".backspace.toml";

/// Most bytes that are read of it.
pub(in crate::orchestrator) const MAX_BYTES: usize = 64 * 1024;

const MAX_ENTRIES: usize = 32;
const MAX_COMMAND_BYTES: usize = 4096;

/// What a repository states, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositorySettings {
    /// What makes a fresh work tree ready.
    pub setup: SetupSettings,
    /// What proves a change; found by analysis when empty.
    pub verify: CommandList,
    /// What commands run in.
    pub sandbox: SandboxSettings,
    /// Bounds on one Task.
    pub limits: LimitSettings,
    /// Globs of paths that no change may touch.
    pub protected_paths: Vec<String>,
}

/// What makes a fresh work tree ready.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupSettings {
    /// Command lines, in order, and the longest time of each.
    pub list: CommandList,
    /// Host patterns that these commands need, where others need other ones.
    pub network_hosts: Option<Vec<String>>,
    /// Whether what they leave may be kept for later Tasks.
    pub cache: SetupCache,
    /// Globs of more files that decide what they leave.
    pub inputs: Vec<String>,
}

/// Whether the result of a set-up is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SetupCache {
    /// Where the server keeps results.
    #[default]
    Allowed,
    /// Never: each Task runs the commands.
    Refused,
}

/// Commands, each with the same time limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandList {
    /// Command lines, in order.
    pub commands: Vec<String>,
    /// Longest time of each.
    pub timeout: Option<Duration>,
}

/// What commands run in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxSettings {
    /// Container image, for backends that use one.
    pub image: Option<String>,
    /// Host patterns that commands need.
    pub network_hosts: Vec<String>,
}

/// Bounds on one Task; unset ones are the caller's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitSettings {
    /// Most model turns.
    pub max_turns: Option<u32>,
    /// Most uncached input and output tokens together.
    pub max_tokens: Option<u64>,
    /// Longest wall time.
    pub max_duration: Option<Duration>,
    /// Most money, in millionths of a US dollar.
    pub max_cost_micro_usd: Option<u64>,
}

impl LimitSettings {
    /// Lowers limits to these; never raises one.
    pub fn narrow(&self, limits: Limits) -> Limits {
        let money = [limits.max_cost_micro_usd, self.max_cost_micro_usd]
            .into_iter()
            .flatten()
            .min();
        Limits {
            max_turns: limits.max_turns.min(self.max_turns.unwrap_or(u32::MAX)),
            max_tokens: limits.max_tokens.min(self.max_tokens.unwrap_or(u64::MAX)),
            max_duration: limits.max_duration.min(self.max_duration.unwrap_or(Duration::MAX)),
            max_cost_micro_usd: money,
        }
    }
}

/// A fault of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{FILE_NAME}:{line}:{column}: {message}")]
pub struct SettingsError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong and what is right.
    pub message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct File {
    setup: SetupTable,
    verify: CommandsTable,
    sandbox: SandboxTable,
    limits: LimitsTable,
    paths: PathsTable,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SetupTable {
    commands: Vec<Spanned<String>>,
    timeout_seconds: Option<Spanned<u64>>,
    network_hosts: Option<Vec<Spanned<String>>>,
    cache: Option<bool>,
    inputs: Vec<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CommandsTable {
    commands: Vec<Spanned<String>>,
    timeout_seconds: Option<Spanned<u64>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SandboxTable {
    image: Option<Spanned<String>>,
    network_hosts: Vec<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LimitsTable {
    max_turns: Option<Spanned<u32>>,
    max_tokens: Option<Spanned<u64>>,
    max_duration_seconds: Option<Spanned<u64>>,
    max_cost_usd: Option<Spanned<f64>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PathsTable {
    protected: Vec<Spanned<String>>,
}

impl RepositorySettings {
    /// Reads the file's text.
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        let file: File = toml::from_str(text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            fault(text, offset, error.message().replace('\n', "; "))
        })?;
        let check = Check { text };
        Ok(Self {
            setup: check.setup(file.setup)?,
            verify: check.commands(file.verify)?,
            sandbox: SandboxSettings {
                image: check.image(file.sandbox.image)?,
                network_hosts: check.list(file.sandbox.network_hosts, host_fault)?,
            },
            limits: check.limits(file.limits)?,
            protected_paths: check.list(file.paths.protected, glob_fault)?,
        })
    }
}

struct Check<'a> {
    text: &'a str,
}

impl Check<'_> {
    fn list<M: Into<String>>(
        &self,
        entries: Vec<Spanned<String>>,
        wrong: impl Fn(&str) -> Option<M>,
    ) -> Result<Vec<String>, SettingsError> {
        if let Some(extra) = entries.get(MAX_ENTRIES) {
            return Err(fault(
                self.text,
                extra.span().start,
                format!("at most {MAX_ENTRIES} entries are allowed"),
            ));
        }
        let checked = entries.into_iter().map(|entry| match wrong(entry.get_ref()) {
            Some(message) => Err(fault(self.text, entry.span().start, message)),
            None => Ok(entry.into_inner()),
        });
        checked.collect()
    }

    /// A number in a range, both ends included.
    fn number<T: PartialOrd + std::fmt::Display + Copy>(
        &self,
        given: Option<Spanned<T>>,
        (least, most): (T, T),
    ) -> Result<Option<T>, SettingsError> {
        let Some(given) = given else { return Ok(None) };
        if (least..=most).contains(given.get_ref()) {
            return Ok(Some(given.into_inner()));
        }
        let message = format!("{} is out of range: from {least} to {most}", given.get_ref());
        Err(fault(self.text, given.span().start, message))
    }

    fn commands(&self, table: CommandsTable) -> Result<CommandList, SettingsError> {
        Ok(CommandList {
            commands: self.list(table.commands, command_fault)?,
            timeout: self.number(table.timeout_seconds, (1, 1800))?.map(Duration::from_secs),
        })
    }

    fn setup(&self, table: SetupTable) -> Result<SetupSettings, SettingsError> {
        let list = CommandsTable {
            commands: table.commands,
            timeout_seconds: table.timeout_seconds,
        };
        let hosts = table.network_hosts.map(|hosts| self.list(hosts, host_fault));
        Ok(SetupSettings {
            list: self.commands(list)?,
            network_hosts: hosts.transpose()?,
            cache: match table.cache {
                Some(false) => SetupCache::Refused,
                Some(true) | None => SetupCache::Allowed,
            },
            inputs: self.list(table.inputs, glob_fault)?,
        })
    }

    fn image(&self, image: Option<Spanned<String>>) -> Result<Option<String>, SettingsError> {
        Ok(self.list(image.into_iter().collect(), image_fault)?.pop())
    }

    fn limits(&self, table: LimitsTable) -> Result<LimitSettings, SettingsError> {
        let shortest = MIN_DURATION.as_secs();
        let cost = self.number(table.max_cost_usd, (0.01, 100_000.0))?;
        Ok(LimitSettings {
            max_turns: self.number(table.max_turns, (1, 100_000))?,
            max_tokens: self.number(table.max_tokens, (1, 1 << 50))?,
            max_duration: self
                .number(table.max_duration_seconds, (shortest, 604_800))?
                .map(Duration::from_secs),
            max_cost_micro_usd: cost.map(|usd| (usd * 1e6).round() as u64),
        })
    }
}

fn command_fault(command: &str) -> Option<&'static str> {
    let is_wrong = command.trim().is_empty() || command.len() > MAX_COMMAND_BYTES || command.contains('\0');
    is_wrong.then_some("a command is one line of text, at most 4096 bytes long and not empty")
}

/// Every host is nothing that a repository may ask for.
fn host_fault(host: &str) -> Option<String> {
    let is_any = host == "*" || host.starts_with("*:");
    let fault = rules::entry_fault(host).or_else(|| is_any.then_some(HostError::Grammar));
    fault.map(|fault| fault.to_string())
}

fn image_fault(image: &str) -> Option<&'static str> {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "._/:@-".contains(character);
    let starts_well = image.starts_with(|first: char| first.is_ascii_alphanumeric());
    (!starts_well || image.len() > 255 || !image.chars().all(is_plain))
        .then_some("an image is a reference like debian:12 or registry.example.com/team/image@sha256:…")
}

fn glob_fault(glob: &str) -> Option<&'static str> {
    let is_relative = !glob.is_empty() && !glob.starts_with('/') && !glob.split('/').any(|part| part == "..");
    let opens = |open: char, close: char| glob.matches(open).count() == glob.matches(close).count();
    let is_closed = opens('[', ']') && opens('{', '}');
    (!is_relative || !is_closed || glob.len() > 500)
        .then_some("a path is a glob from the root, like migrations/** or *.lock, without a slash first or ..")
}

fn fault(text: &str, offset: usize, message: impl Into<String>) -> SettingsError {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |index| index + 1);
    let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
    SettingsError {
        line: before.matches('\n').count() + 1,
        column,
        message: message.into(),
    }
}

#[cfg(test)]
mod tests;
