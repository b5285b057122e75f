//! Settings of the agent loop. The limits of a Task are not here: they come with its budget.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Settings of the agent loop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentConfig {
    /// Seconds a command may run when the model names no limit. Default 300, as `SANDBOX_TIMEOUT`.
    pub command_timeout_seconds: u64,
    /// Most seconds the model may ask for. Default 600.
    pub max_command_timeout_seconds: u64,
    /// Most calls of one answer that are run. Default 32.
    pub max_calls_per_turn: usize,
    /// Characters of a tool's output shown to the model, head and tail together. Default 30,000.
    pub tool_output_chars: usize,
    /// Percent of the model's window at which the conversation is compacted. Default 80.
    pub compaction_percent: u64,
}

impl Default for AgentConfig {
    fn default() -> Self {
        Self {
            command_timeout_seconds: 300,
            max_command_timeout_seconds: 600,
            max_calls_per_turn: 32,
            tool_output_chars: 30_000,
            compaction_percent: 80,
        }
    }
}

impl AgentConfig {
    /// Returns every fault of these settings.
    pub fn validate(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut must = |holds: bool, fault: &str| {
            if !holds {
                faults.push(fault.to_owned());
            }
        };
        must(
            (1..=self.max_command_timeout_seconds).contains(&self.command_timeout_seconds),
            "agent.command_timeout_seconds must be from 1 to agent.max_command_timeout_seconds",
        );
        must(
            self.max_command_timeout_seconds <= 3600,
            "agent.max_command_timeout_seconds must be at most 3600",
        );
        must(
            (1..=128).contains(&self.max_calls_per_turn),
            "agent.max_calls_per_turn must be from 1 to 128",
        );
        must(
            (1_000..=1_000_000).contains(&self.tool_output_chars),
            "agent.tool_output_chars must be from 1000 to 1000000",
        );
        must(
            (30..=95).contains(&self.compaction_percent),
            "agent.compaction_percent must be from 30 to 95",
        );
        faults
    }

    /// Returns how long a command may run: what the model asked for or the default, within what is left of the Task.
    pub(super) fn command_timeout(&self, asked_seconds: Option<u64>, remaining: Duration) -> Duration {
        let seconds = asked_seconds.unwrap_or(self.command_timeout_seconds);
        let wanted = Duration::from_secs(seconds.min(self.max_command_timeout_seconds));
        wanted.min(remaining).max(Duration::from_secs(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_reported_at_once() {
        assert_eq!(AgentConfig::default().validate(), Vec::<String>::new());
        let bad = AgentConfig {
            command_timeout_seconds: 0,
            max_command_timeout_seconds: 9999,
            max_calls_per_turn: 0,
            tool_output_chars: 1,
            compaction_percent: 100,
        };
        assert_eq!(bad.validate().len(), 5);
    }

    #[test]
    fn a_command_gets_what_is_asked_within_the_limit_and_the_time_left() {
        let config = AgentConfig::default();
        let hour = Duration::from_secs(3600);
        assert_eq!(config.command_timeout(None, hour).as_secs(), 300);
        assert_eq!(config.command_timeout(Some(900), hour).as_secs(), 600);
        assert_eq!(config.command_timeout(Some(900), Duration::from_secs(7)).as_secs(), 7);
        assert_eq!(config.command_timeout(None, Duration::ZERO).as_secs(), 1);
    }
}
