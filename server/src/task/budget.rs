//! Limits and spend of a Task, and the reserve that belongs to the orchestrator.
//!
//! The agent never sees the whole Task's budget: a part of the time and the money is held back so
//! that verification, commit and push can always happen after the agent was stopped.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Shortest `max_duration` that leaves room for the reserve.
pub const MIN_DURATION: Duration = Duration::from_secs(120);

/// Bounds on one Task, all resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Most model turns.
    pub max_turns: u32,
    /// Most uncached input and output tokens together.
    pub max_tokens: u64,
    /// Longest wall time from the first turn.
    pub max_duration: Duration,
    /// Most money, in millionths of a US dollar; unlimited when `None`.
    pub max_cost_micro_usd: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_turns: 200,
            max_tokens: 2_000_000,
            max_duration: Duration::from_secs(3600),
            max_cost_micro_usd: None,
        }
    }
}

/// Spend so far; totals, not differences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Prompt tokens, cached ones included.
    pub input_tokens: u64,
    /// The part of `input_tokens` served from the provider's cache.
    pub cached_input_tokens: u64,
    /// Tokens the model produced.
    pub output_tokens: u64,
    /// Model turns taken.
    pub turns: u32,
    /// Money, in millionths of a US dollar; `None` once a turn's price was unknown.
    pub cost_micro_usd: Option<u64>,
    /// Tokens written to the provider's cache.
    pub cache_write_tokens: u64,
    /// The part of `output_tokens` spent on reasoning.
    pub reasoning_tokens: u64,
}

impl Usage {
    /// Returns the tokens that count against `Limits::max_tokens`.
    pub fn counted_tokens(&self) -> u64 {
        self.input_tokens
            .saturating_sub(self.cached_input_tokens)
            .saturating_add(self.output_tokens)
    }
}

/// What stopped the agent before it finished by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exhausted {
    /// `max_turns`.
    Turns,
    /// `max_tokens`.
    Tokens,
    /// `max_duration` less the reserve.
    Time,
    /// `max_cost_micro_usd` less the reserve.
    Money,
}

impl Exhausted {
    /// Returns the name of the limit for a person.
    pub fn limit_name(self) -> &'static str {
        match self {
            Self::Turns => "max_turns",
            Self::Tokens => "max_tokens",
            Self::Time => "max_duration",
            Self::Money => "max_cost_micro_usd",
        }
    }
}

/// What the agent may spend: the limits less the orchestrator's reserve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentBudget {
    limits: Limits,
    time: Duration,
    money_micro_usd: Option<u64>,
}

impl AgentBudget {
    /// Computes the agent's share. The reserve is the largest of 10 % of the time, 60 s, and one and a half
    /// times the measured baseline verification plus 60 s, but never more than half of the whole; and 10 %
    /// of the money.
    pub fn new(limits: Limits, baseline: Duration) -> Self {
        let tenth = limits.max_duration / 10;
        let measured = baseline * 3 / 2 + Duration::from_secs(60);
        let reserve = tenth
            .max(Duration::from_secs(60))
            .max(measured)
            .min(limits.max_duration / 2);
        Self {
            limits,
            time: limits.max_duration.saturating_sub(reserve),
            money_micro_usd: limits.max_cost_micro_usd.map(|money| money - money / 10),
        }
    }

    /// Returns the wall time the agent may use.
    pub fn time(&self) -> Duration {
        self.time
    }

    /// Returns the first limit reached, if any, before another turn may begin.
    pub fn exhausted(&self, usage: &Usage, elapsed: Duration) -> Option<Exhausted> {
        if usage.turns >= self.limits.max_turns {
            return Some(Exhausted::Turns);
        }
        if usage.counted_tokens() >= self.limits.max_tokens {
            return Some(Exhausted::Tokens);
        }
        if elapsed >= self.time {
            return Some(Exhausted::Time);
        }
        match (self.money_micro_usd, usage.cost_micro_usd) {
            (Some(most), Some(spent)) if spent >= most => Some(Exhausted::Money),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(seconds: u64) -> Limits {
        Limits {
            max_duration: Duration::from_secs(seconds),
            ..Limits::default()
        }
    }

    #[test]
    fn reserve_is_the_largest_of_its_three_parts() {
        let agent = |seconds, baseline| {
            AgentBudget::new(limits(seconds), Duration::from_secs(baseline))
                .time()
                .as_secs()
        };
        assert_eq!(agent(3600, 0), 3240);
        assert_eq!(agent(300, 0), 240);
        assert_eq!(agent(3600, 400), 3600 - 660);
        assert_eq!(agent(120, 1000), 60);
    }

    #[test]
    fn each_limit_is_named_when_it_is_reached() {
        let budget = AgentBudget::new(
            Limits {
                max_turns: 3,
                max_tokens: 100,
                max_duration: Duration::from_secs(600),
                max_cost_micro_usd: Some(1000),
            },
            Duration::ZERO,
        );
        let usage = Usage {
            cost_micro_usd: Some(0),
            ..Usage::default()
        };
        assert_eq!(budget.exhausted(&usage, Duration::ZERO), None);
        assert_eq!(
            budget.exhausted(&Usage { turns: 3, ..usage }, Duration::ZERO),
            Some(Exhausted::Turns)
        );
        let cached = Usage {
            input_tokens: 500,
            cached_input_tokens: 450,
            output_tokens: 49,
            ..usage
        };
        assert_eq!(budget.exhausted(&cached, Duration::ZERO), None);
        assert_eq!(
            budget.exhausted(
                &Usage {
                    output_tokens: 50,
                    ..cached
                },
                Duration::ZERO
            ),
            Some(Exhausted::Tokens)
        );
        assert_eq!(
            budget.exhausted(&usage, Duration::from_secs(540)),
            Some(Exhausted::Time)
        );
        assert_eq!(
            budget.exhausted(
                &Usage {
                    cost_micro_usd: Some(900),
                    ..usage
                },
                Duration::ZERO
            ),
            Some(Exhausted::Money)
        );
    }
}
