//! What an answer of GitHub means when it is no success, by status, headers and, last, its words.
//!
//! Waiting is judged first: GitHub says "forbidden" both for "never" and for "not now", and a login
//! that takes the second for the first, or goes on calling, is banned.

use std::time::Duration;

use http::StatusCode;
use http::header::{DATE, HeaderMap, RETRY_AFTER};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use crate::forge::ForgeError;
use crate::forge::git::clean_line;

/// Wait when GitHub demands one and does not say how long.
const LEAST_WAIT: Duration = Duration::from_secs(60);

/// Longest wait that is believed; the longest window is an hour.
const LONGEST_WAIT: Duration = Duration::from_secs(2 * 3600);

/// Most characters of GitHub's own words that are kept.
const MESSAGE_CHARS: usize = 500;

/// What a call can fail with.
#[derive(Debug)]
pub(super) enum Fault {
    /// 404 or 410: it does not exist, or the login can't see it.
    NotFound,
    /// 422: the request as such.
    Invalid(Refusal),
    /// Anything that is the same whatever was asked.
    Forge(ForgeError),
}

/// Why GitHub refused a request as such.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Refusal {
    /// All that it said, in one line.
    pub(super) message: String,
}

impl Refusal {
    /// Returns whether a pull request of the same head and base is open.
    pub(super) fn says_exists(&self) -> bool {
        self.says("pull request already exists")
    }

    /// Returns whether the repository can't have drafts.
    pub(super) fn says_no_drafts(&self) -> bool {
        self.says("draft pull requests are not supported")
    }

    fn says(&self, words: &str) -> bool {
        self.message.to_ascii_lowercase().contains(words)
    }
}

impl Fault {
    /// Makes the port's error of it; `what` is what was looked for.
    pub(super) fn into_forge(self, what: impl FnOnce() -> String, forge: &str) -> ForgeError {
        match self {
            Self::NotFound => ForgeError::NotFound {
                what: what(),
                forge: forge.to_owned(),
            },
            Self::Invalid(Refusal { message }) => ForgeError::Rejected {
                forge: forge.to_owned(),
                message,
            },
            Self::Forge(error) => error,
        }
    }
}

/// The body of an answer that is no success.
#[derive(Debug, Default, Deserialize)]
struct Body {
    #[serde(default)]
    message: String,
    #[serde(default)]
    errors: Vec<serde_json::Value>,
}

/// Returns how long a login must not call after an answer, whatever else it says.
pub(super) fn demanded_wait(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    let is_spent = number("x-ratelimit-remaining") == Some(0);
    let until_reset = || {
        // By GitHub's clock, not by ours.
        let now = date(headers).unwrap_or_else(|| OffsetDateTime::now_utc().unix_timestamp());
        let reset = i64::try_from(number("x-ratelimit-reset")?).ok()?;
        Some(Duration::from_secs(
            u64::try_from(reset.saturating_sub(now)).unwrap_or(0),
        ))
    };
    if status.is_success() {
        return if is_spent {
            until_reset().map(|wait| wait.min(LONGEST_WAIT))
        } else {
            None
        };
    }
    if !matches!(status.as_u16(), 403 | 429 | 503) {
        return None;
    }
    let retry_after = number(RETRY_AFTER.as_str()).map(Duration::from_secs);
    let is_limit = status == StatusCode::TOO_MANY_REQUESTS
        || (status == StatusCode::FORBIDDEN
            && (is_spent || read(body).message.to_ascii_lowercase().contains("rate limit")));
    let wait = match retry_after {
        Some(wait) => Some(wait.max(Duration::from_secs(1))),
        None if is_spent && is_limit => until_reset(),
        None => None,
    };
    (is_limit || retry_after.is_some()).then(|| wait.unwrap_or(LEAST_WAIT).min(LONGEST_WAIT))
}

