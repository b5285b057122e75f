//! A fake issuer over HTTP, real keys, and tokens that are wrong in one way each.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{EncodingKey, encode, get_current_timestamp};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::json;

use super::*;
use crate::jobs::Jobs;

const AUDIENCE: &str = "backspace";

/// A signing key, and its public half as an issuer publishes it.
struct SigningKey {
    id: &'static str,
    algorithm: Algorithm,
    private: EncodingKey,
    public: Value,
    public_pem: String,
}

impl SigningKey {
    fn new(id: &'static str, algorithm: Algorithm) -> Self {
        let pair = match algorithm {
            Algorithm::RS256 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap(),
            _ => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(),
        };
        let pem = pair.serialize_pem();
        let private = match algorithm {
            Algorithm::RS256 => EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(),
            _ => EncodingKey::from_ec_pem(pem.as_bytes()).unwrap(),
        };
        let mut jwk = Jwk::from_encoding_key(&private, algorithm).unwrap();
        jwk.common.key_id = Some(id.to_owned());
        Self {
            id,
            algorithm,
            private,
            public: serde_json::to_value(jwk).unwrap(),
            public_pem: pair.public_key_pem(),
        }
    }

    fn sign(&self, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(self.id.to_owned());
        encode(&header, claims, &self.private).unwrap()
    }
}

#[derive(Clone, Default)]
struct Published {
    keys: Arc<Mutex<Vec<Value>>>,
    fetches: Arc<AtomicUsize>,
    /// How often the discovery document was asked for, and a gate before its answer.
    asked: Arc<AtomicUsize>,
    shut: Arc<tokio::sync::Mutex<()>>,
    /// What the discovery document says instead of the truth.
    issuer: Arc<Mutex<Option<String>>>,
}

struct FakeIssuer {
    address: SocketAddr,
    published: Published,
    _jobs: Jobs,
}

impl FakeIssuer {
    async fn start(keys: &[&SigningKey]) -> Self {
        let published = Published::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let discovery = move |State(published): State<Published>| async move {
            published.asked.fetch_add(1, Ordering::Relaxed);
            drop(published.shut.lock().await);
            let claimed = published.issuer.lock().unwrap().clone();
            let issuer = claimed.unwrap_or_else(|| format!("http://{address}"));
            Json(json!({"issuer": issuer, "jwks_uri": format!("http://{address}/keys")}))
        };
        let keys_of = |State(published): State<Published>| async move {
            published.fetches.fetch_add(1, Ordering::Relaxed);
            Json(json!({"keys": *published.keys.lock().unwrap()}))
        };
        let routes = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/keys", get(keys_of))
            .with_state(published.clone());
        let jobs = Jobs::new();
        jobs.spawn("issuer", async move { axum::serve(listener, routes).await });
        let issuer = Self {
            address,
            published,
            _jobs: jobs,
        };
        issuer.publish(keys);
        issuer
    }

    fn publish(&self, keys: &[&SigningKey]) {
        *self.published.keys.lock().unwrap() = keys.iter().map(|key| key.public.clone()).collect();
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn fetches(&self) -> usize {
        self.published.fetches.load(Ordering::Relaxed)
    }

    fn client(&self, claim: &str) -> Issuer {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let config = IssuerConfig {
            issuer: self.url(),
            audience: AUDIENCE.into(),
            claim: claim.into(),
            repositories: vec![],
        };
        Issuer::new(config, self._jobs.clone()).unwrap()
    }

    fn claims(&self) -> Value {
        let now = get_current_timestamp();
        json!({"iss": self.url(), "aud": ["other", AUDIENCE], "sub": "ann", "exp": now + 300, "nbf": now, "iat": now})
    }
}

/// Lets time pass for the keys, and for nothing that is on the wire.
async fn pass(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

/// Puts a claim in another way; `null` takes it away.
fn but(mut claims: Value, name: &str, value: Value) -> Value {
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value;
    }
    claims
}

#[tokio::test]
async fn a_token_is_taken_and_each_that_is_wrong_in_one_way_is_refused() {
    let key = SigningKey::new("k1", Algorithm::ES256);
    let fake = FakeIssuer::start(&[&key]).await;
    let issuer = fake.client("sub");
    let now = get_current_timestamp();
    assert_eq!(issuer.subject(&key.sign(&fake.claims())).await, Ok("ann".to_owned()));
    // Within the skew of clocks.
    let late = but(fake.claims(), "exp", json!(now - 30));
    assert_eq!(issuer.subject(&key.sign(&late)).await, Ok("ann".to_owned()));
    for (name, value, words) in [
        ("exp", json!(now - 120), "it has expired"),
        ("nbf", json!(now + 120), "it is not valid yet"),
        ("iss", json!("https://evil.test"), "it is of another issuer"),
        ("aud", json!("other"), "it is for another audience"),
        ("exp", Value::Null, "it lacks its issuer, audience or expiry"),
        ("iss", Value::Null, "it lacks its issuer, audience or expiry"),
        ("aud", Value::Null, "it lacks its issuer, audience or expiry"),
        (
            "sub",
            Value::Null,
            "its claim that names the caller is missing or not plain",
        ),
        (
            "sub",
            json!("a b"),
            "its claim that names the caller is missing or not plain",
        ),
        (
            "sub",
            json!(7),
            "its claim that names the caller is missing or not plain",
        ),
    ] {
        let token = key.sign(&but(fake.claims(), name, value.clone()));
        let refused = issuer.subject(&token).await;
        assert_eq!(refused, Err(AuthError::TokenRefused(words)), "{name}={value}");
    }
    assert_eq!(fake.fetches(), 1);
}

#[tokio::test]
async fn no_token_chooses_its_own_algorithm_or_key() {
    let [rsa, ec] = [
        SigningKey::new("rsa", Algorithm::RS256),
        SigningKey::new("ec", Algorithm::ES256),
    ];
    let fake = FakeIssuer::start(&[&rsa, &ec]).await;
    let issuer = fake.client("sub");
    assert_eq!(issuer.subject(&rsa.sign(&fake.claims())).await, Ok("ann".to_owned()));
    assert_eq!(issuer.subject(&ec.sign(&fake.claims())).await, Ok("ann".to_owned()));

    let refused = async |token: &str| match issuer.subject(token).await {
        Err(AuthError::TokenRefused(words)) => words,
        other => panic!("{other:?}: {token}"),
    };
    // The public key as the secret of an HMAC: the classic confusion.
    let mut confused = Header::new(Algorithm::HS256);
    confused.kid = Some("rsa".into());
    let secret = EncodingKey::from_secret(rsa.public_pem.as_bytes());
    let token = encode(&confused, &fake.claims(), &secret).unwrap();
    assert_eq!(refused(&token).await, "it is not signed with a public key");

    let encoded =
        |value: &Value| base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, value.to_string());
    let unsigned = format!("{}.{}.", encoded(&json!({"alg": "none"})), encoded(&fake.claims()));
    assert_eq!(refused(&unsigned).await, "it is no signed token");

