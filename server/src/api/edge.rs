//! The order at the edge, the same for gRPC and HTTP: trace, authenticate, rate limit; then the handler
//! validates and calls the orchestrator.
//!
//! A caller is known before its message is read, so a stranger can't make the server parse anything.
//! Health and reflection are open: they tell what the public contract tells. On a server without
//! tokens the browser is the danger (a page the user visits can reach 127.0.0.1), so there every
//! request that a browser could have sent must name this host and, if it has one, this origin.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, Version, header};
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::Instrument as _;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use uuid::Uuid;

use crate::api::audit;
use crate::api::auth::{AuthError, Authenticator, Credentials};
use crate::api::origin::{OriginPolicy, Proof};
use crate::api::rate_limit::{CallClass, RateLimiter};
use crate::api::status;
use crate::api::tls::CertificateNames;
use crate::orchestrator::Caller;
use crate::task::id::PrincipalId;
use crate::task::spec::Violation;

const SERVICE_PREFIX: &str = "/backspace.v1.AgentService/";
const OPEN_PREFIXES: [&str; 2] = ["/grpc.health.v1.Health/", "/grpc.reflection."];
const REQUEST_ID: &str = "x-request-id";

/// Why the edge itself did not let a call through.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EdgeError {
    /// The request is wrong; every violation is listed.
    #[error("the request is not valid")]
    Invalid(Vec<Violation>),
    /// Nobody this server knows.
    #[error("{0}")]
    Unauthenticated(#[from] AuthError),
    /// A page of another site, or another name for this host.
    #[error("this server does not answer to that host or origin; use its own address, or configure the name")]
    OriginDenied,
    /// Too many calls in a short time.
    #[error("too many calls; try again in {} s", retry_after.as_secs().max(1))]
    RateLimited {
        /// Whose calls.
        principal: PrincipalId,
        /// When the next one will be taken.
        retry_after: Duration,
    },
    /// The connection or the server is about to end.
    #[error("the connection is being closed; go on with WatchTask on a new one")]
    Closing,
    /// The artifact is shorter than that.
    #[error("the artifact has only {size} bytes so far")]
    OffsetPastEnd {
        /// Its size.
        size: u64,
    },
    /// Nothing is there.
    #[error("there is nothing at this path")]
    NoRoute,
    /// Something is there, for another method.
    #[error("this path does not take that method")]
    MethodNotAllowed,
    /// The body says that it is something else, or says nothing.
    #[error("the body must be JSON, sent with `content-type: application/json`")]
    NotJson,
    /// The request's message is over the limit.
    #[error("the message is larger than this server takes")]
    MessageTooLarge,
    /// The request's message did not arrive.
    #[error("the message did not arrive whole and in time")]
    BodyNotRead,
    /// A handler was reached around the edge; a defect.
    #[error("a handler was reached without a caller")]
    NoCaller,
}

/// What a handler may know of the connection that a request came by.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionInfo {
    /// The other end.
    pub(crate) peer: SocketAddr,
    /// Cancelled when streams should end, so that the client goes on by another connection.
    pub(crate) closing: CancellationToken,
    /// The names in the certificate that the client showed.
    pub(crate) certificate: Option<Arc<CertificateNames>>,
}

/// What every call passes before its handler.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    authenticator: Arc<Authenticator>,
    limiter: Arc<RateLimiter>,
    origins: Arc<OriginPolicy>,
}

impl Gate {
    /// Makes the gate of a server.
    pub(crate) fn new(authenticator: Authenticator, limiter: RateLimiter, origins: OriginPolicy) -> Self {
        Self {
            authenticator: Arc::new(authenticator),
            limiter: Arc::new(limiter),
            origins: Arc::new(origins),
        }
    }

    /// Reads who a request says that it is from, unless a foreign page could have made it.
    pub(crate) fn shown(&self, request: &Request<Body>) -> Result<Credentials, EdgeError> {
        let info = request
            .extensions()
            .get::<ConnectionInfo>()
            .ok_or(EdgeError::NoCaller)?;
        let shown = Credentials::new(request.headers(), info.certificate.clone(), info.peer);
        let proof = match (self.authenticator.as_ref(), &shown.token) {
            (Authenticator::Loopback | Authenticator::Anyone, _) => Proof::Reachability,
            (Authenticator::Known(_), Some(_)) => Proof::Token,
            (Authenticator::Known(_), None) => Proof::Certificate,
        };
        if !is_native_grpc(request) {
            self.origins.check(request.uri(), request.headers(), proof)?;
        }
        Ok(shown)
    }

    /// Lets a request in as its caller, or says why not.
    pub(crate) async fn admit(
        &self,
        shown: Result<Credentials, EdgeError>,
        class: CallClass,
    ) -> Result<Caller, EdgeError> {
        let caller = self.authenticator.caller(&shown?).await?;
        tracing::Span::current().record("principal.id", caller.principal.as_str());
        self.limiter
            .check(&caller.principal, class)
            .map_err(|retry_after| EdgeError::RateLimited {
                principal: caller.principal.clone(),
                retry_after,
            })?;
        Ok(caller)
    }

