//! How many calls a principal may make: one token bucket for those that start work, a wider one for the rest.
//!
//! A bucket holds one minute's worth, so a client may spend its minute at once and then waits for single
//! tokens. An issuer may vouch for any number of principals, so buckets that are full again are forgotten.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use crate::task::id::PrincipalId;

/// Buckets kept before full ones are swept, and the time after which any bucket is full.
const SWEEP_AT: usize = 4096;
const FILLED_AFTER: Duration = Duration::from_secs(60);

/// Settings of the rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimitConfig {
    /// Calls a minute that start work (RunTask, CreateTask, SendMessage, `POST /api/v1/code`); 10 by
    /// default (`RATE_LIMIT_REQUESTS`), 0 for no limit.
    pub starts_per_minute: u32,
    /// All other calls a minute; 600 by default, 0 for no limit.
    pub others_per_minute: u32,
}

impl Default for RateLimitConfig {
    fn default() -> Self {
        Self {
            starts_per_minute: 10,
            others_per_minute: 600,
        }
    }
}

/// What kind of call it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CallClass {
    /// It starts work.
    Start,
    /// It reads, resumes, stops or deletes.
    Other,
}

impl CallClass {
    /// Returns the class of a call by what it does; `None` for one that only reads.
    pub(crate) fn of(action: Option<&str>) -> Self {
        match action {
            Some("RunTask" | "CreateTask" | "SendMessage") => Self::Start,
            _ => Self::Other,
        }
    }
}

/// Counts calls.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    config: RateLimitConfig,
    own_starts_per_minute: HashMap<PrincipalId, u32>,
    buckets: Mutex<HashMap<(PrincipalId, CallClass), Bucket>>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl RateLimiter {
    /// Makes a limiter; `own_starts_per_minute` has the principals with a quota of their own.
    pub(crate) fn new(config: RateLimitConfig, own_starts_per_minute: HashMap<PrincipalId, u32>) -> Self {
        Self {
            config,
            own_starts_per_minute,
            buckets: Mutex::default(),
        }
    }

    /// Takes a token, or returns how long until there is one.
    pub(crate) fn check(&self, principal: &PrincipalId, class: CallClass) -> Result<(), Duration> {
        let per_minute = match class {
            CallClass::Start => *self
                .own_starts_per_minute
                .get(principal)
                .unwrap_or(&self.config.starts_per_minute),
            CallClass::Other => self.config.others_per_minute,
        };
        if per_minute == 0 {
            return Ok(());
        }
        let capacity = f64::from(per_minute);
        let now = Instant::now();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= SWEEP_AT {
            buckets.retain(|_, bucket| now.duration_since(bucket.filled) < FILLED_AFTER);
        }
        let bucket = buckets.entry((principal.clone(), class)).or_insert(Bucket {
            tokens: capacity,
            filled: now,
        });
        let gained = now.duration_since(bucket.filled).as_secs_f64() * capacity / 60.0;
        bucket.tokens = (bucket.tokens + gained).min(capacity);
        bucket.filled = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - bucket.tokens) * 60.0 / capacity))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter() -> RateLimiter {
        let config = RateLimitConfig {
            starts_per_minute: 10,
            others_per_minute: 600,
        };
        RateLimiter::new(config, HashMap::from([(PrincipalId::new("small"), 1)]))
    }

    #[tokio::test(start_paused = true)]
    async fn the_eleventh_start_of_a_minute_is_told_when_it_will_be_taken() {
        let limiter = limiter();
        let principal = PrincipalId::new("a");
        for _ in 0..10 {
            assert_eq!(limiter.check(&principal, CallClass::Start), Ok(()));
        }
        let wait = limiter.check(&principal, CallClass::Start).unwrap_err();
        assert!((5.9..=6.1).contains(&wait.as_secs_f64()), "{wait:?}");
        tokio::time::advance(wait - Duration::from_millis(100)).await;
        assert!(limiter.check(&principal, CallClass::Start).is_err());
        tokio::time::advance(Duration::from_millis(200)).await;
        assert_eq!(limiter.check(&principal, CallClass::Start), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn principals_and_classes_do_not_share_a_bucket() {
        let limiter = limiter();
        let small = PrincipalId::new("small");
        assert_eq!(limiter.check(&small, CallClass::Start), Ok(()));
        assert!(limiter.check(&small, CallClass::Start).is_err());
        assert_eq!(limiter.check(&small, CallClass::Other), Ok(()));
        assert_eq!(limiter.check(&PrincipalId::new("b"), CallClass::Start), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_hour_saves_up_no_more_than_a_minute() {
        let limiter = limiter();
        let principal = PrincipalId::new("a");
        limiter.check(&principal, CallClass::Start).unwrap();
        tokio::time::advance(Duration::from_secs(3600)).await;
        let taken = (0..20)
            .filter(|_| limiter.check(&principal, CallClass::Start).is_ok())
            .count();
        assert_eq!(taken, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn callers_that_went_are_forgotten_and_those_who_wait_are_not() {
        let limiter = limiter();
        let id = |index: usize| PrincipalId::new(format!("oidc:{index}"));
        for index in 0..SWEEP_AT {
            limiter.check(&id(index), CallClass::Other).unwrap();
        }
        tokio::time::advance(FILLED_AFTER).await;
        let waiting = PrincipalId::new("small");
        limiter.check(&waiting, CallClass::Start).unwrap();
        assert_eq!(limiter.buckets.lock().unwrap().len(), 1);
        assert!(limiter.check(&waiting, CallClass::Start).is_err());
    }
}
