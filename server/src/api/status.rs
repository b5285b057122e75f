//! The only place that picks a gRPC code.
//!
//! Every error of the edge, the orchestrator and the store becomes a status here, by exhaustive match,
//! so that a new variant does not compile until someone has decided what a caller sees. Internal
//! causes are logged under an id and only the id goes out: a cause may hold a path or a token.

use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use uuid::Uuid;

use crate::api::auth::AuthError;
use crate::api::edge::EdgeError;
use crate::orchestrator::OrchestratorError;
use crate::store::{QueueScope, StoreError};
use crate::task::failure::Reason;
use crate::task::id::Sequence;
use crate::task::spec::Violation;

/// `google.rpc.ErrorInfo.domain` of every status.
pub(crate) const DOMAIN: &str = "backspace";

const QUEUE_RETRY: Duration = Duration::from_secs(30);
const DRAIN_RETRY: Duration = Duration::from_secs(1);
const STORE_RETRY: Duration = Duration::from_secs(10);
const ISSUER_RETRY: Duration = Duration::from_secs(30);

impl From<EdgeError> for Status {
    fn from(error: EdgeError) -> Self {
        let message = error.to_string();
        match error {
            EdgeError::Invalid(violations) => invalid(violations),
            EdgeError::Unauthenticated(AuthError::NoKeys) => {
                retry_later(Code::Unavailable, message, "ISSUER_UNAVAILABLE", ISSUER_RETRY)
            }
            EdgeError::Unauthenticated(_) => plain(Code::Unauthenticated, message, "UNAUTHENTICATED"),
            EdgeError::OriginDenied => plain(Code::PermissionDenied, message, "ORIGIN_DENIED"),
            EdgeError::RateLimited { principal, retry_after } => {
                let mut details = details("RATE_LIMITED");
                details.set_retry_info(Some(retry_after));
                details.add_quota_failure_violation(format!("principal:{principal}"), message.clone());
                Status::with_error_details(Code::ResourceExhausted, message, details)
            }
            EdgeError::Closing => retry_later(Code::Unavailable, message, "DRAINING", DRAIN_RETRY),
            EdgeError::OffsetPastEnd { size } => {
                let metadata = HashMap::from([("size".to_owned(), size.to_string())]);
                let details = ErrorDetails::with_error_info("OFFSET_PAST_END", DOMAIN, metadata);
                Status::with_error_details(Code::OutOfRange, message, details)
            }
            EdgeError::NoRoute => plain(Code::NotFound, message, "NO_ROUTE"),
            EdgeError::MethodNotAllowed => plain(Code::Unimplemented, message, "METHOD_NOT_ALLOWED"),
            EdgeError::NotJson => invalid(vec![Violation::new("content-type", message)]),
            EdgeError::MessageTooLarge => invalid(vec![Violation::new("(message)", message)]),
            EdgeError::BodyNotRead => invalid(vec![Violation::new("(body)", message)]),
            EdgeError::NoCaller => internal(&error),
        }
    }
}

impl From<OrchestratorError> for Status {
    fn from(error: OrchestratorError) -> Self {
        let message = error.to_string();
        match error {
            OrchestratorError::Invalid(violations) => invalid(violations),
            OrchestratorError::TaskNotFound => task_not_found(),
            OrchestratorError::ArtifactNotFound => plain(Code::NotFound, message, "ARTIFACT_NOT_FOUND"),
            OrchestratorError::RepositoryDenied => {
                plain(Code::PermissionDenied, message, Reason::PolicyDenied.as_str())
            }
            OrchestratorError::NoModel { .. } => {
                plain(Code::FailedPrecondition, message, Reason::ModelUnavailable.as_str())
            }
            OrchestratorError::RequestConflict => request_conflict(),
            OrchestratorError::QueueFull(scope) => queue_full(scope),
            OrchestratorError::OutOfRange { after, oldest, last } => out_of_range(after, oldest, last),
            OrchestratorError::Precondition { .. } => plain(Code::FailedPrecondition, message, "TASK_STATE"),
            OrchestratorError::Draining => retry_later(Code::Unavailable, message, "DRAINING", DRAIN_RETRY),
            OrchestratorError::StoreUnavailable(source) => store_unavailable(&source),
            OrchestratorError::Internal(source) => internal(source.as_ref()),
        }
    }
}

