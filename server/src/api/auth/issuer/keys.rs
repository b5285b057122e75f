//! The public keys of an issuer: found by discovery, kept, and asked for again when a token names a new one.
//!
//! A stranger chooses the key id in a token, so an unknown id asks the issuer at most twice a minute. Keys
//! that were fetched go on being used for a day when the issuer does not answer: its outage is not ours.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, PublicKeyUse};
use jsonwebtoken::{DecodingKey, Header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;

use crate::api::auth::AuthError;
use crate::jobs::Jobs;

/// Age at which keys are fetched again, and the age at which they are not used any more.
const FRESH: Duration = Duration::from_secs(60 * 60);
const USABLE: Duration = Duration::from_secs(24 * 60 * 60);
/// Least time between two fetches.
const PAUSE: Duration = Duration::from_secs(30);
/// Limit of one request to the issuer.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);
/// Most bytes of an answer of the issuer, and most keys.
const MAX_ANSWER_BYTES: usize = 256 * 1024;
const MAX_KEYS: usize = 100;

/// Keys of one issuer.
#[derive(Debug)]
pub(crate) struct Keys {
    issuer: String,
    client: reqwest::Client,
    kept: Mutex<Kept>,
    fetching: Arc<tokio::sync::Mutex<()>>,
    jobs: Jobs,
}

#[derive(Debug, Default)]
struct Kept {
    set: Arc<KeySet>,
    fetched: Option<Instant>,
    tried: Option<Instant>,
}

/// Keys by their id; the last one without an id under the empty one.
#[derive(Debug, Default)]
struct KeySet(HashMap<String, Key>);

struct Key {
    key: DecodingKey,
    /// The one algorithm that it is for, when the issuer says so.
    algorithm: Option<String>,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Key({:?})", self.algorithm)
    }
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct KeyList {
    keys: Vec<Value>,
}

/// Why the issuer's keys could not be fetched.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("{address} can't be reached")]
    Unreachable {
        address: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("{address} did not answer with the JSON of a key set or a discovery document")]
    Malformed { address: String },
    #[error("{address} names another issuer, or an address for its keys that is not https")]
    Foreign { address: String },
}