    // Of one key, with the name of another; and by a key that nobody published.
    let mut named = Header::new(Algorithm::ES256);
    named.kid = Some("rsa".into());
    let token = encode(&named, &fake.claims(), &ec.private).unwrap();
    assert_eq!(refused(&token).await, "its key is none of the issuer's");
    let stranger = SigningKey::new("ec", Algorithm::ES256);
    assert_eq!(refused(&stranger.sign(&fake.claims())).await, "its signature is wrong");

    let mut extended = Header::new(Algorithm::ES256);
    (extended.kid, extended.crit) = (Some("ec".into()), Some(vec!["exp".into()]));
    let token = encode(&extended, &fake.claims(), &ec.private).unwrap();
    assert_eq!(refused(&token).await, "it asks for an extension");
    let good = ec.sign(&fake.claims());
    assert_eq!(refused(&good.replace('.', "..")).await, "it is no signed token");
}

#[tokio::test]
async fn keys_are_rotated_without_a_gap_and_strangers_do_not_make_us_ask_again_and_again() {
    let [old, new] = [
        SigningKey::new("old", Algorithm::ES256),
        SigningKey::new("new", Algorithm::ES256),
    ];
    let fake = FakeIssuer::start(&[&old]).await;
    let issuer = fake.client("sub");
    let subject = async |key: &SigningKey| issuer.subject(&key.sign(&fake.claims())).await;
    assert!(subject(&old).await.is_ok());
    fake.publish(&[&old, &new]);
    // Asked for less than half a minute ago, so not again for an id that anyone may have made up.
    for _ in 0..5 {
        assert_eq!(
            subject(&new).await,
            Err(AuthError::TokenRefused("its key is none of the issuer's"))
        );
    }
    assert_eq!(fake.fetches(), 1);
    pass(31).await;
    assert!(subject(&new).await.is_ok() && subject(&old).await.is_ok());
    assert_eq!(fake.fetches(), 2);
    // Withdrawn: seen when the keys are an hour old.
    fake.publish(&[&new]);
    pass(3601).await;
    assert!(subject(&new).await.is_ok());
    assert!(subject(&old).await.is_err());
}

#[tokio::test]
async fn callers_who_go_away_while_keys_are_fetched_do_not_make_us_ask_again() {
    let key = SigningKey::new("k", Algorithm::ES256);
    let fake = FakeIssuer::start(&[&key]).await;
    let issuer = fake.client("sub");
    let token = key.sign(&fake.claims());
    let shut = fake.published.shut.lock().await;
    for _ in 0..5 {
        let left = tokio::time::timeout(std::time::Duration::from_millis(200), issuer.subject(&token)).await;
        assert!(left.is_err(), "{left:?}");
    }
    drop(shut);
    assert!(issuer.subject(&token).await.is_ok());
    assert_eq!(fake.published.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn an_outage_of_the_issuer_is_survived_for_a_day_and_a_foreign_document_is_not_believed() {
    let key = SigningKey::new("k", Algorithm::ES256);
    let fake = FakeIssuer::start(&[&key]).await;
    let issuer = fake.client("sub");
    let subject = async || issuer.subject(&key.sign(&fake.claims())).await;
    assert!(subject().await.is_ok());
    *fake.published.issuer.lock().unwrap() = Some("https://evil.test".into());
    pass(7200).await;
    assert!(subject().await.is_ok());
    pass(25 * 3600).await;
    assert_eq!(subject().await, Err(AuthError::NoKeys));
    *fake.published.issuer.lock().unwrap() = None;
    pass(31).await;
    assert!(subject().await.is_ok());
}

#[tokio::test]
async fn an_address_names_a_caller_only_when_it_was_verified() {
    let key = SigningKey::new("k", Algorithm::ES256);
    let fake = FakeIssuer::start(&[&key]).await;
    let issuer = fake.client("email");
    let with = |verified: Value| {
        key.sign(&but(
            but(fake.claims(), "email", json!("a@b.test")),
            "email_verified",
            verified,
        ))
    };
    assert_eq!(issuer.subject(&with(json!(true))).await, Ok("a@b.test".to_owned()));
    for verified in [json!(false), json!("true"), Value::Null] {
        let refused = issuer.subject(&with(verified)).await;
        assert_eq!(refused, Err(AuthError::TokenRefused("its address is not verified")));
    }
}