    /// Returns who may read answers from a browser.
    pub(crate) fn origins(&self) -> Arc<OriginPolicy> {
        Arc::clone(&self.origins)
    }
}

/// Browsers speak no cleartext HTTP/2 and can't set this content type without a preflight; gRPC-Web they can.
fn is_native_grpc(request: &Request<Body>) -> bool {
    let content_type = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    request.version() == Version::HTTP_2
        && content_type
            .is_some_and(|value| value.starts_with(b"application/grpc") && !value.starts_with(b"application/grpc-web"))
        && !request.headers().contains_key(header::ORIGIN)
}

/// Middleware around the gRPC routes.
pub(crate) async fn grpc_edge(State(gate): State<Gate>, mut request: Request<Body>, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let action = path.strip_prefix(SERVICE_PREFIX).and_then(audit::action_of);
    let (span, request_id) = call_span(path.trim_start_matches('/'), request.headers());
    let response = async {
        if !OPEN_PREFIXES.iter().any(|prefix| path.starts_with(prefix)) {
            let shown = gate.shown(&request);
            match gate.admit(shown, CallClass::of(action)).await {
                Ok(caller) => request.extensions_mut().insert(caller),
                Err(error) => {
                    return refused(&request, action, error).into_http();
                }
            };
        }
        with_details(next.run(request).await)
    }
    .instrument(span)
    .await;
    named(response, &request_id)
}

/// Opens the span of a call. The trace id is the caller's when it sent a well-formed `traceparent`.
pub(crate) fn call_span(method: &str, headers: &HeaderMap) -> (tracing::Span, String) {
    let request_id = headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| {
            (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        })
        .map_or_else(|| Uuid::new_v4().simple().to_string(), ToOwned::to_owned);
    let span = tracing::info_span!(
        "call",
        method,
        request.id = request_id,
        trace.id = tracing::field::Empty,
        parent.id = tracing::field::Empty,
        principal.id = tracing::field::Empty,
    );
    if let Some(caller) = trace_parent(headers) {
        // An error means that nothing is exported.
        let _ = span.set_parent(Context::new().with_remote_span_context(caller.clone()));
        span.record("trace.id", caller.trace_id().to_string());
        span.record("parent.id", caller.span_id().to_string());
    }
    (span, request_id)
}

/// Puts the request's id on the response, for people who report a failure.
pub(crate) fn named(mut response: Response, request_id: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// Reads a W3C `traceparent` (<https://www.w3.org/TR/trace-context/>): version, trace id, parent id, flags.
fn trace_parent(headers: &HeaderMap) -> Option<SpanContext> {
    let mut parts = headers.get("traceparent")?.to_str().ok()?.split('-');
    let (version, trace_id, parent_id) = (parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let flags = parts.next().filter(|flags| is_hex(flags, 2))?;
    if !is_hex(version, 2) || version == "ff" || !is_hex(trace_id, 32) || !is_hex(parent_id, 16) {
        return None;
    }
    let caller = SpanContext::new(
        TraceId::from_hex(trace_id).ok()?,
        SpanId::from_hex(parent_id).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?),
        true,
        TraceState::default(),
    );
    caller.is_valid().then_some(caller)
}

/// Makes the status of a call that was not let in, and its line when it would have changed something.
pub(crate) fn refused(request: &Request<Body>, action: Option<&'static str>, error: EdgeError) -> Status {
    let principal = match &error {
        EdgeError::RateLimited { principal, .. } => Some(principal.clone()),
        _ => None,
    };
    let status = Status::from(error);
    if let Some(action) = action {
        let peer = request.extensions().get::<ConnectionInfo>().map(|info| info.peer);
        audit::refused(action, peer, principal.as_ref().map(PrincipalId::as_str), status.code());
    }
    status
}

/// Statuses that tonic made by itself (in the response's head) lack the details that ours have.
fn with_details(response: Response) -> Response {
    match Status::from_header_map(response.headers()) {
        Some(status) if status.code() != tonic::Code::Ok && status.details().is_empty() => {
            status::complete(status).into_http()
        }
        _ => response,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_well_formed_trace_parent_is_honoured() {
        let parse = |text: &str| {
            let headers = HeaderMap::from_iter([("traceparent".parse().unwrap(), text.parse().unwrap())]);
            trace_parent(&headers).map(|caller| {
                (
                    caller.trace_id().to_string(),
                    caller.span_id().to_string(),
                    caller.is_sampled(),
                )
            })
        };
        let (trace, parent) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        let caller = |is_sampled| Some((trace.to_owned(), parent.to_owned(), is_sampled));
        assert_eq!(parse(&format!("00-{trace}-{parent}-01")), caller(true));
        assert_eq!(parse(&format!("00-{trace}-{parent}-00")), caller(false));
        for bad in [
            String::new(),
            format!("00-{}-{parent}-01", "0".repeat(32)),
            format!("ff-{trace}-{parent}-01"),
            format!("00-{}-{parent}-01", trace.to_uppercase()),
            format!("00-{trace}-01"),
            format!("00-{trace}-{parent}"),
            format!("00-{trace}-{parent}-+1"),
        ] {
            assert_eq!(parse(&bad), None, "{bad}");
        }
    }
}
