//! Failed calls over HTTP: `google.rpc.Status` as JSON, with the HTTP status of its code and `Retry-After`.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::api::edge::EdgeError;

/// A call that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    status: Status,
    http: StatusCode,
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self {
            http: http_status(status.code()),
            status,
        }
    }
}

impl From<EdgeError> for Failure {
    fn from(error: EdgeError) -> Self {
        let http = match &error {
            EdgeError::MessageTooLarge => Some(StatusCode::PAYLOAD_TOO_LARGE),
            EdgeError::NotJson => Some(StatusCode::UNSUPPORTED_MEDIA_TYPE),
            EdgeError::MethodNotAllowed => Some(StatusCode::METHOD_NOT_ALLOWED),
            _ => None,
        };
        let failure = Self::from(Status::from(error));
        Self {
            http: http.unwrap_or(failure.http),
            ..failure
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = (self.http, Json(to_json(&self.status))).into_response();
        let details = self.status.get_error_details();
        if let Some(delay) = details.retry_info().and_then(|info| info.retry_delay) {
            // Whole seconds, and never too early.
            let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if self.http == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"backspace\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// Returns a status as canonical JSON of `google.rpc.Status`.
pub(crate) fn to_json(status: &Status) -> Value {
    let details = status.get_error_details();
    let mut list = Vec::new();
    if let Some(info) = details.error_info() {
        let metadata: Map<_, _> = info
            .metadata
            .iter()
            .map(|(key, value)| (key.clone(), json!(value)))
            .collect();
        list.push(json!({
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": info.reason, "domain": info.domain, "metadata": metadata,
        }));
    }
    if let Some(request) = details.bad_request() {
        let violations = request.field_violations.iter();
        let violations: Vec<_> = violations
            .map(|violation| json!({"field": violation.field, "description": violation.description}))
            .collect();
        list.push(json!({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations}));
    }
    if let Some(delay) = details.retry_info().and_then(|info| info.retry_delay) {
        let delay = format!("{}s", delay.as_secs_f64());
        list.push(json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}));
    }
    if let Some(quota) = details.quota_failure() {
        let violations = quota.violations.iter();
        let violations: Vec<_> = violations
            .map(|violation| json!({"subject": violation.subject, "description": violation.description}))
            .collect();
        list.push(json!({"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": violations}));
    }
    json!({"code": i32::from(status.code()), "message": status.message(), "details": list})
}

/// The mapping of `google/rpc/code.proto`.
fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Cancelled | Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::orchestrator::OrchestratorError;
    use crate::task::id::PrincipalId;
    use crate::task::spec::Violation;

    #[test]
    fn a_failure_says_what_grpc_says() {
        let failure = Failure::from(EdgeError::Invalid(vec![Violation::new("name", "is required")]));
        assert_eq!(failure.http, StatusCode::BAD_REQUEST);
        let expected = json!({
            "code": 3,
            "message": "the request is not valid: name is required",
            "details": [
                {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "INVALID_ARGUMENT",
                 "domain": "backspace", "metadata": {}},
                {"@type": "type.googleapis.com/google.rpc.BadRequest",
                 "fieldViolations": [{"field": "name", "description": "is required"}]},
            ],
        });
        assert_eq!(to_json(&failure.status), expected);
    }

    #[test]
    fn a_caller_that_must_wait_is_told_in_whole_seconds_rounded_up() {
        let response = Failure::from(EdgeError::RateLimited {
            principal: PrincipalId::new("p"),
            retry_after: Duration::from_millis(5200),
        })
        .into_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[header::RETRY_AFTER], "6");
        let response = Failure::from(Status::from(OrchestratorError::Draining)).into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    }
}
