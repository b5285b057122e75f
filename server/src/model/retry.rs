//! The one place where model requests are tried again.
//!
//! A failed try leaves nothing behind: its parts are discarded, and the caller hears of it so that
//! it can record the retry and clear what it showed. Retries of all Tasks draw on one budget,
//! because a provider in trouble must not get more requests than a healthy one. Going on with
//! another model is the caller's decision.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::model::{Answer, Delta, ModelError, ModelProvider, ModelRequest, Retry};

/// How often and how long to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetryPolicy {
    /// Most tries, the first included: 6.
    pub max_tries: u32,
    /// Longest time from the first failure to the start of the last try, in seconds: 300.
    pub max_seconds: u64,
    /// Delay before the first retry in milliseconds, doubled for each further one: 500.
    pub base_delay_ms: u64,
    /// Longest delay that is not the provider's own wish, in milliseconds: 30,000.
    pub max_delay_ms: u64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_tries: 6,
            max_seconds: 300,
            base_delay_ms: 500,
            max_delay_ms: 30_000,
        }
    }
}

impl RetryPolicy {
    /// Returns the delay after the failed try `attempt`; `jitter` is between 0 and 1.
    fn delay(&self, attempt: u32, wish: Option<Duration>, jitter: f64) -> Duration {
        match wish {
            // Never earlier than asked, and not all at once.
            Some(wish) => wish + Duration::from_millis(self.base_delay_ms).mul_f64(jitter),
            None => {
                let doubled = self
                    .base_delay_ms
                    .saturating_mul(1 << attempt.saturating_sub(1).min(16));
                Duration::from_millis(doubled.min(self.max_delay_ms)).mul_f64(0.5 + jitter / 2.0)
            }
        }
    }
}

/// What all Tasks together may spend on retries: a tenth of their requests, and a little with time so
/// that a quiet server is not stuck. Clones share it.
#[derive(Clone, Debug)]
pub struct RetryBudget(Arc<Mutex<Bucket>>);

#[derive(Debug)]
struct Bucket {
    retries: f64,
    at: Instant,
}

const BUDGET_CAPACITY: f64 = 60.0;
const RETRIES_PER_REQUEST: f64 = 0.1;
const RETRIES_PER_SECOND: f64 = 0.1;

impl Default for RetryBudget {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Bucket {
            retries: BUDGET_CAPACITY,
            at: Instant::now(),
        })))
    }
}

impl RetryBudget {
    fn with_bucket<T>(&self, action: impl FnOnce(&mut Bucket) -> T) -> T {
        let mut bucket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let gained = now.duration_since(bucket.at).as_secs_f64() * RETRIES_PER_SECOND;
        bucket.retries = (bucket.retries + gained).min(BUDGET_CAPACITY);
        bucket.at = now;
        action(&mut bucket)
    }

    /// Counts a first try.
    fn deposit(&self) {
        self.with_bucket(|bucket| bucket.retries = (bucket.retries + RETRIES_PER_REQUEST).min(BUDGET_CAPACITY));
    }

    /// Takes a retry, or returns false when none is left.
    fn withdraw(&self) -> bool {
        self.with_bucket(|bucket| {
            let has_one = bucket.retries >= 1.0;
            if has_one {
                bucket.retries -= 1.0;
            }
            has_one
        })
    }
}

/// A retry that is about to be waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduledRetry {
    /// The try that failed, from 1.
    pub attempt: u32,
    /// How long until the next.
    pub delay: Duration,
    /// Why, for a person.
    pub message: String,
}

/// Whether to go on after a retry was heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoOn {
    /// Wait and try again.
    Yes,
    /// Give up, e.g. because the record of the retry could not be written.
    No,
}

/// Hears of an answer in the making.
#[async_trait]
pub trait AnswerObserver: Send {
    /// Sees a part of the answer of the try that is under way.
    fn delta(&mut self, delta: Delta);

    /// Hears that a try failed, that its parts are void, and when the next is.
    async fn retry_scheduled(&mut self, retry: ScheduledRetry) -> GoOn;
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// The last try failed, and another would not help or is not allowed.
    #[error("{error} (tried {attempts} times)")]
    Model {
        /// What the last try failed with.
        #[source]
        error: ModelError,
        /// How many tries there were.
        attempts: u32,
    },
    /// The token was cancelled; the request's connection is closed.
    #[error("the request was cancelled")]
    Cancelled,
    /// The observer said not to go on.
    #[error("the request was given up")]
    GivenUp,
}

/// Asks for an answer until there is one, trying again is useless, or a limit is reached.
///
/// Safe to drop at any await: the request under way is closed.
pub async fn answer_with_retry(
    provider: &dyn ModelProvider,
    request: ModelRequest<'_>,
    policy: &RetryPolicy,
    budget: &RetryBudget,
    cancelled: &CancellationToken,
    observer: &mut dyn AnswerObserver,
) -> Result<Answer, AnswerError> {
    budget.deposit();
    let mut last_start = None;
    let mut attempts = 0;
    loop {
        attempts += 1;
        let once = ModelRequest {
            model: request.model,
            system: request.system,
            tools: request.tools,
            transcript: &mut *request.transcript,
            max_output_tokens: request.max_output_tokens,
        };
        let mut on_delta = |delta| observer.delta(delta);
        let result = tokio::select! {
            biased;
            () = cancelled.cancelled() => return Err(AnswerError::Cancelled),
            result = provider.answer(once, &mut on_delta) => result,
        };
        let error = match result {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let now = Instant::now();
        let last_start = *last_start.get_or_insert(now + Duration::from_secs(policy.max_seconds));
        let delay = match error.retry() {
            Retry::After(wish) => policy.delay(attempts, wish, rand::random()),
            Retry::Never => return Err(AnswerError::Model { error, attempts }),
        };
        if attempts >= policy.max_tries || now + delay > last_start || !budget.withdraw() {
            return Err(AnswerError::Model { error, attempts });
        }
        let retry = ScheduledRetry {
            attempt: attempts,
            delay,
            message: error.to_string(),
        };
        tokio::select! {
            biased;
            () = cancelled.cancelled() => return Err(AnswerError::Cancelled),
            go_on = observer.retry_scheduled(retry) => if go_on == GoOn::No {
                return Err(AnswerError::GivenUp);
            },
        }
        tokio::select! {
            biased;
            () = cancelled.cancelled() => return Err(AnswerError::Cancelled),
            () = tokio::time::sleep_until(now + delay) => {}
        }
    }
}

#[cfg(test)]
mod tests;
