//! Who calls: by a bearer token (of the file of principals, or of an OIDC issuer), or by a client certificate.
//!
//! Without any of these a loopback server has one principal, `default`, who may do everything. The file
//! holds hashes, plain SHA-256 without salt, because our tokens are 32 random bytes and not passwords.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use http::{HeaderMap, header};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::api::auth::issuer::{Issuer, IssuerConfig};
use crate::api::auth::token_file::{Principal, TokenHash};
use crate::api::auth::token_source::TokenSource;
use crate::api::tls::CertificateNames;
use crate::jobs::Jobs;
use crate::orchestrator::Caller;
use crate::task::id::PrincipalId;

pub mod issuer;
pub mod token_file;
pub mod token_source;

/// Name of the one principal of a server without tokens.
pub const DEFAULT_PRINCIPAL: &str = "default";

/// Settings of authentication.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// File with the principals and what they are known by; none by default.
    pub token_file: Option<PathBuf>,
    /// Issuer whose tokens are taken; none by default.
    pub issuer: Option<IssuerConfig>,
    /// Serves anyone who can reach the port, also from other machines (`BACKSPACE_INSECURE_NO_AUTH`).
    pub insecure_no_auth: bool,
}

impl AuthConfig {
    /// Reads the token file and decides how callers are known; every fault is returned at once.
    ///
    /// The issuer's keys are fetched by jobs.
    pub fn build(&self, listen: SocketAddr, jobs: &Jobs) -> Result<Authenticator, Vec<String>> {
        if self.token_file.is_none() && self.issuer.is_none() {
            return match self.insecure_no_auth {
                true => Ok(Authenticator::Anyone),
                false if listen.ip().is_loopback() => Ok(Authenticator::Loopback),
                false => Err(vec![format!(
                    "{listen} can be reached from other machines and there is no token file; make one, listen on \
                     127.0.0.1, or set BACKSPACE_INSECURE_NO_AUTH=1"
                )]),
            };
        }
        let principals = self.token_file.clone().map(TokenSource::open).transpose();
        let issuer = self.issuer.clone();
        let issuer = issuer.map(|config| Issuer::new(config, jobs.clone())).transpose();
        match (principals, issuer) {
            (Ok(principals), Ok(issuer)) => {
                let is_nobody =
                    principals.is_none() && issuer.as_ref().is_some_and(|issuer| issuer.repositories().is_none());
                if is_nobody {
                    return Err(vec![
                        "an OIDC issuer alone lets nobody in: name its subjects in a file of principals, or say which \
                         repositories they may use"
                            .to_owned(),
                    ]);
                }
                Ok(Authenticator::Known(Box::new(KnownCallers { principals, issuer })))
            }
            (principals, issuer) => Err([principals.err(), issuer.err()]
                .into_iter()
                .flatten()
                .flatten()
                .collect()),
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
    /// It is not as the issuer's tokens for this server are.
    #[error("the token is refused: {0}")]
    TokenRefused(&'static str),
    /// The issuer vouches for somebody whom this server does not know.
    #[error("the token is good, and its subject is no principal of this server")]
    UnknownSubject,
    /// The issuer's keys are not known yet.
    #[error("the issuer's keys can't be fetched now; try again later")]
    NoKeys,
    /// The certificate is good, and none of its names is of a principal.
    #[error("the certificate is good, and none of its names is of a principal of this server")]
    UnknownCertificate,
    /// This server has no tokens and serves its own machine only.
    #[error("this server has no tokens and answers its own machine only")]
    NotLoopback,
}

/// What a request shows of its sender.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    /// The bearer token.
    pub(crate) token: Option<String>,
    /// The names in the certificate that the connection was made with.
    pub(crate) certificate: Option<Arc<CertificateNames>>,
    /// The other end of the connection.
    pub(crate) peer: SocketAddr,
}

impl Credentials {
    /// Reads what a request shows.
    pub(crate) fn new(headers: &HeaderMap, certificate: Option<Arc<CertificateNames>>, peer: SocketAddr) -> Self {
        Self {
            token: bearer_token(headers).map(str::to_owned),
            certificate,
            peer,
        }
    }
}

/// Knows callers.
#[derive(Debug)]
pub enum Authenticator {
    /// By what they show.
    Known(Box<KnownCallers>),
    /// As the default principal, from this machine only.
    Loopback,
    /// As the default principal, from anywhere.
    Anyone,
}

/// By what callers are known.
#[derive(Debug)]
pub struct KnownCallers {
    principals: Option<TokenSource>,
    issuer: Option<Issuer>,
}

impl Authenticator {
    /// Returns who sent a request. Waits for nothing but, now and then, an issuer's keys.
    pub(crate) async fn caller(&self, shown: &Credentials) -> Result<Caller, AuthError> {
        match self {
            Self::Known(known) => known.caller(shown).await,
            Self::Loopback if !shown.peer.ip().to_canonical().is_loopback() => Err(AuthError::NotLoopback),
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
            Self::Known(known) => known.principals(),
            Self::Loopback | Self::Anyone => Arc::default(),
        };
        principals
            .iter()
            .filter_map(|principal| Some((principal.caller.principal.clone(), principal.starts_per_minute?)))
            .collect()
    }
}

impl KnownCallers {
    fn principals(&self) -> Arc<Vec<Principal>> {
        self.principals
            .as_ref()
            .map(TokenSource::principals)
            .unwrap_or_default()
    }

    /// A token that is shown decides alone: one that is wrong is not made good by a certificate.
    async fn caller(&self, shown: &Credentials) -> Result<Caller, AuthError> {
        let principals = self.principals();
        let Some(token) = &shown.token else {
            let names = shown.certificate.as_ref().ok_or(AuthError::MissingToken)?;
            let is_named =
                |principal: &&Principal| principal.certificate_names.iter().any(|name| names.0.contains(name));
            let named = principals.iter().find(is_named).ok_or(AuthError::UnknownCertificate)?;
            return Ok(named.caller.clone());
        };
        if let Some(principal) = find(&principals, &hash_token(token)) {
            return Ok(principal.caller.clone());
        }
        // Ours have no dots, signed ones have two.
        match &self.issuer {
            Some(issuer) if token.contains('.') => {
                let subject = issuer.subject(token).await?;
                of_subject(&principals, issuer.repositories(), &subject)
            }
            _ => Err(AuthError::UnknownToken),
        }
    }
}

/// A name of the file can't have a colon, so no subject can take it.
fn of_subject(principals: &[Principal], repositories: Option<&[String]>, subject: &str) -> Result<Caller, AuthError> {
    let is_named = |principal: &&Principal| principal.oidc_subjects.iter().any(|known| known == subject);
    if let Some(principal) = principals.iter().find(is_named) {
        return Ok(principal.caller.clone());
    }
    let repositories = repositories.ok_or(AuthError::UnknownSubject)?;
    Ok(Caller {
        principal: PrincipalId::new(format!("oidc:{subject}")),
        requester: subject.to_owned(),
        repositories: Some(repositories.to_vec()),
    })
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
mod tests;
