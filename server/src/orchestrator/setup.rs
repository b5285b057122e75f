//! Set-up: the commands that make a fresh work tree ready, with a time limit and hosts of their own.
//!
//! Where it can be, they run in a sandbox that does nothing else, and what they leave is kept for later Tasks
//! (`kept`); else in the Task's own, before the agent. Either way the agent finds the same.

use std::time::Duration;

use crate::forge::git::Mirror;
use crate::orchestrator::Parts;
use crate::orchestrator::analyse::settings::{FILE_NAME, MAX_BYTES, RepositorySettings, SetupCache};
use crate::orchestrator::run::Halt;
use crate::orchestrator::run_log::RunLog;
use crate::orchestrator::stated;
use crate::orchestrator::verify::exec_live;
use crate::orchestrator::workbench::{git_halt, record_denials};
use crate::sandbox::{ExecSpec, Sandbox};
use crate::task::failure::{Failure, Reason};
use crate::task::host::rules::HostRules;
use crate::task::id::CallId;

mod facts;
mod inputs;
pub(super) mod kept;

/// Most characters of a failed command's output that a message has.
const TOLD_CHARACTERS: usize = 600;

/// What is to run before the agent.
#[derive(Debug)]
pub(super) struct Setup {
    commands: Vec<String>,
    timeout: Duration,
    hosts: HostRules,
    cache: SetupCache,
    /// Globs of more files that decide what the commands leave.
    inputs: Vec<String>,
}

impl Setup {
    /// Returns the set-up that the Task or the repository states; says what it asks for beyond what is allowed.
    pub(super) async fn of(parts: &Parts, log: &RunLog, settings: &RepositorySettings) -> Result<Self, Halt> {
        let stated = &settings.setup;
        let commands = match log.record().spec.environment.setup_commands {
            commands if commands.is_empty() => stated.list.commands.clone(),
            commands => commands,
        };
        let hosts = if commands.is_empty() {
            HostRules::default()
        } else {
            stated::setup_hosts(parts, log, settings).await?
        };
        Ok(Self {
            commands,
            timeout: stated::setup_timeout(parts, settings),
            hosts,
            cache: stated.cache,
            inputs: stated.inputs.clone(),
        })
    }

    /// Returns the set-up of the mirror's commit, before there is a work tree. What is wrong with the repository's file
    /// is said by the analysis, with its place.
    pub(super) async fn of_mirror(parts: &Parts, log: &RunLog, mirror: &Mirror) -> Result<Self, Halt> {
        let file = parts.git.file_at(mirror, FILE_NAME, MAX_BYTES);
        let text = file.await.map_err(git_halt)?.unwrap_or_default();
        let settings = RepositorySettings::parse(&String::from_utf8_lossy(&text)).unwrap_or_default();
        Self::of(parts, log, &settings).await
    }

    /// Runs the commands. The hosts stay allowed when it returns.
    pub(super) async fn run(&self, parts: &Parts, log: &RunLog, sandbox: &dyn Sandbox) -> Result<(), Halt> {
        if self.commands.is_empty() {
            return Ok(());
        }
        sandbox.allow_hosts(self.hosts.clone()).await?;
        let ran = self.run_commands(parts, log, sandbox).await;
        // Also when it failed: what was refused is often why.
        record_denials(sandbox, log).await?;
        ran
    }

    async fn run_commands(&self, parts: &Parts, log: &RunLog, sandbox: &dyn Sandbox) -> Result<(), Halt> {
        for (index, command) in self.commands.iter().enumerate() {
            log.step(13, &format!("Setting up: {command}")).await?;
            let call_id = CallId::new(format!("setup.{}", index + 1));
            let report = exec_live(sandbox, ExecSpec::shell(command, self.timeout), log, &call_id).await?;
            if report.exit_code != Some(0) {
                let output = String::from_utf8_lossy(&report.output);
                let output = parts.redactor.mask(&output).into_owned();
                let end = if report.timed_out {
                    format!("took longer than {} s", self.timeout.as_secs())
                } else if report.disk_exceeded {
                    "took more disk than the sandbox's limit".to_owned()
                } else {
                    format!("ended with exit code {:?}", report.exit_code)
                };
                let message = format!("set-up command `{command}` {end}: {}", end_of(&output));
                return Err(Failure::lasting(Reason::SetupFailed, message).into());
            }
        }
        Ok(())
    }
}

fn end_of(output: &str) -> &str {
    let from = output.char_indices().rev().nth(TOLD_CHARACTERS - 1);
    from.and_then(|(index, _)| output.get(index..)).unwrap_or(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_long_output_is_told() {
        assert_eq!(end_of("short"), "short");
        assert_eq!(
            end_of(&format!("{}ä{}", "x".repeat(9), "y".repeat(599))),
            format!("ä{}", "y".repeat(599))
        );
    }
}
