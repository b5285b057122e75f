//! Callers that an OpenID Connect issuer vouches for: a signed token (JWT) with our audience.
//!
//! Which algorithms may sign is decided here and never by the token: signatures with a public key only,
//! and only of the kind of the key that the token names. What an unknown subject may do is a setting; without
//! it only subjects that the file of principals names are callers.

use std::sync::Arc;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::api::auth::AuthError;
use crate::api::auth::issuer::keys::Keys;
use crate::jobs::Jobs;

pub(crate) mod keys;

/// How far the issuer's clock and ours may be apart.
const CLOCK_SKEW_SECONDS: u64 = 60;
/// Longest subject that is taken.
const MAX_SUBJECT_BYTES: usize = 200;

/// Settings of the issuer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// The issuer, exactly as its tokens name it, e.g. `https://accounts.example.com`.
    pub issuer: String,
    /// What tokens for this server have as their audience.
    pub audience: String,
    /// Claim that names the caller; `sub`.
    #[serde(default = "sub")]
    pub claim: String,
    /// Patterns of repositories for callers that the file of principals does not name; none are callers
    /// when empty.
    #[serde(default)]
    pub repositories: Vec<String>,
}

fn sub() -> String {
    "sub".to_owned()
}

impl IssuerConfig {
    /// Returns everything that is wrong with the settings.
    pub(crate) fn validate(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if !keys::is_safe(&self.issuer) || self.issuer.contains(['?', '#']) {
            faults.push(format!(
                "the OIDC issuer `{}` must be an https address without query or fragment",
                self.issuer
            ));
        }
        if self.audience.is_empty() {
            faults.push("an OIDC issuer needs the audience that tokens for this server have".to_owned());
        }
        faults
    }
}

/// Checks tokens of one issuer.
#[derive(Debug)]
pub struct Issuer {
    config: IssuerConfig,
    keys: Arc<Keys>,
}

impl Issuer {
    /// Makes the check; keys are fetched when the first token comes.
    pub(crate) fn new(config: IssuerConfig, jobs: Jobs) -> Result<Self, Vec<String>> {
        let faults = config.validate();
        if !faults.is_empty() {
            return Err(faults);
        }
        let keys =
            Keys::new(&config.issuer, jobs).map_err(|error| vec![format!("no client for the OIDC issuer: {error}")])?;
        Ok(Self {
            config,
            keys: Arc::new(keys),
        })
    }

    /// Returns what unnamed callers may use; `None` when there are none.
    pub(crate) fn repositories(&self) -> Option<&[String]> {
        Some(self.config.repositories.as_slice()).filter(|patterns| !patterns.is_empty())
    }

    /// Returns whom a token is of. May wait for the issuer's keys, at most some seconds.
    pub(crate) async fn subject(&self, token: &str) -> Result<String, AuthError> {
        let header = decode_header(token).map_err(|_| AuthError::TokenRefused("it is no signed token"))?;
        check_header(&header)?;
        let key = self.keys.find(&header).await?;
        let mut validation = Validation::new(header.alg);
        validation.leeway = CLOCK_SKEW_SECONDS;
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.config.issuer]);
        validation.set_audience(&[&self.config.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        let claims = decode::<Map<String, Value>>(token, &key, &validation)
            .map_err(|error| AuthError::TokenRefused(refusal(error.kind())))?
            .claims;
        self.named(&claims)
    }

    fn named(&self, claims: &Map<String, Value>) -> Result<String, AuthError> {
        let subject = claims
            .get(&self.config.claim)
            .and_then(Value::as_str)
            .unwrap_or_default();
        let is_plain = !subject.is_empty()
            && subject.len() <= MAX_SUBJECT_BYTES
            && subject.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_plain {
            return Err(AuthError::TokenRefused(
                "its claim that names the caller is missing or not plain",
            ));
        }
        // Anyone can put an address into an account that never showed that it is theirs.
        if self.config.claim == "email" && claims.get("email_verified") != Some(&Value::Bool(true)) {
            return Err(AuthError::TokenRefused("its address is not verified"));
        }
        Ok(subject.to_owned())
    }
}

fn check_header(header: &Header) -> Result<(), AuthError> {
    match header.alg {
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => {
            return Err(AuthError::TokenRefused("it is not signed with a public key"));
        }
        Algorithm::ES256
        | Algorithm::ES384
        | Algorithm::RS256
        | Algorithm::RS384
        | Algorithm::RS512
        | Algorithm::PS256
        | Algorithm::PS384
        | Algorithm::PS512
        | Algorithm::EdDSA => {}
    }
    if header.crit.is_some() {
        return Err(AuthError::TokenRefused("it asks for an extension"));
    }
    Ok(())
}

fn refusal(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::ExpiredSignature => "it has expired",
        ErrorKind::ImmatureSignature => "it is not valid yet",
        ErrorKind::InvalidIssuer => "it is of another issuer",
        ErrorKind::InvalidAudience => "it is for another audience",
        ErrorKind::MissingRequiredClaim(_) => "it lacks its issuer, audience or expiry",
        ErrorKind::InvalidSignature => "its signature is wrong",
        _ => "it is not well-formed, or not signed by its key",
    }
}

#[cfg(test)]
mod tests;
