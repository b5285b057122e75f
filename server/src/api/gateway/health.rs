//! `GET /health`: whether the server takes work, and what it lacks. Open, like gRPC's health.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde_json::json;

use crate::api::gateway::Gateway;

/// Answers 200 while work is taken, 503 once the server drains.
pub(crate) async fn health(State(gateway): State<Gateway>) -> Response {
    let info = gateway.service.server_info();
    let (code, word) = if gateway.drain.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining")
    } else {
        (StatusCode::OK, "healthy")
    };
    let body = json!({"status": word, "version": info.version, "degraded": info.degraded});
    (code, Json(body)).into_response()
}