impl From<StoreError> for Status {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => task_not_found(),
            StoreError::RequestConflict => request_conflict(),
            StoreError::QueueFull { scope } => queue_full(scope),
            StoreError::OutOfRange { after, oldest, last } => out_of_range(after, oldest, last),
            StoreError::StillLive => plain(
                Code::FailedPrecondition,
                "the task is still live; cancel it and wait for its end first",
                "TASK_STATE",
            ),
            StoreError::Unavailable { .. } => store_unavailable(&error),
            StoreError::LeaseLost
            | StoreError::MessageWaiting
            | StoreError::Illegal(_)
            | StoreError::Internal { .. } => internal(&error),
        }
    }
}

/// Makes the status of a request with every one of its violations.
pub(crate) fn invalid(violations: Vec<Violation>) -> Status {
    let mut details = details("INVALID_ARGUMENT");
    let mut message = "the request is not valid".to_owned();
    for (index, Violation { field, description }) in violations.into_iter().enumerate() {
        message.push_str(if index == 0 { ": " } else { "; " });
        message.push_str(&format!("{field} {description}"));
        details.add_bad_request_violation(field, description);
    }
    Status::with_error_details(Code::InvalidArgument, message, details)
}

/// Makes the status of a defect: its cause is logged under an id, and only the id is told.
pub(crate) fn internal(cause: &(dyn Error + 'static)) -> Status {
    let error_id = Uuid::new_v4().simple().to_string();
    tracing::error!(error.id = %error_id, error = cause, "a call failed because of a defect");
    let metadata = HashMap::from([("error_id".to_owned(), error_id.clone())]);
    Status::with_error_details(
        Code::Internal,
        format!("internal error; the server's log has it under {error_id}"),
        ErrorDetails::with_error_info(Reason::Internal.as_str(), DOMAIN, metadata),
    )
}

/// Gives a status that the transport made (no such method, message too large…) the details that every
/// status has; returns others unchanged.
pub(crate) fn complete(status: Status) -> Status {
    if status.code() == Code::Ok || !status.details().is_empty() {
        return status;
    }
    match status.code() {
        Code::OutOfRange => EdgeError::MessageTooLarge.into(),
        Code::Unimplemented => plain(Code::Unimplemented, status.message(), "UNIMPLEMENTED"),
        Code::Internal => plain(
            Code::InvalidArgument,
            "the request is not a well-formed gRPC message",
            "MALFORMED",
        ),
        code @ (Code::Unavailable | Code::ResourceExhausted) => {
            retry_later(code, status.message(), "TRANSPORT", DRAIN_RETRY)
        }
        code => plain(code, status.message(), "TRANSPORT"),
    }
}

fn details(reason: &str) -> ErrorDetails {
    ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new())
}

fn plain(code: Code, message: impl Into<String>, reason: &str) -> Status {
    Status::with_error_details(code, message, details(reason))
}

fn retry_later(code: Code, message: impl Into<String>, reason: &str, delay: Duration) -> Status {
    let mut details = details(reason);
    details.set_retry_info(Some(delay));
    Status::with_error_details(code, message, details)
}

fn task_not_found() -> Status {
    plain(Code::NotFound, "no such task", "TASK_NOT_FOUND")
}

fn request_conflict() -> Status {
    plain(
        Code::AlreadyExists,
        "the request id was used before with a different request; use a new one",
        "REQUEST_ID_CONFLICT",
    )
}

fn queue_full(scope: QueueScope) -> Status {
    let (subject, message) = match scope {
        QueueScope::Principal => ("principal", "too many waiting tasks of this caller; try again later"),
        QueueScope::Server => ("server", "too many waiting tasks on this server; try again later"),
    };
    let mut details = details("QUEUE_FULL");
    details.set_retry_info(Some(QUEUE_RETRY));
    details.add_quota_failure_violation(subject, message);
    Status::with_error_details(Code::ResourceExhausted, message, details)
}

fn out_of_range(after: Sequence, oldest: Sequence, last: Sequence) -> Status {
    let metadata = HashMap::from([
        ("oldest_sequence".to_owned(), oldest.to_string()),
        ("last_sequence".to_owned(), last.to_string()),
    ]);
    Status::with_error_details(
        Code::OutOfRange,
        format!("no event after {after}: the log holds {oldest} to {last}"),
        ErrorDetails::with_error_info("SEQUENCE_OUT_OF_RANGE", DOMAIN, metadata),
    )
}

fn store_unavailable(cause: &StoreError) -> Status {
    tracing::error!(error = cause as &dyn Error, "the store can't write");
    retry_later(
        Code::Unavailable,
        "the server can't store anything now; try again later",
        "STORE_UNAVAILABLE",
        STORE_RETRY,
    )
}

#[cfg(test)]
mod tests;
