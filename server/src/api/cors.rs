//! Cross-origin sharing, for the origins that the settings name and for no others.
//!
//! Around gRPC-Web and HTTP alike. A preflight is answered here and never reaches a handler; without a
//! configured origin there is not one header of it.

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use crate::api::origin::OriginPolicy;

const METHODS: &str = "GET, POST, DELETE, OPTIONS";
const REQUEST_HEADERS: &str = "authorization, content-type, last-event-id, x-grpc-web, x-user-agent, grpc-timeout, \
                               x-request-id, traceparent, connect-protocol-version";
const RESPONSE_HEADERS: &str =
    "grpc-status, grpc-message, grpc-status-details-bin, location, retry-after, x-request-id";
const PREFLIGHT_SECONDS: &str = "600";

/// Returns the origin of a request when its pages may read the answer.
pub(crate) fn shared_origin(policy: &OriginPolicy, request: &Request<Body>) -> Option<HeaderValue> {
    let origin = request.headers().get(header::ORIGIN)?;
    policy.may_share(origin).then(|| origin.clone())
}

/// Returns whether a browser asks what it may send.
pub(crate) fn is_preflight(request: &Request<Body>) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ORIGIN)
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Answers a preflight.
pub(crate) fn preflight(origin: Option<&HeaderValue>) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let Some(origin) = origin else {
        *response.status_mut() = StatusCode::FORBIDDEN;
        return response;
    };
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    share(headers, origin);
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS),
        (header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Lets pages of an origin read a response.
pub(crate) fn share(headers: &mut HeaderMap, origin: &HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(RESPONSE_HEADERS),
    );
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
}
