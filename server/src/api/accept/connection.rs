//! One connection: HTTP/1.1 or HTTP/2 by its first bytes, and the clocks that end it.
//!
//! It ends when its client goes, never says what it wants, stops reading, grows old, or the server
//! drains. Age and drain ask first (GOAWAY) and end event streams with a status that says to resume.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rand::Rng as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt as _};

use crate::api::accept::ConnectionLimits;
use crate::api::accept::guarded_io::GuardedIo;
use crate::api::accept::request_body::TimedBody;
use crate::api::accept::watched_body::{BodyWatch, WatchedBody};
use crate::api::edge::ConnectionInfo;
use crate::api::tls::{CertificateNames, TlsSource};
use crate::jobs::Jobs;

/// Length of the HTTP/2 preface; no HTTP/1.1 request with a host is shorter.
const PREFACE_BYTES: u64 = 24;
/// What a client may send on a whole connection before it is read, and on one stream.
const CONNECTION_WINDOW_BYTES: u32 = 512 * 1024;
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
/// Streams that a client may reset before the server has seen them, and that we reset for its errors.
const MAX_PENDING_RESETS: usize = 20;
const MAX_ERROR_RESETS: usize = 1024;
/// gRPC's reflection is a stream that a tool may hold open while its user thinks.
const UNTIMED_PREFIX: &str = "/grpc.reflection.";

/// One accepted connection.
pub(crate) struct Connection {
    limits: ConnectionLimits,
    info: ConnectionInfo,
}

impl Connection {
    /// Makes a connection; `closing` is cancelled by the drain, and by this connection when it is old.
    pub(crate) fn new(peer: SocketAddr, limits: ConnectionLimits, closing: CancellationToken) -> Self {
        Self {
            limits,
            info: ConnectionInfo {
                peer,
                closing,
                certificate: None,
            },
        }
    }

    /// Serves a stream, over TLS where that is spoken, until the connection ends. Dropping the future closes it.
    pub(crate) async fn open<S>(mut self, stream: TcpStream, tls: Option<Arc<TlsSource>>, service: S, jobs: Jobs)
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
    {
        // Events are small and should not wait for more.
        let _ = stream.set_nodelay(true);
        let Some(tls) = tls else {
            return self.serve(stream, service, jobs).await;
        };
        let handshake = TlsAcceptor::from(tls.current()).accept(stream);
        match tokio::time::timeout(self.limits.handshake, handshake).await {
            Ok(Ok(stream)) => {
                self.info.certificate = CertificateNames::of(stream.get_ref().1).map(Arc::new);
                self.serve(stream, service, jobs).await;
            }
            Ok(Err(error)) => tracing::debug!(peer = %self.info.peer, %error, "a TLS handshake failed"),
            Err(_) => tracing::debug!(peer = %self.info.peer, "a TLS handshake that took too long was dropped"),
        }
    }

    async fn serve<I, S>(self, stream: I, service: S, jobs: Jobs)
    where
        I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
    {
        let Self { limits, info } = self;
        let io = GuardedIo::new(stream, limits.write_stall);
        let read_bytes = io.read_bytes();
        let watch = BodyWatch::new();
        let builder = builder(&limits, jobs);
        let each = {
            let (info, watch) = (info.clone(), watch.clone());
            service_fn(move |request: Request<Incoming>| {
                answer(
                    service.clone(),
                    request,
                    info.clone(),
                    limits.request_body,
                    watch.clone(),
                )
            })
        };
        let mut served = pin!(builder.serve_connection(TokioIo::new(io), each));

        let mut handshake = pin!(tokio::time::sleep(limits.handshake));
        let mut is_silent = true;
        let mut end = pin!(tokio::time::sleep(jittered(limits.max_age)));
        let mut is_closing = false;
        let mut check = tokio::time::interval((limits.write_stall / 4).max(Duration::from_millis(1)));
        loop {
            tokio::select! {
                result = served.as_mut() => {
                    if let Err(error) = result {
                        tracing::debug!(peer = %info.peer, error = error.as_ref(), "a connection ended early");
                    }
                    return;
                }
                () = handshake.as_mut(), if is_silent => {
                    is_silent = false;
                    if read_bytes.load(Ordering::Relaxed) < PREFACE_BYTES {
                        tracing::debug!(peer = %info.peer, "a connection that said nothing was dropped");
                        return;
                    }
                }
                _ = check.tick() => {
                    if watch.longest_wait() >= limits.write_stall {
                        tracing::info!(peer = %info.peer, "a connection whose client does not read was dropped");
                        return;
                    }
                }
                () = info.closing.cancelled(), if !is_closing => {
                    is_closing = true;
                    served.as_mut().graceful_shutdown();
                    end.as_mut().reset(Instant::now() + limits.age_grace);
                }
                () = end.as_mut() => {
                    if is_closing {
                        return;
                    }
                    info.closing.cancel();
                }
            }
        }
    }
}

/// Runs each HTTP/2 stream as a job.
#[derive(Clone)]
struct StreamJobs(Jobs);

impl<F> Executor<F> for StreamJobs
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn("stream", future);
    }
}

fn builder(limits: &ConnectionLimits, jobs: Jobs) -> Builder<StreamJobs> {
    let mut builder = Builder::new(StreamJobs(jobs));
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_read)
        .max_buf_size(limits.max_header_bytes as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_streams)
        .max_header_list_size(limits.max_header_bytes)
        .max_send_buf_size(limits.send_buffer_bytes)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_ERROR_RESETS)
        .keep_alive_interval(limits.keep_alive_interval)
        .keep_alive_timeout(limits.keep_alive_timeout);
    builder
}

async fn answer<S>(
    service: S,
    request: Request<Incoming>,
    info: ConnectionInfo,
    body_limit: Duration,
    watch: BodyWatch,
) -> Result<http::Response<WatchedBody>, Infallible>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let (mut parts, body) = request.into_parts();
    parts.extensions.insert(info);
    let body = if parts.uri.path().starts_with(UNTIMED_PREFIX) {
        Body::new(body)
    } else {
        Body::new(TimedBody::new(body, body_limit))
    };
    let response = service.oneshot(Request::from_parts(parts, body)).await?;
    Ok(response.map(|body| watch.wrap(body)))
}

/// Spreads the ends of connections that began together.
fn jittered(age: Duration) -> Duration {
    age.mul_f64(rand::rng().random_range(0.9..1.1))
}
