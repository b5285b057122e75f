//! How long a provider asks to wait, from its response headers.
//!
//! In the order in which the official SDKs look: `retry-after-ms`, `retry-after` as seconds or as an
//! HTTP date, then the reset times of limits that are used up.

use std::time::Duration;

use http::HeaderMap;
use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};

/// What headers say about trying again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hints {
    /// How long to wait.
    pub(crate) retry_after: Option<Duration>,
    /// Whether to try again at all.
    pub(crate) should_retry: Option<bool>,
}

impl Hints {
    /// Reads the headers of a response that came at `now`.
    pub(crate) fn read(headers: &HeaderMap, now: OffsetDateTime) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let should_retry = match text("x-should-retry") {
            Some("true") => Some(true),
            Some("false") => Some(false),
            _ => None,
        };
        let milliseconds = text("retry-after-ms")
            .and_then(|text| text.parse::<f64>().ok())
            .and_then(|number| seconds(number / 1000.0));
        let plain = text("retry-after").and_then(|text| match text.parse::<f64>() {
            Ok(number) => seconds(number),
            Err(_) => until(OffsetDateTime::parse(text, &Rfc2822).ok()?, now),
        });
        Self {
            retry_after: milliseconds.or(plain).or_else(|| reset_of_used_up_limits(&text, now)),
            should_retry,
        }
    }
}

/// Returns when the last of the limits that are used up is reset.
fn reset_of_used_up_limits<'a>(text: &impl Fn(&str) -> Option<&'a str>, now: OffsetDateTime) -> Option<Duration> {
    let openai = ["requests", "tokens"].map(|limit| {
        let used_up = text(&format!("x-ratelimit-remaining-{limit}")) == Some("0");
        let reset = text(&format!("x-ratelimit-reset-{limit}"));
        reset.filter(|_| used_up).and_then(parse_span)
    });
    let anthropic = ["requests", "tokens", "input-tokens", "output-tokens"].map(|limit| {
        let used_up = text(&format!("anthropic-ratelimit-{limit}-remaining")) == Some("0");
        let reset = text(&format!("anthropic-ratelimit-{limit}-reset"));
        let reset = reset.filter(|_| used_up)?;
        until(OffsetDateTime::parse(reset, &Rfc3339).ok()?, now)
    });
    openai.into_iter().chain(anthropic).flatten().max()
}

fn until(then: OffsetDateTime, now: OffsetDateTime) -> Option<Duration> {
    Some(Duration::try_from(then - now).unwrap_or(Duration::ZERO))
}

fn seconds(number: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(number).ok()
}

/// Reads spans as OpenAI writes them: `6m0s`, `1m2.5s`, `20ms`, `1h`.
fn parse_span(text: &str) -> Option<Duration> {
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, unit) = rest.split_at_checked(end)?;
        let end = unit.find(|c: char| c.is_ascii_digit()).unwrap_or(unit.len());
        let (unit, after) = unit.split_at_checked(end)?;
        let factor = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86400.0,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * factor;
        rest = after;
    }
    seconds(total)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use time::macros::datetime;

    use super::*;

    fn hints(headers: &[(&'static str, &'static str)]) -> Hints {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        Hints::read(&headers, datetime!(2026-11-24 08:00:00 UTC))
    }

    #[test]
    fn the_wait_is_read_as_the_official_clients_read_it() {
        let ms = Duration::from_millis;
        for (headers, expected) in [
            (&[("retry-after", "7")][..], Some(ms(7000))),
            (&[("retry-after", "0.5")], Some(ms(500))),
            (&[("retry-after", "7"), ("retry-after-ms", "1500")], Some(ms(1500))),
            (&[("retry-after", "Tue, 24 Nov 2026 08:00:30 GMT")], Some(ms(30_000))),
            (&[("retry-after", "Tue, 24 Nov 2026 07:00:30 GMT")], Some(ms(0))),
            (&[("retry-after", "-3")], None),
            (&[("retry-after", "soon")], None),
            (
                &[
                    ("x-ratelimit-remaining-requests", "0"),
                    ("x-ratelimit-reset-requests", "1m2s"),
                ],
                Some(ms(62_000)),
            ),
            (
                &[
                    ("x-ratelimit-remaining-requests", "5"),
                    ("x-ratelimit-reset-requests", "1m2s"),
                ],
                None,
            ),
            (
                &[
                    ("x-ratelimit-remaining-tokens", "0"),
                    ("x-ratelimit-reset-tokens", "20ms"),
                ],
                Some(ms(20)),
            ),
            (
                &[
                    ("anthropic-ratelimit-input-tokens-remaining", "0"),
                    ("anthropic-ratelimit-input-tokens-reset", "2026-11-24T08:00:09Z"),
                ],
                Some(ms(9000)),
            ),
            (&[], None),
        ] {
            assert_eq!(hints(headers).retry_after, expected, "{headers:?}");
        }
    }

    #[test]
    fn should_retry_is_read_when_it_is_a_plain_word() {
        assert_eq!(hints(&[("x-should-retry", "true")]).should_retry, Some(true));
        assert_eq!(hints(&[("x-should-retry", "false")]).should_retry, Some(false));
        assert_eq!(hints(&[("x-should-retry", "maybe")]).should_retry, None);
    }
}
