//! Calls of GitHub's API: through the gate, one request each, errors as this adapter's own.
//!
//! A redirect is followed to another path of the same API only, which is how renamed repositories
//! answer; nothing is ever sent to another host. Nothing is repeated here.

use bytes::Bytes;
use http::header::{ACCEPT, LOCATION};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::forge::ForgeError;
use crate::forge::github::fault::{Fault, classify, demanded_wait};
use crate::forge::github::gate::{Effect, Gate};
use crate::forge::github::host::GitHubHost;
use crate::forge::github::login::Login;
use crate::forge::github::transport::Transport;

/// Renames that are followed in one call.
const MAX_REDIRECTS: u32 = 3;

/// The API of one GitHub.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) host: GitHubHost,
    pub(super) transport: Transport,
    pub(super) gate: Gate,
}

/// One call.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    method: Method,
    path: String,
    body: Option<Value>,
    effect: Effect,
}

impl Ask {
    /// Reads a path, written with its query.
    pub(super) fn get(path: impl Into<String>) -> Self {
        Self {
            method: Method::GET,
            path: path.into(),
            body: None,
            effect: Effect::None,
        }
    }

    /// Makes something.
    pub(super) fn post(path: impl Into<String>, body: Value) -> Self {
        Self {
            method: Method::POST,
            path: path.into(),
            body: Some(body),
            effect: Effect::Mutation,
        }
    }

    /// Changes something.
    pub(super) fn patch(path: impl Into<String>, body: Value) -> Self {
        Self {
            method: Method::PATCH,
            ..Self::post(path, body)
        }
    }

    /// Reads by a query.
    pub(super) fn query(query: &str, variables: Value) -> Self {
        Self {
            effect: Effect::None,
            ..Self::post(
                "/graphql",
                serde_json::json!({ "query": query, "variables": variables }),
            )
        }
    }

    /// Ends something that nobody sees: the token that signs the call.
    pub(super) fn end_token() -> Self {
        Self {
            method: Method::DELETE,
            ..Self::get("/installation/token")
        }
    }

    /// Asks for a token, which changes nothing that anybody sees.
    pub(super) fn token(path: impl Into<String>, body: Value) -> Self {
        Self {
            effect: Effect::None,
            ..Self::post(path, body)
        }
    }
}

impl Api {
    /// Calls once.
    ///
    /// Not safe to drop while a mutation is under way: it may have taken effect.
    pub(super) async fn call<T: DeserializeOwned>(&self, login: &Login, ask: Ask) -> Result<T, Fault> {
        let _pass = self
            .gate
            .enter(login.key(), ask.effect)
            .await
            .map_err(|retry_after| self.limited(retry_after))?;
        let mut path = ask.path;
        for _ in 0..=MAX_REDIRECTS {
            let (status, headers, body) = self.exchange(login, &ask.method, &path, ask.body.as_ref()).await?;
            let wait = demanded_wait(status, &headers, &body);
            if let Some(wait) = wait {
                self.gate.close(login.key(), wait);
            }
            if status.is_success() {
                let body: &[u8] = if status == StatusCode::NO_CONTENT {
                    b"null"
                } else {
                    &body
                };
                return serde_json::from_slice(body).map_err(|error| self.unavailable(error));
            }
            if let Some(retry_after) = wait {
                return Err(self.limited(retry_after));
            }
            match self.next_path(&ask.method, status, &headers) {
                Some(next) => path = next,
                None => return Err(classify(self.host.name(), status, &headers, &body)),
            }
        }
        Err(Fault::Forge(ForgeError::Rejected {
            forge: self.host.name().to_owned(),
            message: "it redirects in a circle".into(),
        }))
    }

    async fn exchange(
        &self,
        login: &Login,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, HeaderMap, Bytes), Fault> {
        let crab = login.crab();
        let builder = http::Request::builder()
            .method(method.clone())
            .uri(path)
            .header(ACCEPT, "application/vnd.github+json, application/json;q=0.9");
        let internal = |error: octocrab::Error| Fault::Forge(ForgeError::Internal { source: error.into() });
        let request = crab.build_request(builder, body).map_err(internal)?;
        let response = crab.execute(request).await.map_err(|error| self.unavailable(error))?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| self.unavailable(error))?;
        let body = body.to_bytes();
        let body = if head.status.is_success() {
            body
        } else {
            login.masked(body)
        };
        Ok((head.status, head.headers, body))
    }

    /// Returns the path that a redirect leads to, if it stays at this API and keeps what is asked.
    fn next_path(&self, method: &Method, status: StatusCode, headers: &HeaderMap) -> Option<String> {
        let keeps_method = matches!(status.as_u16(), 307 | 308) || *method == Method::GET;
        if !keeps_method || !matches!(status.as_u16(), 301 | 302 | 307 | 308) {
            return None;
        }
        let location = headers.get(LOCATION)?.to_str().ok()?;
        let path = location.strip_prefix(self.host.api())?;
        (path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic())).then(|| path.to_owned())
    }

    fn limited(&self, retry_after: std::time::Duration) -> Fault {
        Fault::Forge(ForgeError::RateLimited {
            forge: self.host.name().to_owned(),
            retry_after,
        })
    }

    /// The call may have taken effect.
    fn unavailable(&self, error: impl std::error::Error + Send + Sync + 'static) -> Fault {
        Fault::Forge(ForgeError::Unavailable {
            forge: self.host.name().to_owned(),
            source: Box::new(error),
        })
    }
}
