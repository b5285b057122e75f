//! The transport that all providers share: one request, one streamed answer, and its clocks.
//!
//! It knows no protocol and does not retry. Redirects are refused, because a key in a header of its
//! own would follow them to another host. reqwest's own total timeout is not used: it would end
//! long answers that are going well, so each wait here has a clock of its own.

use std::error::Error as _;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Client, Response, redirect};
use serde::Deserialize;
use time::OffsetDateTime;
use tokio::time::{Instant, timeout, timeout_at};

use crate::model::classify::Fault;
use crate::model::retry_after::Hints;
use crate::model::stream::{AnswerParser, MAX_ANSWER_BYTES, Step, StreamReader};
use crate::model::{Delta, ModelError};

/// Most bytes of one response; a stream's framing is many times its answer.
const MAX_RESPONSE_BYTES: usize = 16 * MAX_ANSWER_BYTES;
/// Most bytes read of an error.
const MAX_ERROR_BYTES: usize = 64 * 1024;
/// How long figures may take that follow a whole answer.
const AFTER_FINISH: Duration = Duration::from_secs(10);
/// How long the end of a response may take whose last event was seen; then its connection is given up.
const AFTER_DONE: Duration = Duration::from_millis(100);

/// How long the parts of an exchange may take, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Clocks {
    /// Until the response headers: 60.
    #[serde(with = "seconds")]
    pub headers: Duration,
    /// From the headers to the first part of the answer: 300, for models that think in silence.
    #[serde(with = "seconds")]
    pub first_data: Duration,
    /// From one byte to the next, keep-alives included: 60.
    #[serde(with = "seconds")]
    pub any_byte: Duration,
    /// From one part of the answer to the next: 120.
    #[serde(with = "seconds")]
    pub data: Duration,
}

impl Default for Clocks {
    fn default() -> Self {
        Self {
            headers: Duration::from_secs(60),
            first_data: Duration::from_secs(300),
            any_byte: Duration::from_secs(60),
            data: Duration::from_secs(120),
        }
    }
}

mod seconds {
    use std::time::Duration;

    use serde::de::{Deserialize, Deserializer, Error};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let number = f64::deserialize(deserializer)?;
        Duration::try_from_secs_f64(number).map_err(|error| Error::custom(format!("{number} s: {error}")))
    }
}

