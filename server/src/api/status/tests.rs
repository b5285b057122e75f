//! Every error through the one door, with the details that its code promises.

use super::*;
use crate::api::auth::AuthError;
use crate::task::id::PrincipalId;
use crate::task::record::IllegalEvent;

fn boxed() -> Box<dyn Error + Send + Sync> {
    "/var/lib/backspace/secret-path".into()
}

fn every_status() -> Vec<(Status, Code, &'static str)> {
    let zero = Sequence::ZERO;
    let store_down = || StoreError::Unavailable { source: boxed() };
    vec![
        (
            EdgeError::Invalid(vec![Violation::new("name", "is required")]).into(),
            Code::InvalidArgument,
            "INVALID_ARGUMENT",
        ),
        (
            EdgeError::Unauthenticated(AuthError::MissingToken).into(),
            Code::Unauthenticated,
            "UNAUTHENTICATED",
        ),
        (EdgeError::OriginDenied.into(), Code::PermissionDenied, "ORIGIN_DENIED"),
        (
            EdgeError::RateLimited {
                principal: PrincipalId::new("p"),
                retry_after: Duration::from_secs(6),
            }
            .into(),
            Code::ResourceExhausted,
            "RATE_LIMITED",
        ),
        (EdgeError::Closing.into(), Code::Unavailable, "DRAINING"),
        (
            EdgeError::OffsetPastEnd { size: 3 }.into(),
            Code::OutOfRange,
            "OFFSET_PAST_END",
        ),
        (EdgeError::NoRoute.into(), Code::NotFound, "NO_ROUTE"),
        (
            EdgeError::MethodNotAllowed.into(),
            Code::Unimplemented,
            "METHOD_NOT_ALLOWED",
        ),
        (EdgeError::NotJson.into(), Code::InvalidArgument, "INVALID_ARGUMENT"),
        (
            EdgeError::MessageTooLarge.into(),
            Code::InvalidArgument,
            "INVALID_ARGUMENT",
        ),
        (EdgeError::BodyNotRead.into(), Code::InvalidArgument, "INVALID_ARGUMENT"),
        (EdgeError::NoCaller.into(), Code::Internal, "INTERNAL"),
        (
            OrchestratorError::Invalid(vec![]).into(),
            Code::InvalidArgument,
            "INVALID_ARGUMENT",
        ),
        (OrchestratorError::TaskNotFound.into(), Code::NotFound, "TASK_NOT_FOUND"),
        (
            OrchestratorError::ArtifactNotFound.into(),
            Code::NotFound,
            "ARTIFACT_NOT_FOUND",
        ),
        (
            OrchestratorError::RepositoryDenied.into(),
            Code::PermissionDenied,
            "POLICY_DENIED",
        ),
        (
            OrchestratorError::NoModel {
                message: "set a key".into(),
            }
            .into(),
            Code::FailedPrecondition,
            "MODEL_UNAVAILABLE",
        ),
        (
            OrchestratorError::RequestConflict.into(),
            Code::AlreadyExists,
            "REQUEST_ID_CONFLICT",
        ),
        (
            OrchestratorError::QueueFull(QueueScope::Server).into(),
            Code::ResourceExhausted,
            "QUEUE_FULL",
        ),
        (
            OrchestratorError::OutOfRange {
                after: zero,
                oldest: zero,
                last: zero,
            }
            .into(),
            Code::OutOfRange,
            "SEQUENCE_OUT_OF_RANGE",
        ),
        (
            OrchestratorError::Precondition { message: "no".into() }.into(),
            Code::FailedPrecondition,
            "TASK_STATE",
        ),
        (OrchestratorError::Draining.into(), Code::Unavailable, "DRAINING"),
        (
            OrchestratorError::StoreUnavailable(store_down()).into(),
            Code::Unavailable,
            "STORE_UNAVAILABLE",
        ),
        (OrchestratorError::Internal(boxed()).into(), Code::Internal, "INTERNAL"),
        (StoreError::NotFound.into(), Code::NotFound, "TASK_NOT_FOUND"),
        (
            StoreError::RequestConflict.into(),
            Code::AlreadyExists,
            "REQUEST_ID_CONFLICT",
        ),
        (
            StoreError::QueueFull {
                scope: QueueScope::Principal,
            }
            .into(),
            Code::ResourceExhausted,
            "QUEUE_FULL",
        ),
        (StoreError::LeaseLost.into(), Code::Internal, "INTERNAL"),
        (
            StoreError::OutOfRange {
                after: zero,
                oldest: zero,
                last: zero,
            }
            .into(),
            Code::OutOfRange,
            "SEQUENCE_OUT_OF_RANGE",
        ),
        (StoreError::StillLive.into(), Code::FailedPrecondition, "TASK_STATE"),
        (
            StoreError::Illegal(IllegalEvent::Finished).into(),
            Code::Internal,
            "INTERNAL",
        ),
        (store_down().into(), Code::Unavailable, "STORE_UNAVAILABLE"),
        (
            StoreError::Internal { source: boxed() }.into(),
            Code::Internal,
            "INTERNAL",
        ),
    ]
}

#[test]
fn every_error_has_its_code_its_reason_and_the_details_of_its_code() {
    for (status, code, reason) in every_status() {
        let details = status.get_error_details();
        let info = details.error_info().expect("ErrorInfo on every status");
        assert_eq!((status.code(), info.reason.as_str()), (code, reason), "{status:?}");
        assert_eq!(info.domain, DOMAIN);
        let wants_retry = matches!(code, Code::ResourceExhausted | Code::Unavailable);
        assert_eq!(details.retry_info().is_some(), wants_retry, "{status:?}");
        assert_eq!(
            details.quota_failure().is_some(),
            code == Code::ResourceExhausted,
            "{status:?}"
        );
        assert!(!status.message().contains("secret-path"), "{status:?}");
    }
}

#[test]
fn violations_and_cursors_are_told_in_full() {
    let violations = vec![
        Violation::new("name", "is wrong"),
        Violation::new("page_size", "is negative"),
    ];
    let status = invalid(violations);
    let details = status.get_error_details();
    let fields: Vec<_> = details
        .bad_request()
        .unwrap()
        .field_violations
        .iter()
        .map(|violation| (violation.field.as_str(), violation.description.as_str()))
        .collect();
    assert_eq!(fields, [("name", "is wrong"), ("page_size", "is negative")]);
    assert_eq!(
        status.message(),
        "the request is not valid: name is wrong; page_size is negative"
    );

    let status = out_of_range(Sequence(9), Sequence(3), Sequence(7));
    let metadata = status.get_error_details().error_info().unwrap().metadata.clone();
    let expected = [("oldest_sequence", "3"), ("last_sequence", "7")];
    assert_eq!(
        metadata,
        expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
    );
}

#[test]
fn what_the_transport_refuses_has_details_too() {
    let status = complete(Status::out_of_range("decoded message length too large"));
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.get_error_details().bad_request().is_some());
    let status = complete(Status::unimplemented(""));
    assert_eq!(status.get_error_details().error_info().unwrap().reason, "UNIMPLEMENTED");
    let ours = Status::from(OrchestratorError::TaskNotFound);
    assert_eq!(complete(ours.clone()).details(), ours.details());
}
