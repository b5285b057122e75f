//! The accept loop: one port for gRPC, gRPC-Web and HTTP, with limits on everything a client holds open.
//!
//! It is our own, around hyper-util, because tonic's server can't set the send buffer, the number of
//! connections or a handshake limit, and because a reader that stalls can only be dropped with its
//! connection: hyper does not poll a body whose stream has no capacity. What is beyond a limit is
//! closed, never queued; clients resume streams on a new connection.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use serde::{Deserialize, Deserializer};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use crate::api::accept::admission::Admission;
use crate::api::accept::connection::Connection;
use crate::api::tls::TlsSource;
use crate::jobs::Jobs;

pub(crate) mod admission;
pub(crate) mod connection;
pub(crate) mod guarded_io;
pub(crate) mod request_body;
pub(crate) mod watched_body;

/// Pause after a failed accept: with no file descriptor left, accepting at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Limits of connections. Times are in seconds in files and variables.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConnectionLimits {
    /// Open connections; 1,024.
    pub max_connections: usize,
    /// Open connections of one address (an IPv6 /64 counts as one); 64.
    pub max_connections_per_address: usize,
    /// Streams at once on one HTTP/2 connection; 128.
    pub max_streams: u32,
    /// Bytes of a request's head; 16 KiB.
    pub max_header_bytes: u32,
    /// Bytes of a request's message; 256 KiB.
    pub max_message_bytes: usize,
    /// Bytes that may wait to be sent on one HTTP/2 stream; 64 KiB.
    pub send_buffer_bytes: usize,
    /// For a TLS handshake, and from then to the first 24 bytes; 5 s each.
    #[serde(rename = "handshake_seconds", deserialize_with = "seconds")]
    pub handshake: Duration,
    /// For the head of an HTTP/1.1 request, and between two of them; 10 s.
    #[serde(rename = "header_read_seconds", deserialize_with = "seconds")]
    pub header_read: Duration,
    /// For the whole message of a request; 30 s.
    #[serde(rename = "request_body_seconds", deserialize_with = "seconds")]
    pub request_body: Duration,
    /// How long a client may read nothing of what waits for it; 30 s.
    #[serde(rename = "write_stall_seconds", deserialize_with = "seconds")]
    pub write_stall: Duration,
    /// Silence after which HTTP/2 asks whether the client is there; 30 s.
    #[serde(rename = "keep_alive_interval_seconds", deserialize_with = "seconds")]
    pub keep_alive_interval: Duration,
    /// How long it waits for the answer; 10 s.
    #[serde(rename = "keep_alive_timeout_seconds", deserialize_with = "seconds")]
    pub keep_alive_timeout: Duration,
    /// Age at which a connection is asked to end, give or take a tenth; 30 min.
    #[serde(rename = "max_age_seconds", deserialize_with = "seconds")]
    pub max_age: Duration,
    /// How long it then has; 60 s. Event streams end at once, with a status that says to resume.
    #[serde(rename = "age_grace_seconds", deserialize_with = "seconds")]
    pub age_grace: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            max_connections_per_address: 64,
            max_streams: 128,
            max_header_bytes: 16 * 1024,
            max_message_bytes: 256 * 1024,
            send_buffer_bytes: 64 * 1024,
            handshake: Duration::from_secs(5),
            header_read: Duration::from_secs(10),
            request_body: Duration::from_secs(30),
            write_stall: Duration::from_secs(30),
            keep_alive_interval: Duration::from_secs(30),
            keep_alive_timeout: Duration::from_secs(10),
            max_age: Duration::from_secs(30 * 60),
            age_grace: Duration::from_secs(60),
        }
    }
}

impl ConnectionLimits {
    /// Returns everything that is wrong with the limits.
    pub fn validate(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.max_header_bytes < 8192 {
            faults.push("max_header_bytes must be at least 8192, the least that HTTP/1.1 is read with".to_owned());
        }
        if self.max_connections == 0 || self.max_connections_per_address == 0 || self.max_streams == 0 {
            faults.push("a limit of 0 connections or streams would serve nobody".to_owned());
        }
        let times = [
            ("handshake_seconds", self.handshake),
            ("header_read_seconds", self.header_read),
            ("request_body_seconds", self.request_body),
            ("write_stall_seconds", self.write_stall),
            ("keep_alive_interval_seconds", self.keep_alive_interval),
            ("keep_alive_timeout_seconds", self.keep_alive_timeout),
            ("max_age_seconds", self.max_age),
        ];
        let zero = times.into_iter().filter(|(_, time)| time.is_zero());
        faults.extend(zero.map(|(name, _)| format!("{name} must be more than 0")));
        faults
    }
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    Duration::try_from_secs_f64(seconds).map_err(serde::de::Error::custom)
}

/// What the loop works with.
pub(crate) struct Accepting {
    /// Where connections come from.
    pub(crate) listener: TcpListener,
    /// TLS, where it is spoken.
    pub(crate) tls: Option<Arc<TlsSource>>,
    /// Limits of connections.
    pub(crate) limits: ConnectionLimits,
    /// How long connections may take to end once the server drains.
    pub(crate) grace: Duration,
}

/// Serves connections until `drain`; returns when all of them have ended, at most the grace later.
///
/// A connection that is left after that is dropped; its clients see a reset and resume elsewhere.
pub(crate) async fn accept<S>(accepting: Accepting, service: S, jobs: &Jobs, drain: CancellationToken)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let Accepting {
        listener,
        tls,
        limits,
        grace,
    } = accepting;
    let admission = Admission::new(limits.max_connections, limits.max_connections_per_address);
    let connections = TaskTracker::new();
    let kill = CancellationToken::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = drain.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "can't accept a connection; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(ticket) = admission.admit(peer.ip()) else {
            tracing::debug!(peer = %peer, "a connection beyond the limit was closed");
            continue;
        };
        let connection = Connection::new(peer, limits, drain.child_token());
        let (service, kill, stream_jobs, tls) = (service.clone(), kill.clone(), jobs.clone(), tls.clone());
        jobs.spawn(
            "connection",
            connections.track_future(async move {
                let _ticket = ticket;
                tokio::select! {
                    () = connection.open(stream, tls, service, stream_jobs) => {}
                    () = kill.cancelled() => {}
                }
            }),
        );
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(grace, connections.wait()).await.is_err() {
        tracing::info!(
            connections = connections.len(),
            "connections that did not end in time are dropped"
        );
        kill.cancel();
        connections.wait().await;
    }
}

#[cfg(test)]
mod tests;
