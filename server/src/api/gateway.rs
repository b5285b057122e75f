//! The HTTP gateway: JSON for every call of the contract, server-sent events for its streams, and the
//! endpoint of the service that Backspace replaces.
//!
//! Every handler ends in a method of `AgentService`, so there is no second way to the domain and no
//! second validation. JSON is protobuf's canonical form, by reflection. POST bodies must say that they
//! are JSON: a browser can't send that to another site without asking first.

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http::{HeaderName, HeaderValue, Method, header};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::api::agent_service::AgentService;
use crate::api::edge::{EdgeError, Gate, call_span, named, refused};
use crate::api::gateway::failure::Failure;
use crate::api::openapi;
use crate::api::page;
use crate::api::rate_limit::CallClass;
use crate::task::spec::Violation;

mod code;
mod code_object;
mod events;
pub(crate) mod failure;
mod health;
mod json;
mod tasks;

/// What handlers need.
#[derive(Clone)]
pub(crate) struct Gateway {
    service: AgentService,
    drain: CancellationToken,
}

/// Headers that bind a browser, beyond those that `dispatch` puts on every answer.
const SECURITY_HEADERS: [(HeaderName, &str); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'; sandbox",
    ),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Most bytes of a refusal's text.
const MAX_REFUSAL_BYTES: usize = 4096;

/// Makes the routes.
pub(crate) fn routes(service: AgentService, gate: Gate, drain: CancellationToken) -> Router {
    let guarded = Router::new()
        .route("/api/v1/tasks", post(tasks::create).get(tasks::list))
        .route("/api/v1/tasks:run", post(events::run))
        .route(
            "/api/v1/tasks/{task}",
            get(tasks::get).delete(tasks::delete).post(tasks::act),
        )
        .route("/api/v1/tasks/{task}/events", get(events::watch))
        .route("/api/v1/tasks/{task}/artifacts/{artifact}", get(tasks::artifact))
        .route("/api/v1/server-info", get(tasks::server_info))
        .route("/api/v1/code", post(code::run))
        .layer(from_fn_with_state(gate, http_edge));
    Router::new()
        .merge(guarded)
        .route("/health", get(health::health))
        .route("/openapi.json", get(openapi::json))
        .route("/docs", get(openapi::docs))
        .merge(page::routes())
        .fallback(|| async { Failure::from(EdgeError::NoRoute) })
        .method_not_allowed_fallback(|| async { Failure::from(EdgeError::MethodNotAllowed) })
        .layer(map_response(secured))
        .with_state(Gateway { service, drain })
}

/// What a call passes before its handler; the twin of `grpc_edge`.
async fn http_edge(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    // The route and not the path: what a caller wrote into it has no place in every line of the log.
    let method = format!("{} {}", request.method(), route_of(request.uri().path()));
    let (span, request_id) = call_span(&method, request.headers());
    let response = async {
        let action = action_of(request.method(), request.uri().path());
        let shown = gate.shown(&request);
        match gate.admit(shown, CallClass::of(action)).await {
            Ok(caller) => request.extensions_mut().insert(caller),
            Err(error) => return Failure::from(refused(&request, action, error)).into_response(),
        };
        next.run(request).await
    }
    .instrument(span)
    .await;
    named(response, &request_id)
}

/// Names the route of a path.
fn route_of(path: &str) -> &'static str {
    let of_task = path.strip_prefix("/api/v1/tasks/").unwrap_or_default();
    match path {
        "/api/v1/tasks" => "/api/v1/tasks",
        "/api/v1/tasks:run" => "/api/v1/tasks:run",
        "/api/v1/code" => "/api/v1/code",
        "/api/v1/server-info" => "/api/v1/server-info",
        _ if of_task.ends_with(":cancel") => "/api/v1/tasks/{task}:cancel",
        _ if of_task.ends_with(":message") => "/api/v1/tasks/{task}:message",
        _ if of_task.ends_with("/events") => "/api/v1/tasks/{task}/events",
        _ if of_task.contains("/artifacts/") => "/api/v1/tasks/{task}/artifacts/{artifact}",
        _ if !of_task.is_empty() => "/api/v1/tasks/{task}",
        _ => "elsewhere",
    }
}

/// Returns what a request would do, by the name of the contract's method.
fn action_of(method: &Method, path: &str) -> Option<&'static str> {
    match (method, path) {
        (&Method::POST, "/api/v1/tasks") => Some("CreateTask"),
        (&Method::POST, "/api/v1/tasks:run" | "/api/v1/code") => Some("RunTask"),
        (&Method::POST, path) if path.ends_with(":message") => Some("SendMessage"),
        (&Method::POST, path) if path.ends_with(":cancel") => Some("CancelTask"),
        (&Method::DELETE, _) => Some("DeleteTask"),
        _ => None,
    }
}

/// Puts the security headers on an answer, and gives refusals of axum's own (a query or path that can't be
/// read) the form of all others.
async fn secured(response: Response) -> Response {
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_text = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
    let mut response = if response.status().is_client_error() && is_text {
        let text = to_bytes(response.into_body(), MAX_REFUSAL_BYTES)
            .await
            .unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        Failure::from(EdgeError::Invalid(vec![Violation::new("(request)", text)])).into_response()
    } else {
        response
    };
    for (name, value) in SECURITY_HEADERS {
        response
            .headers_mut()
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_has_nothing_of_what_a_caller_wrote() {
        for (path, route) in [
            ("/api/v1/tasks/secret", "/api/v1/tasks/{task}"),
            ("/api/v1/tasks/secret:cancel", "/api/v1/tasks/{task}:cancel"),
            ("/api/v1/tasks/secret/events", "/api/v1/tasks/{task}/events"),
            (
                "/api/v1/tasks/secret/artifacts/secret",
                "/api/v1/tasks/{task}/artifacts/{artifact}",
            ),
            ("/api/v1/code", "/api/v1/code"),
            ("/secret", "elsewhere"),
        ] {
            assert_eq!(route_of(path), route, "{path}");
        }
    }

    #[test]
    fn the_same_calls_change_something_and_are_of_the_narrow_class_as_over_grpc() {
        for (path, action) in [
            ("/api/v1/tasks", "CreateTask"),
            ("/api/v1/tasks:run", "RunTask"),
            ("/api/v1/code", "RunTask"),
            ("/api/v1/tasks/x:message", "SendMessage"),
        ] {
            assert_eq!(action_of(&Method::POST, path), Some(action), "{path}");
            assert_eq!(CallClass::of(Some(action)), CallClass::Start, "{path}");
            assert_eq!(action_of(&Method::GET, path), None, "{path}");
        }
        for (method, path, action) in [
            (Method::POST, "/api/v1/tasks/x:cancel", "CancelTask"),
            (Method::DELETE, "/api/v1/tasks/x", "DeleteTask"),
        ] {
            assert_eq!(action_of(&method, path), Some(action), "{path}");
            assert_eq!(CallClass::of(Some(action)), CallClass::Other, "{path}");
        }
        assert_eq!(CallClass::of(None), CallClass::Other);
    }
}
