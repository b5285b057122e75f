//! Who calls: static bearer tokens from a file that holds their hashes only.
//!
//! Without a file a loopback server has one principal, `default`, who may do everything. The hash is
//! plain SHA-256 and needs no salt, because tokens are 32 random bytes and not passwords.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use http::{HeaderMap, header};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::api::auth::token_file::{Principal, TokenHash};
use crate::api::auth::token_source::TokenSource;
use crate::orchestrator::Caller;
use crate::task::id::PrincipalId;

pub mod token_file;
pub mod token_source;

/// Name of the one principal of a server without tokens.
pub const DEFAULT_PRINCIPAL: &str = "default";

/// Settings of authentication.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// File with the principals and the hashes of their tokens; none by default.
    pub token_file: Option<PathBuf>,
    /// Serves anyone who can reach the port, also from other machines (`BACKSPACE_INSECURE_NO_AUTH`).
    pub insecure_no_auth: bool,
}

impl AuthConfig {
    /// Reads the token file and decides how callers are known; every fault is returned at once.
    pub fn build(&self, listen: SocketAddr) -> Result<Authenticator, Vec<String>> {
        match &self.token_file {
            Some(path) => Ok(Authenticator::Tokens(TokenSource::open(path.clone())?)),
            None if self.insecure_no_auth => Ok(Authenticator::Anyone),
            None if listen.ip().is_loopback() => Ok(Authenticator::Loopback),
            None => Err(vec![format!(
                "{listen} can be reached from other machines and there is no token file; make one, listen on \
                 127.0.0.1, or set BACKSPACE_INSECURE_NO_AUTH=1"
            )]),
        }
    }
}

/// Why nobody is calling. The text says what to send and never repeats what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// There is no token.
    #[error("a token is needed; send it as `authorization: Bearer <token>`")]
    MissingToken,
    /// There is one, of nobody.
    #[error("the token is not one of this server's")]
    UnknownToken,
    /// This server has no tokens and serves its own machine only.
    #[error("this server has no tokens and answers its own machine only")]
    NotLoopback,
}

/// Knows callers.
#[derive(Debug)]
pub enum Authenticator {
    /// By their tokens.
    Tokens(TokenSource),
    /// As the default principal, from this machine only.
    Loopback,
    /// As the default principal, from anywhere.
    Anyone,
}

impl Authenticator {
    /// Returns who sent a request.
    pub fn caller(&self, headers: &HeaderMap, peer: SocketAddr) -> Result<Caller, AuthError> {
        match self {
            Self::Tokens(source) => {
                let token = bearer_token(headers).ok_or(AuthError::MissingToken)?;
                let principals = source.principals();
                let principal = find(&principals, &hash_token(token)).ok_or(AuthError::UnknownToken)?;
                Ok(principal.caller.clone())
            }
            Self::Loopback if !peer.ip().to_canonical().is_loopback() => Err(AuthError::NotLoopback),
            Self::Loopback | Self::Anyone => Ok(Caller {
                principal: PrincipalId::new(DEFAULT_PRINCIPAL),
                requester: DEFAULT_PRINCIPAL.into(),
                repositories: None,
            }),
        }
    }

    /// Returns the principals that have a rate of their own, as of the start.
    pub fn own_rates(&self) -> HashMap<PrincipalId, u32> {
        let principals = match self {
            Self::Tokens(source) => source.principals(),
            Self::Loopback | Self::Anyone => Arc::default(),
        };
        principals
            .iter()
            .filter_map(|principal| Some((principal.caller.principal.clone(), principal.starts_per_minute?)))
            .collect()
    }
}

/// Returns what the token file holds for a token.
pub fn hash_token(token: &str) -> TokenHash {
    TokenHash(Sha256::digest(token.as_bytes()).into())
}

fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Looks at every hash, so that the time taken tells nothing about which one is near.
fn find<'a>(principals: &'a [Principal], hash: &TokenHash) -> Option<&'a Principal> {
    let mut found = None;
    for principal in principals {
        for known in &principal.tokens {
            if bool::from(known.0.ct_eq(&hash.0)) {
                found = Some(principal);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(ip: &str) -> SocketAddr {
        SocketAddr::new(ip.parse().unwrap(), 1)
    }

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())])
    }

    #[test]
    fn a_token_names_its_principal_and_nothing_else_does() {
        let text = format!(
            "[[principal]]\nname = \"alice\"\ntoken_sha256 = [\"{}\", \"{}\"]\nrequester = \"Alice <a@b.test>\"\n\
             repositories = [\"https://github.com/octo/*\"]\nstarts_per_minute = 3\n\
             [[principal]]\nname = \"bob\"\ntoken_sha256 = [\"{}\"]\n",
            hash_token("old"),
            hash_token("new"),
            hash_token("other"),
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        std::fs::write(&path, text).unwrap();
        let authenticator = Authenticator::Tokens(TokenSource::open(path).unwrap());
        let alice = Caller {
            principal: PrincipalId::new("alice"),
            requester: "Alice <a@b.test>".into(),
            repositories: Some(vec!["https://github.com/octo/*".into()]),
        };
        for value in ["Bearer old", "bearer new", "BEARER  new "] {
            assert_eq!(
                authenticator.caller(&headers(value), peer("10.0.0.1")),
                Ok(alice.clone()),
                "{value}"
            );
        }
        let bob = authenticator
            .caller(&headers("Bearer other"), peer("10.0.0.1"))
            .unwrap();
        assert_eq!((bob.principal.as_str(), bob.repositories), ("bob", Some(vec![])));
        assert_eq!(
            authenticator.own_rates(),
            HashMap::from([(PrincipalId::new("alice"), 3)])
        );
        for (value, error) in [
            ("Bearer nobody", AuthError::UnknownToken),
            ("Bearer ", AuthError::MissingToken),
            ("Basic old", AuthError::MissingToken),
            ("old", AuthError::MissingToken),
        ] {
            assert_eq!(
                authenticator.caller(&headers(value), peer("127.0.0.1")),
                Err(error),
                "{value}"
            );
        }
        assert_eq!(
            authenticator.caller(&HeaderMap::new(), peer("127.0.0.1")),
            Err(AuthError::MissingToken)
        );
    }

    #[test]
    fn without_tokens_only_the_own_machine_is_served_unless_said_otherwise() {
        let none = HeaderMap::new();
        for ip in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            let caller = Authenticator::Loopback.caller(&none, peer(ip)).unwrap();
            assert_eq!(
                (caller.principal.as_str(), caller.repositories),
                (DEFAULT_PRINCIPAL, None)
            );
        }
        assert_eq!(
            Authenticator::Loopback.caller(&none, peer("10.0.0.1")),
            Err(AuthError::NotLoopback)
        );
        assert!(Authenticator::Anyone.caller(&none, peer("10.0.0.1")).is_ok());
    }

    #[test]
    fn a_server_that_others_can_reach_needs_tokens_or_a_word() {
        let listen: SocketAddr = "0.0.0.0:8000".parse().unwrap();
        assert_eq!(AuthConfig::default().build(listen).unwrap_err().len(), 1);
        let insecure = AuthConfig {
            insecure_no_auth: true,
            ..AuthConfig::default()
        };
        assert!(matches!(insecure.build(listen), Ok(Authenticator::Anyone)));
        let loopback: SocketAddr = "127.0.0.1:0".parse().unwrap();
        assert!(matches!(
            AuthConfig::default().build(loopback),
            Ok(Authenticator::Loopback)
        ));
        let missing = AuthConfig {
            token_file: Some("/nonexistent/tokens.toml".into()),
            ..AuthConfig::default()
        };
        assert_eq!(missing.build(loopback).unwrap_err().len(), 1);
    }
}
