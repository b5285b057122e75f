//! The model of a Task as the agent needs it: who answers, how much fits, what it costs.

use std::fmt;
use std::sync::Arc;

use crate::model::{ModelProvider, TokenUsage};
use crate::task::budget::Usage;

/// A model, resolved.
#[derive(Clone)]
pub struct AgentModel {
    /// Who answers.
    pub provider: Arc<dyn ModelProvider>,
    /// The provider's own name of the model.
    pub name: String,
    /// Tokens that fit its window, input and output together; `None` when unknown.
    pub window_tokens: Option<u64>,
    /// Most tokens of one answer; the provider's configured value when `None`.
    pub max_output_tokens: Option<u32>,
    /// What it costs; `None` when unknown, and then the Task's cost is unknown too.
    pub price: Option<Price>,
}

impl fmt::Debug for AgentModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgentModel({})", self.full_name())
    }
}

impl AgentModel {
    /// Returns `{provider}/{model}`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.provider.name(), self.name)
    }
}

/// Prices in millionths of a US dollar for a million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// Input that no cache served.
    pub input: u64,
    /// Input served from the cache.
    pub cache_read: u64,
    /// Input written to the cache.
    pub cache_write: u64,
    /// Output, reasoning included.
    pub output: u64,
}

impl Price {
    /// Returns the cost of a request in millionths of a US dollar, rounded up.
    pub fn cost_micro_usd(&self, usage: &TokenUsage) -> u64 {
        let parts = [
            (self.input, usage.input_uncached),
            (self.cache_read, usage.cache_read),
            (self.cache_write, usage.cache_write),
            (self.output, usage.output),
        ];
        let total: u128 = parts
            .iter()
            .map(|(price, tokens)| u128::from(*price) * u128::from(*tokens))
            .sum();
        u64::try_from(total.div_ceil(1_000_000)).unwrap_or(u64::MAX)
    }
}

/// Adds a request to a Task's spend. An unknown price makes the cost unknown for good: a part is not a total.
pub(super) fn add_request(spend: &mut Usage, request: &TokenUsage, price: Option<&Price>) {
    let input = request.input_uncached + request.cache_read + request.cache_write;
    spend.input_tokens += input;
    spend.cached_input_tokens += request.cache_read;
    spend.cache_write_tokens += request.cache_write;
    spend.output_tokens += request.output;
    spend.reasoning_tokens += request.reasoning;
    spend.cost_micro_usd = match (spend.cost_micro_usd, price) {
        (Some(cost), Some(price)) => Some(cost.saturating_add(price.cost_micro_usd(request))),
        _ => None,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: TokenUsage = TokenUsage {
        input_uncached: 1000,
        cache_read: 10_000,
        cache_write: 100,
        output: 500,
        reasoning: 200,
    };

    #[test]
    fn cost_is_the_sum_of_all_parts_rounded_up() {
        let price = Price {
            input: 3_000_000,
            cache_read: 300_000,
            cache_write: 3_750_000,
            output: 15_000_000,
        };
        assert_eq!(price.cost_micro_usd(&REQUEST), 3000 + 3000 + 375 + 7500);
        assert_eq!(
            Price {
                input: 1,
                ..Price::default()
            }
            .cost_micro_usd(&REQUEST),
            1
        );
    }

    #[test]
    fn one_unknown_price_makes_the_cost_unknown_for_good() {
        let price = Price {
            input: 1_000_000,
            ..Price::default()
        };
        let mut spend = Usage {
            cost_micro_usd: Some(5),
            ..Usage::default()
        };
        add_request(&mut spend, &REQUEST, Some(&price));
        let once = Usage {
            input_tokens: 11_100,
            cached_input_tokens: 10_000,
            output_tokens: 500,
            turns: 0,
            cost_micro_usd: Some(1005),
            cache_write_tokens: 100,
            reasoning_tokens: 200,
        };
        assert_eq!(spend, once);
        add_request(&mut spend, &REQUEST, None);
        add_request(&mut spend, &REQUEST, Some(&price));
        assert_eq!(spend.cost_micro_usd, None);
    }
}
