//! How long to wait before a lost stream is opened again, and when to stop trying.
//!
//! Half of each delay is random, so that the clients of a restarted server do not come back together.
//! The randomness comes from `uuid`, which is needed anyway; a generator of its own would be a further
//! dependency of everyone who uses the SDK.

use std::time::Duration;

/// When and for how long a lost stream is opened again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconnect {
    /// The first delay; each further one is twice as long.
    pub initial_delay: Duration,
    /// The longest delay.
    pub longest_delay: Duration,
    /// How long to try without hearing anything before giving up.
    pub give_up_after: Duration,
}

impl Default for Reconnect {
    fn default() -> Self {
        Self {
            initial_delay: Duration::from_millis(200),
            longest_delay: Duration::from_secs(10),
            give_up_after: Duration::from_secs(5 * 60),
        }
    }
}

impl Reconnect {
    /// Returns the delay before the next try after `failures` failed ones, at least what the server asked for.
    pub(crate) fn delay(&self, failures: u32, asked: Option<Duration>, random: Random) -> Duration {
        let doubled = self
            .initial_delay
            .saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1).min(30)));
        let own = doubled.min(self.longest_delay);
        let jittered = own.mul_f64(0.5 + random.0 / 2.0);
        match asked {
            // On top of what was asked for, or all clients would be back at the same moment.
            Some(asked) => asked.saturating_add(self.initial_delay.mul_f64(random.0)).max(jittered),
            None => jittered,
        }
    }
}

/// A random number from 0 up to 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Random(f64);

impl Random {
    pub(crate) fn draw() -> Self {
        // The low 64 bits have two fixed bits at the top; the middle ones are all random.
        let bits = u32::try_from(uuid::Uuid::new_v4().as_u128() & u128::from(u32::MAX)).unwrap_or_default();
        Self(f64::from(bits) / (f64::from(u32::MAX) + 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_and_half_of_each_is_random() {
        let reconnect = Reconnect::default();
        let ms = |failures, random| reconnect.delay(failures, None, Random(random)).as_millis();
        assert_eq!(
            [ms(1, 0.0), ms(2, 0.0), ms(3, 0.0), ms(20, 0.0), ms(u32::MAX, 0.0)],
            [100, 200, 400, 5000, 5000]
        );
        assert_eq!(ms(1, 1.0), 200);
    }

    #[test]
    fn what_the_server_asked_for_is_the_least() {
        let reconnect = Reconnect::default();
        let asked = Some(Duration::from_secs(30));
        assert_eq!(reconnect.delay(1, asked, Random(0.0)), Duration::from_secs(30));
        assert_eq!(reconnect.delay(1, asked, Random(1.0)), Duration::from_millis(30_200));
    }

    #[test]
    fn random_numbers_are_in_range_and_differ() {
        let drawn: Vec<f64> = (0..100).map(|_| Random::draw().0).collect();
        assert!(drawn.iter().all(|number| (0.0..1.0).contains(number)));
        assert!(drawn.iter().any(|number| *number < 0.5) && drawn.iter().any(|number| *number >= 0.5));
    }
}