/// Classifies an answer that is no success, whose wait was judged before.
pub(super) fn classify(forge: &str, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Fault {
    let forge = forge.to_owned();
    let message = words(status, body);
    match status.as_u16() {
        401 => Fault::Forge(ForgeError::Unauthenticated { forge }),
        403 => {
            let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
            let mut message = message;
            if header("x-github-sso").is_some_and(|value| value.contains("required")) {
                message.push_str("; authorize the token for the organization's single sign-on");
            } else if let Some(wanted) = header("x-accepted-github-permissions").filter(|wanted| !wanted.is_empty()) {
                message.push_str(&format!("; the credential needs the permission {}", clean_line(wanted)));
            }
            Fault::Forge(ForgeError::Forbidden { forge, message })
        }
        404 | 410 => Fault::NotFound,
        422 => Fault::Invalid(Refusal { message }),
        300..=399 => Fault::Forge(ForgeError::Rejected {
            forge,
            message: "it redirects to another host, which is not followed".into(),
        }),
        408 | 500..=599 => Fault::Forge(ForgeError::Unavailable {
            forge,
            source: format!("status {}: {message}", status.as_u16()).into(),
        }),
        _ => Fault::Forge(ForgeError::Rejected { forge, message }),
    }
}

fn read(body: &[u8]) -> Body {
    serde_json::from_slice(body).unwrap_or_default()
}

/// Returns GitHub's words in one plain line; those of a web page are not repeated.
fn words(status: StatusCode, body: &[u8]) -> String {
    let body = read(body);
    let mut words = clean_line(&body.message);
    if words.is_empty() {
        words = format!("status {}", status.as_u16());
    }
    let detail = |error: &serde_json::Value| {
        let text = |name: &str| error.get(name).and_then(serde_json::Value::as_str);
        match (error.as_str().or_else(|| text("message")), text("field"), text("code")) {
            (Some(message), _, _) => clean_line(message),
            (None, Some(field), Some(code)) => format!("{} is {}", clean_line(field), clean_line(code)),
            _ => String::new(),
        }
    };
    for detail in body.errors.iter().map(detail).filter(|detail| !detail.is_empty()) {
        words.push_str(": ");
        words.push_str(&detail);
    }
    words.chars().take(MESSAGE_CHARS).collect()
}

fn date(headers: &HeaderMap) -> Option<i64> {
    let text = headers.get(DATE)?.to_str().ok()?;
    Some(OffsetDateTime::parse(text.trim(), &Rfc2822).ok()?.unix_timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    fn wait(status: u16, pairs: &[(&'static str, &str)], body: &str) -> Option<u64> {
        demanded_wait(StatusCode::from_u16(status).unwrap(), &headers(pairs), body.as_bytes())
            .map(|wait| wait.as_secs())
    }

    #[test]
    fn waits_are_read_from_what_github_says() {
        const DAY: (&str, &str) = ("date", "Tue, 24 Nov 2026 12:00:00 GMT");
        // 900 s after that date.
        const RESET: (&str, &str) = ("x-ratelimit-reset", "1795522500");
        const SPENT: (&str, &str) = ("x-ratelimit-remaining", "0");
        let secondary = r#"{"message":"You have exceeded a secondary rate limit."}"#;
        for (status, pairs, body, expected) in [
            (200, vec![DAY, RESET, ("x-ratelimit-remaining", "12")], "{}", None),
            (200, vec![DAY, RESET, SPENT], "{}", Some(900)),
            (403, vec![DAY, RESET, SPENT], "{}", Some(900)),
            (429, vec![("retry-after", "60"), DAY, RESET, SPENT], "{}", Some(60)),
            (403, vec![("retry-after", "7")], "{}", Some(7)),
            (403, vec![], secondary, Some(60)),
            (429, vec![], "<html>", Some(60)),
            (429, vec![("retry-after", "soon")], "", Some(60)),
            (429, vec![("retry-after", "999999")], "", Some(7200)),
            (503, vec![("retry-after", "9")], "", Some(9)),
            (503, vec![], "", None),
            (403, vec![], r#"{"message":"Must have admin rights"}"#, None),
            (404, vec![SPENT, RESET], "", None),
        ] {
            assert_eq!(wait(status, &pairs, body), expected, "{status} {pairs:?} {body}");
        }
    }

    #[test]
    fn refusals_are_told_in_one_plain_line() {
        let body = r#"{"message":"Validation Failed","errors":[{"resource":"PullRequest","code":"custom",
            "message":"A pull request already exists for octo:x."},{"resource":"PullRequest","field":"base","code":"invalid"},"plain\u202e"]}"#;
        let fault = classify(
            "github.com",
            StatusCode::UNPROCESSABLE_ENTITY,
            &HeaderMap::new(),
            body.as_bytes(),
        );
        let Fault::Invalid(refusal) = fault else {
            panic!("{fault:?}")
        };
        assert_eq!(
            refusal.message,
            "Validation Failed: A pull request already exists for octo:x.: base is invalid: plain"
        );
        assert!(refusal.says_exists() && !refusal.says_no_drafts());
    }

    #[test]
    fn every_status_has_its_class() {
        let class = |status: u16, pairs: &[(&'static str, &str)]| {
            let status = StatusCode::from_u16(status).unwrap();
            let fault = classify("github.com", status, &headers(pairs), br#"{"message":"Words"}"#);
            let error = fault.into_forge(|| "it".to_owned(), "github.com");
            (error.to_string(), error.retry().is_some())
        };
        for (status, expected) in [
            (401, ("github.com did not accept the credential", false)),
            (403, ("github.com does not allow this: Words", false)),
            (404, ("it was not found at github.com", false)),
            (410, ("it was not found at github.com", false)),
            (422, ("github.com refused the request: Words", false)),
            (451, ("github.com refused the request: Words", false)),
            (
                302,
                (
                    "github.com refused the request: it redirects to another host, which is not followed",
                    false,
                ),
            ),
            (500, ("github.com is unavailable", true)),
            (502, ("github.com is unavailable", true)),
        ] {
            assert_eq!(class(status, &[]), (expected.0.to_owned(), expected.1));
        }
        assert_eq!(
            class(403, &[("x-accepted-github-permissions", "pull_requests=write")]).0,
            "github.com does not allow this: Words; the credential needs the permission pull_requests=write"
        );
        assert!(
            class(403, &[("x-github-sso", "required; url=https://x")])
                .0
                .ends_with("single sign-on")
        );
    }
}
