//! Moments and spans.

use std::time::Duration;

use crate::task::id::Timestamp;
use crate::task::spec::Violation;

const MICROS_PER_SECOND: i64 = 1_000_000;

/// Converts a moment, exactly, also before 1970.
pub(crate) fn timestamp(Timestamp(micros): Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: micros.div_euclid(MICROS_PER_SECOND),
        nanos: i32::try_from(micros.rem_euclid(MICROS_PER_SECOND) * 1000).unwrap_or(0),
    }
}

/// Converts a span; one beyond what the wire can say becomes the longest it can.
pub(crate) fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0),
    }
}

/// Reads a span that must not be negative.
pub(crate) fn parse_duration(field: &str, message: prost_types::Duration) -> Result<Duration, Violation> {
    let prost_types::Duration { seconds, nanos } = message;
    match (u64::try_from(seconds), u32::try_from(nanos)) {
        (Ok(seconds), Ok(nanos)) if nanos < 1_000_000_000 => Ok(Duration::new(seconds, nanos)),
        _ => Err(Violation::new(field, "must be a duration of 0 s or more")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_exact_on_both_sides_of_1970() {
        for (micros, seconds, nanos) in [
            (0, 0, 0),
            (1_700_000_000_123_456, 1_700_000_000, 123_456_000),
            (-1, -1, 999_999_000),
        ] {
            assert_eq!(timestamp(Timestamp(micros)), prost_types::Timestamp { seconds, nanos });
        }
    }

    #[test]
    fn spans_survive_the_wire_and_negative_ones_are_refused() {
        for span in [Duration::ZERO, Duration::new(3, 999_999_999), Duration::from_millis(1)] {
            assert_eq!(parse_duration("f", duration(span)), Ok(span));
        }
        for (seconds, nanos) in [(-1, 0), (0, -1), (0, 1_000_000_000)] {
            assert!(parse_duration("f", prost_types::Duration { seconds, nanos }).is_err());
        }
    }
}
