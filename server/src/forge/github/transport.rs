//! The connections to a GitHub, shared by all of its logins: one request, one bounded answer.
//!
//! octocrab builds and signs requests; this sends them. Its own client is not used, because it follows
//! redirects and is fixed in its pool and proxies. No redirect is followed here and nothing is repeated.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http_body_util::{BodyExt as _, Full};
use octocrab::OctoBody;
use reqwest::{Client, redirect};
use tower::Service;

use crate::forge::ForgeError;
use crate::forge::github::host::GitHubHost;

/// Longest time for a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// Longest time for a whole exchange.
const EXCHANGE: Duration = Duration::from_secs(60);

/// Largest answer; a page of a hundred comments is about a megabyte.
const MAX_ANSWER_BYTES: usize = 16 << 20;

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Connections. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Transport {
    client: Client,
    api: String,
    graphql: String,
}

/// An answer is larger than any that is meant.
#[derive(Debug, thiserror::Error)]
#[error("the answer is larger than {MAX_ANSWER_BYTES} bytes")]
struct TooLarge;

impl Transport {
    /// Makes the transport, with the system's certificates and the proxies of the environment.
    pub(super) fn new(host: &GitHubHost) -> Result<Self, ForgeError> {
        // Two providers of cryptography may be in the program; without a choice the first connection panics.
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            let _raced = rustls::crypto::aws_lc_rs::default_provider().install_default();
        }
        let client = Client::builder()
            .connect_timeout(CONNECT)
            .timeout(EXCHANGE)
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .user_agent(concat!("backspace/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| ForgeError::Internal { source: error.into() })?;
        Ok(Self {
            client,
            api: host.api().to_owned(),
            graphql: host.graphql(),
        })
    }

    /// Asks an address with a user name and a password; returns the status alone.
    pub(super) async fn status(&self, url: &str, username: &str, password: &str) -> Result<u16, BoxError> {
        let request = self.client.get(url).basic_auth(username, Some(password));
        let response = request.send().await.map_err(reqwest::Error::without_url)?;
        Ok(response.status().as_u16())
    }
}

impl Service<http::Request<OctoBody>> for Transport {
    type Response = http::Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<OctoBody>) -> Self::Future {
        let client = self.client.clone();
        let (mut head, body) = request.into_parts();
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let url = match path {
            "/graphql" => self.graphql.clone(),
            path => format!("{}{path}", self.api),
        };
        Box::pin(async move {
            let body = body.collect().await?.to_bytes();
            head.headers.remove(CONTENT_LENGTH);
            let request = client.request(head.method, url).headers(head.headers);
            let request = if body.is_empty() { request } else { request.body(body) };
            let mut response = request.send().await.map_err(reqwest::Error::without_url)?;
            let mut answer = http::Response::builder().status(response.status());
            if let Some(headers) = answer.headers_mut() {
                *headers = response.headers().clone();
            }
            let mut content = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(reqwest::Error::without_url)? {
                if content.len() + chunk.len() > MAX_ANSWER_BYTES {
                    return Err(TooLarge.into());
                }
                content.extend_from_slice(&chunk);
            }
            Ok(answer.body(Full::new(Bytes::from(content)))?)
        })
    }
}
