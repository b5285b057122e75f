//! Which hosts and origins a browser may reach this server by.
//!
//! Without tokens, being able to reach the port is the only right there is, and any web page that the
//! user visits can reach 127.0.0.1. DNS rebinding gives the page's own name to this address, so the
//! `Host` must be one we know; cross-site requests carry an `Origin`, which must be ours or configured.
//! With a token both checks are off: a page has none, and there are no cookies. A client certificate is
//! sent by a browser without being asked, as a cookie is, so the `Origin` counts there; the `Host` does
//! not, since a page's own name is not in this server's certificate.

use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Uri, header};
use serde::Deserialize;

use crate::api::edge::EdgeError;

/// Settings of what browsers may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OriginConfig {
    /// Origins whose pages may call this server (CORS), e.g. `https://tools.example.com`; none by default.
    pub allowed_origins: Vec<String>,
    /// Further host names by which a server without tokens may be addressed; loopback names always are.
    pub allowed_hosts: Vec<String>,
}

impl OriginConfig {
    /// Returns everything that is wrong with the settings.
    pub fn validate(&self) -> Vec<String> {
        let bad = self.allowed_origins.iter().filter(|origin| {
            !(origin.starts_with("http://") || origin.starts_with("https://"))
                || origin.matches('/').count() != 2
                || HeaderValue::from_str(origin).is_err()
        });
        bad.map(|origin| format!("allowed_origins: `{origin}` is not an origin like https://host or http://host:port"))
            .collect()
    }
}

/// By what a request's caller is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// By a token; where a request comes from does not matter.
    Token,
    /// By a client certificate, or by nothing.
    Certificate,
    /// By reaching the port.
    Reachability,
}

/// Decides on the `Host` and `Origin` of a request.
#[derive(Debug)]
pub(crate) struct OriginPolicy {
    config: OriginConfig,
}

impl OriginPolicy {
    /// Makes the policy.
    pub(crate) fn new(config: OriginConfig) -> Self {
        Self { config }
    }

    /// Refuses a request that a foreign page could have made.
    pub(crate) fn check(&self, uri: &Uri, headers: &HeaderMap, proof: Proof) -> Result<(), EdgeError> {
        let checks_host = match proof {
            Proof::Token => return Ok(()),
            Proof::Certificate => false,
            Proof::Reachability => true,
        };
        let host = match (uri.authority(), headers.get(header::HOST)) {
            (Some(authority), _) => Some(authority.clone()),
            (None, Some(value)) => value.to_str().ok().and_then(|host| host.parse::<Authority>().ok()),
            (None, None) => None,
        };
        let Some(host) = host.filter(|host| !checks_host || self.is_known(host.host())) else {
            return Err(EdgeError::OriginDenied);
        };
        match headers.get(header::ORIGIN) {
            None => Ok(()),
            Some(origin) if self.may_share(origin) || is_same(origin, &host) => Ok(()),
            Some(_) => Err(EdgeError::OriginDenied),
        }
    }

    /// Returns whether an origin's pages may read answers.
    pub(crate) fn may_share(&self, origin: &HeaderValue) -> bool {
        self.config
            .allowed_origins
            .iter()
            .any(|allowed| allowed.as_bytes() == origin.as_bytes())
    }

    fn is_known(&self, host: &str) -> bool {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost")
            || bare.parse::<std::net::IpAddr>().is_ok()
            || self
                .config
                .allowed_hosts
                .iter()
                .any(|known| known.eq_ignore_ascii_case(host))
    }
}

/// An address can't be rebound, so a page served from it is this server's own.
fn is_same(origin: &HeaderValue, host: &Authority) -> bool {
    let origin = origin.to_str().unwrap_or_default();
    let rest = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    rest.is_some_and(|rest| rest.eq_ignore_ascii_case(host.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(proof: Proof, host: &str, origin: Option<&str>) -> bool {
        let config = OriginConfig {
            allowed_origins: vec!["https://tools.example.com".into()],
            allowed_hosts: vec!["backspace.internal".into()],
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        OriginPolicy::new(config)
            .check(&Uri::from_static("/api/v1/tasks"), &headers, proof)
            .is_ok()
    }

    #[test]
    fn without_tokens_foreign_hosts_and_origins_are_refused() {
        for (host, origin) in [
            ("localhost:8000", None),
            ("127.0.0.1:8000", None),
            ("[::1]:8000", None),
            ("backspace.internal:8000", None),
            ("localhost:8000", Some("http://localhost:8000")),
            ("localhost:8000", Some("https://tools.example.com")),
        ] {
            assert!(allowed(Proof::Reachability, host, origin), "{host} {origin:?}");
        }
        for (host, origin) in [
            ("evil.test:8000", None),
            ("localhost.evil.test", None),
            ("localhost:8000", Some("http://evil.test")),
            ("localhost:8000", Some("null")),
            ("localhost:8000", Some("http://localhost:9000")),
            ("evil.test", Some("http://evil.test")),
        ] {
            assert!(!allowed(Proof::Reachability, host, origin), "{host} {origin:?}");
            assert!(allowed(Proof::Token, host, origin), "{host} {origin:?}");
        }
    }

    #[test]
    fn a_certificate_is_no_leave_for_pages_of_others() {
        for (host, origin, expected) in [
            ("any.test:8000", None, true),
            ("any.test:8000", Some("https://any.test:8000"), true),
            ("any.test:8000", Some("https://tools.example.com"), true),
            ("any.test:8000", Some("https://evil.test"), false),
            ("any.test:8000", Some("null"), false),
        ] {
            assert_eq!(allowed(Proof::Certificate, host, origin), expected, "{host} {origin:?}");
        }
    }

    #[test]
    fn settings_that_are_no_origins_are_named() {
        let config = OriginConfig {
            allowed_origins: vec!["https://a.test".into(), "*".into(), "https://a.test/x".into()],
            allowed_hosts: vec![],
        };
        assert_eq!(config.validate().len(), 2);
    }
}
