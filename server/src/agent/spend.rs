//! What a Task has spent, request by request.

use crate::model::TokenUsage;
use crate::model::pricing::Price;
use crate::task::budget::Usage;

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

    #[test]
    fn one_unknown_price_makes_the_cost_unknown_for_good() {
        let request = TokenUsage {
            input_uncached: 1000,
            cache_read: 10_000,
            cache_write: 100,
            output: 500,
            reasoning: 200,
        };
        let price = Price {
            input_uncached: 1_000_000,
            ..Price::default()
        };
        let mut spend = Usage {
            cost_micro_usd: Some(5),
            ..Usage::default()
        };
        add_request(&mut spend, &request, Some(&price));
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
        add_request(&mut spend, &request, None);
        add_request(&mut spend, &request, Some(&price));
        assert_eq!(spend.cost_micro_usd, None);
    }
}