/// The transport could not be made, e.g. because the system has no certificates.
#[derive(Debug, thiserror::Error)]
#[error("the transport to model providers can't be made")]
pub struct TransportError(#[from] reqwest::Error);

/// Connections to all providers. Clones share them.
#[derive(Clone, Debug)]
pub struct Transport {
    client: Client,
}

impl Transport {
    /// Makes a transport with the system's certificates and the proxies of the environment.
    pub fn new(connect: Duration) -> Result<Self, TransportError> {
        // Two providers of cryptography may be in the program; without a choice the first connection panics.
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            let _raced = rustls::crypto::aws_lc_rs::default_provider().install_default();
        }
        let client = Client::builder()
            .connect_timeout(connect)
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .user_agent(concat!("backspace/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client })
    }

    /// Sends a request and feeds its answer to `parser` until it is whole.
    ///
    /// Safe to drop at any await: the connection is closed.
    pub(crate) async fn exchange(
        &self,
        exchange: Exchange<'_>,
        parser: &mut dyn AnswerParser,
        on_delta: &mut (dyn FnMut(Delta) + Send),
    ) -> Result<(), ModelError> {
        let clocks = exchange.clocks;
        let request = self
            .client
            .post(exchange.url)
            .headers(exchange.headers.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(exchange.body)
            .send();
        let response = timeout(clocks.headers, request)
            .await
            .map_err(|_| silent("no response", clocks.headers))?
            .map_err(|error| unreachable_host(error.without_url()))?;
        if !response.status().is_success() {
            let status = response.status().as_u16();
            let hints = Hints::read(response.headers(), OffsetDateTime::now_utc());
            let body = read_all(response, MAX_ERROR_BYTES, clocks).await.unwrap_or_default();
            return Err(Fault::read(&body).with_status(status, hints));
        }
        match media_type(&response).as_str() {
            "text/html" => Err(ModelError::Protocol {
                message: "a web page came instead of an answer; is a proxy in between?".into(),
            }),
            json if json == "application/json" || json.ends_with("+json") => {
                let body = read_all(response, MAX_ANSWER_BYTES, clocks).await?;
                let value = serde_json::from_str::<serde_json::Value>(&body);
                match value
                    .as_ref()
                    .map(|value| value.get("error").filter(|error| !error.is_null()))
                {
                    Ok(Some(error)) => Err(Fault::of_value(error).in_stream()),
                    _ => parser.whole(&body, on_delta),
                }
            }
            _ => read_stream(response, clocks, parser, on_delta).await,
        }
    }
}

/// One request.
pub(crate) struct Exchange<'a> {
    pub(crate) url: &'a str,
    /// Secrets in them are marked sensitive.
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) clocks: Clocks,
}

async fn read_stream(
    mut response: Response,
    clocks: Clocks,
    parser: &mut dyn AnswerParser,
    on_delta: &mut (dyn FnMut(Delta) + Send),
) -> Result<(), ModelError> {
    let mut reader = StreamReader::default();
    let mut total_bytes = 0_usize;
    let mut data = (
        Instant::now() + clocks.first_data,
        "no part of the answer",
        clocks.first_data,
    );
    let mut any_byte = data;
    let mut finished = false;
    loop {
        let (deadline, missing, clock) = if any_byte.0 < data.0 { any_byte } else { data };
        let chunk: Option<Bytes> = match timeout_at(deadline, response.chunk()).await {
            Ok(Ok(chunk)) => chunk,
            Err(_) | Ok(Err(_)) if finished => return Ok(()),
            Ok(Err(error)) => return Err(broken(error.without_url())),
            Err(_) => return Err(silent(missing, clock)),
        };
        let Some(chunk) = chunk else {
            return reader.end(parser, on_delta);
        };
        total_bytes = total_bytes.saturating_add(chunk.len());
        if total_bytes > MAX_RESPONSE_BYTES {
            return Err(ModelError::Protocol {
                message: format!("the response is larger than {MAX_RESPONSE_BYTES} bytes"),
            });
        }
        let now = Instant::now();
        any_byte = (now + clocks.any_byte, "no byte", clocks.any_byte);
        match reader.push(&chunk, parser, on_delta)? {
            Step::Idle => {}
            Step::Progress => data = (now + clocks.data, "no part of the answer", clocks.data),
            Step::Finished => {
                finished = true;
                data = (now + AFTER_FINISH, "no end", AFTER_FINISH);
            }
            Step::Done => {
                drain(response).await;
                return Ok(());
            }
        }
    }
}

/// Reads the end of a response, so that its connection can serve the next turn.
async fn drain(mut response: Response) {
    let mut budget = MAX_ERROR_BYTES;
    let rest = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            budget = budget.saturating_sub(chunk.len());
            if budget == 0 {
                break;
            }
        }
    };
    let _gave_up = timeout(AFTER_DONE, rest).await;
}

async fn read_all(mut response: Response, most_bytes: usize, clocks: Clocks) -> Result<String, ModelError> {
    let deadline = Instant::now() + clocks.first_data;
    let mut body = Vec::new();
    loop {
        let next = deadline.min(Instant::now() + clocks.any_byte);
        let chunk = timeout_at(next, response.chunk())
            .await
            .map_err(|_| silent("no end of the response", clocks.any_byte))?
            .map_err(|error| broken(error.without_url()))?;
        match chunk {
            None => return Ok(String::from_utf8_lossy(&body).into_owned()),
            Some(chunk) if body.len() + chunk.len() > most_bytes => {
                return Err(ModelError::Protocol {
                    message: format!("the response is larger than {most_bytes} bytes"),
                });
            }
            Some(chunk) => body.extend_from_slice(&chunk),
        }
    }
}

fn media_type(response: &Response) -> String {
    let value = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let media_type = value.and_then(|value| value.split(';').next()).unwrap_or_default();
    media_type.trim().to_ascii_lowercase()
}

fn silent(missing: &str, clock: Duration) -> ModelError {
    ModelError::Transport {
        message: format!("{missing} for {} s", clock.as_secs_f64()),
        source: None,
    }
}

fn unreachable_host(error: reqwest::Error) -> ModelError {
    let message = if error.is_connect() {
        "no connection"
    } else {
        "the request was not answered"
    };
    with_cause(message, error)
}

fn broken(error: reqwest::Error) -> ModelError {
    with_cause("the connection broke while the answer came", error)
}

/// The innermost cause says what happened (`connection refused`), the outer layers only where.
fn with_cause(message: &str, error: reqwest::Error) -> ModelError {
    let mut cause = error.source();
    while let Some(next) = cause.and_then(|cause| cause.source()) {
        cause = Some(next);
    }
    ModelError::Transport {
        message: cause.map_or_else(|| message.to_owned(), |cause| format!("{message}: {cause}")),
        source: Some(Box::new(error)),
    }
}
