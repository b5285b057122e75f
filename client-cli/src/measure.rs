//! Numbers in words and words in numbers: times, tokens, money, ages, and the limits a person types.

use std::time::Duration;

use backspace_sdk::v1::Usage;

const MICRO_USD: u64 = 1_000_000;

/// Returns a span as a person reads it: `40 ms`, `3.2 s`, `2 min 5 s`, `1 h 4 min`.
pub(crate) fn span(duration: Duration) -> String {
    let (seconds, ms) = (duration.as_secs(), duration.as_millis());
    match seconds {
        0 if ms < 100 => format!("{ms} ms"),
        0..60 => format!("{}.{} s", seconds, duration.subsec_millis() / 100),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..172_800 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Returns a number with its thousands apart.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Returns a number with its noun: `1 file`, `2 files`.
pub(crate) fn plural(number: u64, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", count(number))
}

/// Returns money: cents, and more digits when there is less than a cent.
pub(crate) fn money(micro_usd: u64) -> String {
    let (dollars, rest) = (micro_usd / MICRO_USD, micro_usd % MICRO_USD);
    if micro_usd > 0 && micro_usd < 10_000 {
        return format!("${dollars}.{:04}", rest / 100);
    }
    format!("${}.{:02}", count(dollars), rest / 10_000)
}

/// Returns what was spent, in one line.
pub(crate) fn usage(usage: &Usage) -> String {
    let mut parts = vec![plural(usage.turns.into(), "turn")];
    let cached = match usage.cached_input_tokens {
        0 => String::new(),
        cached => format!(" ({} cached)", count(cached)),
    };
    parts.push(format!(
        "{} tokens in{cached}, {} out",
        count(usage.input_tokens),
        count(usage.output_tokens)
    ));
    if let Some(micro_usd) = usage.cost_micro_usd {
        parts.push(money(micro_usd));
    }
    parts.join(" · ")
}

/// Reads a span such as `90`, `90s`, `30m`, `1h30m`; a bare number is seconds.
pub(crate) fn read_span(text: &str) -> Result<Duration, String> {
    let refuse = || format!("{text:?} is no time; write it as 90s, 30m or 1h30m");
    let mut total = Duration::ZERO;
    let mut digits = String::new();
    for character in text.trim().chars() {
        if character.is_ascii_digit() {
            digits.push(character);
            continue;
        }
        let seconds: u64 = match character {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            _ => return Err(refuse()),
        };
        let number: u64 = digits.parse().map_err(|_| refuse())?;
        digits.clear();
        total = total.saturating_add(Duration::from_secs(number.saturating_mul(seconds)));
    }
    if !digits.is_empty() {
        if !total.is_zero() {
            return Err(refuse());
        }
        total = Duration::from_secs(digits.parse().map_err(|_| refuse())?);
    }
    if total.is_zero() {
        return Err(refuse());
    }
    Ok(total)
}

/// Reads US dollars such as `2`, `0.50` or `$1.25` as millionths.
pub(crate) fn read_money(text: &str) -> Result<u64, String> {
    let refuse = || format!("{text:?} is no amount; write US dollars as 2 or 0.50");
    let bare = text.trim().trim_start_matches('$');
    let (whole, part) = bare.split_once('.').unwrap_or((bare, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || part.len() > 6 || !all_digits(whole) || !all_digits(part) {
        return Err(refuse());
    }
    let dollars: u64 = whole.parse().map_err(|_| refuse())?;
    let rest: u64 = format!("{part:0<6}").parse().map_err(|_| refuse())?;
    let micro_usd = dollars
        .checked_mul(MICRO_USD)
        .and_then(|micro_usd| micro_usd.checked_add(rest));
    micro_usd.filter(|micro_usd| *micro_usd > 0).ok_or_else(refuse)
}

/// Reads a count such as `200`, `200k` or `2M`.
pub(crate) fn read_count(text: &str) -> Result<u64, String> {
    let refuse = || format!("{text:?} is no count; write it as 200, 200k or 2M");
    let trimmed = text.trim();
    let (digits, factor) = match trimmed.chars().last() {
        Some('k' | 'K') => (trimmed.trim_end_matches(['k', 'K']), 1_000),
        Some('m' | 'M') => (trimmed.trim_end_matches(['m', 'M']), 1_000_000),
        _ => (trimmed, 1),
    };
    let number: u64 = digits.replace(['_', ','], "").parse().map_err(|_| refuse())?;
    number
        .checked_mul(factor)
        .filter(|number| *number > 0)
        .ok_or_else(refuse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_in_words() {
        let table = [
            (0, "0 ms"),
            (99, "99 ms"),
            (100, "0.1 s"),
            (3_250, "3.2 s"),
            (59_999, "59.9 s"),
            (125_000, "2 min 5 s"),
            (3_840_000, "1 h 4 min"),
            (260_000_000, "3 days"),
        ];
        for (ms, words) in table {
            assert_eq!(span(Duration::from_millis(ms)), words);
        }
    }

    #[test]
    fn money_and_counts_in_words() {
        assert_eq!(
            [count(0), count(999), count(1_000), count(1_234_567)],
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(
            [money(0), money(1_234), money(120_000), money(1_999_999)],
            ["$0.00", "$0.0012", "$0.12", "$1.99"]
        );
        assert_eq!([plural(1, "file"), plural(2_000, "file")], ["1 file", "2,000 files"]);
        let spent = Usage {
            input_tokens: 12_345,
            cached_input_tokens: 10_000,
            output_tokens: 1_234,
            turns: 1,
            cost_micro_usd: Some(120_000),
            ..Usage::default()
        };
        assert_eq!(
            usage(&spent),
            "1 turn · 12,345 tokens in (10,000 cached), 1,234 out · $0.12"
        );
        assert_eq!(usage(&Usage::default()), "0 turns · 0 tokens in, 0 out");
    }

    #[test]
    fn typed_limits() {
        let seconds = |text| read_span(text).map(|span| span.as_secs()).ok();
        assert_eq!(
            ["90", "90s", "30m", "1h30m", "2h", "", "0", "1x", "m", "1h30", "-1"].map(seconds),
            [
                Some(90),
                Some(90),
                Some(1_800),
                Some(5_400),
                Some(7_200),
                None,
                None,
                None,
                None,
                None,
                None
            ]
        );
        assert_eq!(
            ["2", "0.5", "$1.25", "0.000001", "0", ".5", "1.2345678", "-1", "1e3"].map(|text| read_money(text).ok()),
            [
                Some(2_000_000),
                Some(500_000),
                Some(1_250_000),
                Some(1),
                None,
                None,
                None,
                None,
                None
            ]
        );
        assert_eq!(
            ["200", "200k", "2M", "1_000", "0", "k", "18446744073709551615k"].map(|text| read_count(text).ok()),
            [Some(200), Some(200_000), Some(2_000_000), Some(1_000), None, None, None]
        );
    }
}