impl Keys {
    /// Makes an empty set; nothing is fetched.
    pub(crate) fn new(issuer: &str, jobs: Jobs) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .timeout(REQUEST_LIMIT)
            .connect_timeout(REQUEST_LIMIT)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self {
            issuer: issuer.to_owned(),
            client,
            kept: Mutex::default(),
            fetching: Arc::default(),
            jobs,
        })
    }

    /// Returns the key that a token says it is signed with.
    pub(crate) async fn find(self: &Arc<Self>, header: &Header) -> Result<DecodingKey, AuthError> {
        let state = |keys: &Self| {
            let kept = keys.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let age = kept.fetched.map(|fetched| fetched.elapsed());
            let may_fetch = kept.tried.is_none_or(|tried| tried.elapsed() >= PAUSE);
            (Arc::clone(&kept.set), age, may_fetch)
        };
        let (set, age, may_fetch) = state(self);
        let found = set.find(header);
        let is_fresh = age.is_some_and(|age| age < FRESH);
        if !may_fetch || (found.is_some() && is_fresh) {
            return found
                .filter(|_| age.is_some_and(|age| age < USABLE))
                .ok_or_else(|| missing(age));
        }
        // Whoever comes second takes what the first one fetched. A job does that: a caller who goes away must not take
        // the attempt along, or each of a stranger's calls would be one more.
        match Arc::clone(&self.fetching).try_lock_owned() {
            Ok(turn) => {
                if state(self).2 {
                    let keys = Arc::clone(self);
                    let fetched = self.jobs.spawn("issuer's keys", async move {
                        keys.fetch().await;
                        drop(turn);
                    });
                    // One that panicked has fetched nothing, which the keys show.
                    let _ = fetched.await;
                }
            }
            Err(_) => drop(self.fetching.lock().await),
        }
        let (set, age, _) = state(self);
        let usable = age.is_some_and(|age| age < USABLE);
        set.find(header).filter(|_| usable).ok_or_else(|| missing(age))
    }

    async fn fetch(&self) {
        let fetched = self.fetched().await;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.tried = Some(Instant::now());
        match fetched {
            Ok(set) => {
                tracing::info!(issuer = %self.issuer, keys = set.0.len(), "the issuer's keys were fetched");
                kept.set = Arc::new(set);
                kept.fetched = kept.tried;
            }
            Err(error) => tracing::error!(
                issuer = %self.issuer,
                error = &error as &dyn std::error::Error,
                "the issuer's keys can't be fetched"
            ),
        }
    }

    async fn fetched(&self) -> Result<KeySet, FetchError> {
        let address = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let discovery: Discovery = self.get(&address).await?;
        if discovery.issuer != self.issuer || !is_safe(&discovery.jwks_uri) {
            return Err(FetchError::Foreign { address });
        }
        let list: KeyList = self.get(&discovery.jwks_uri).await?;
        Ok(KeySet::of(list))
    }

    async fn get<T: DeserializeOwned>(&self, address: &str) -> Result<T, FetchError> {
        let unreachable = |source| FetchError::Unreachable {
            address: address.to_owned(),
            source,
        };
        let malformed = || FetchError::Malformed {
            address: address.to_owned(),
        };
        let answer = self.client.get(address).send().await;
        let mut answer = answer
            .and_then(reqwest::Response::error_for_status)
            .map_err(unreachable)?;
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > MAX_ANSWER_BYTES {
                return Err(malformed());
            }
        }
        serde_json::from_slice(&bytes).map_err(|_| malformed())
    }
}

fn missing(age: Option<Duration>) -> AuthError {
    match age {
        Some(age) if age < USABLE => AuthError::TokenRefused("its key is none of the issuer's"),
        _ => AuthError::NoKeys,
    }
}

impl KeySet {
    /// Takes what can be used: keys of a kind that we do not know, or that are for something else, are left out.
    fn of(list: KeyList) -> Self {
        let usable = list.keys.into_iter().take(MAX_KEYS).filter_map(|value| {
            let jwk: Jwk = serde_json::from_value(value).ok()?;
            let signs = jwk
                .common
                .public_key_use
                .as_ref()
                .is_none_or(|r#use| *r#use == PublicKeyUse::Signature);
            // A shared secret in a public document is nobody's.
            let is_public = !matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_));
            let key = Key {
                key: DecodingKey::from_jwk(&jwk).ok()?,
                algorithm: jwk.common.key_algorithm.map(|algorithm| algorithm.to_string()),
            };
            (signs && is_public).then_some((jwk.common.key_id.unwrap_or_default(), key))
        });
        Self(usable.collect())
    }

    /// Finds a key by its id, or the only one for a token that names none; of the token's kind in any case.
    fn find(&self, header: &Header) -> Option<DecodingKey> {
        let found = match &header.kid {
            Some(id) => self.0.get(id),
            None if self.0.len() == 1 => self.0.values().next(),
            None => None,
        }?;
        let named = format!("{:?}", header.alg);
        let is_for_it = found.algorithm.as_ref().is_none_or(|algorithm| *algorithm == named);
        (is_for_it && found.key.family() == header.alg.family()).then(|| found.key.clone())
    }
}

/// Returns whether keys may be fetched from an address: over TLS, or from this machine, for tests and sidecars.
pub(super) fn is_safe(address: &str) -> bool {
    let Ok(uri) = address.parse::<http::Uri>() else {
        return false;
    };
    match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(_)) => true,
        (Some("http"), Some(host)) => {
            let bare = host.trim_start_matches('[').trim_end_matches(']');
            bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
        }
        _ => false,
    }
}
