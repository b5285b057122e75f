//! What can go wrong for a caller, by what the caller does about it.
//!
//! An answer of the server is told from a fault of the connection by its `google.rpc.ErrorInfo`: every
//! failed call of this contract carries one with the domain `backspace`, and no proxy, reset or broken
//! connection does. The code alone cannot tell: an HTTP/2 reset is INTERNAL too.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use thiserror::Error;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// `google.rpc.ErrorInfo.domain` of every error that the server itself made.
pub const ERROR_DOMAIN: &str = "backspace";

/// Why a call, a run or a connection did not work out.
#[derive(Debug, Error)]
pub enum Error {
    /// The address is not one to connect to.
    #[error("the server address {address:?} {reason}")]
    Address {
        /// The address as given.
        address: String,
        /// What is wrong with it and what to write instead.
        reason: String,
    },
    /// A token, a certificate or another option cannot be used.
    #[error("{reason}")]
    Options {
        /// What is wrong, on what.
        reason: String,
    },
    /// Nothing answers at the address.
    #[error("no Backspace server can be reached at {address}: {}", root_cause(.source))]
    Unreachable {
        /// The address tried.
        address: String,
        /// What the transport says.
        #[source]
        source: tonic::transport::Error,
    },
    /// The server answered, and the answer is no.
    #[error("{0}")]
    Call(#[source] Box<CallError>),
    /// The connection was lost and could not be made again in time; the Task goes on without us.
    #[error("the connection was lost and could not be made again in {} s: {source}", .lost_for.as_secs())]
    Lost {
        /// The Task's name, if the server had told it.
        task: Option<String>,
        /// The last durable event that was delivered.
        last_sequence: u64,
        /// How long it was tried for.
        lost_for: Duration,
        /// The last fault.
        #[source]
        source: Box<CallError>,
    },
    /// The server broke the contract.
    #[error("the server broke the contract: {reason}")]
    Contract {
        /// What it did.
        reason: String,
    },
}

impl Error {
    /// Returns the failed call behind this error, if there was one.
    pub fn call(&self) -> Option<&CallError> {
        match self {
            Self::Call(call) | Self::Lost { source: call, .. } => Some(call),
            Self::Address { .. } | Self::Options { .. } | Self::Unreachable { .. } | Self::Contract { .. } => None,
        }
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self::Call(Box::new(CallError::from(status)))
    }
}

/// A failed call with its `google.rpc` details taken apart.
#[derive(Debug, Clone)]
pub struct CallError {
    /// The gRPC code.
    pub code: Code,
    /// For a person.
    pub message: String,
    /// For a program: the words of `Failure.Reason` where they apply. Empty without an ErrorInfo.
    pub reason: String,
    /// What the ErrorInfo says beside the reason.
    pub metadata: HashMap<String, String>,
    /// Every field that was refused.
    pub violations: Vec<FieldViolation>,
    /// How long the server asks to be left alone.
    pub retry_after: Option<Duration>,
    /// Who made this error.
    pub origin: Origin,
    status: Status,
}

/// Who made an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The Backspace server: it has an ErrorInfo of our domain.
    Server,
    /// The connection, a proxy, or another kind of server.
    Transport,
}

/// A field that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldViolation {
    /// Path of the field in the request: `spec.repository.url`.
    pub field: String,
    /// What is wrong with it.
    pub description: String,
}

impl CallError {
    /// Returns the status as it came.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// Whether the same call may be answered otherwise a moment later, on this or a new connection.
    pub fn is_retryable(&self) -> bool {
        match self.origin {
            Origin::Server => self.code == Code::Unavailable || self.retry_after.is_some(),
            Origin::Transport => match self.code {
                Code::Unavailable
                | Code::Internal
                | Code::Unknown
                | Code::Cancelled
                | Code::Aborted
                | Code::DeadlineExceeded
                | Code::DataLoss
                | Code::OutOfRange
                | Code::ResourceExhausted => true,
                Code::Ok
                | Code::InvalidArgument
                | Code::NotFound
                | Code::AlreadyExists
                | Code::PermissionDenied
                | Code::FailedPrecondition
                | Code::Unimplemented
                | Code::Unauthenticated => false,
            },
        }
    }
}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info().filter(|info| info.domain == ERROR_DOMAIN);
        let violations = details
            .bad_request()
            .map(|request| request.field_violations.as_slice())
            .unwrap_or_default();
        Self {
            code: status.code(),
            message: status.message().to_owned(),
            reason: info.map(|info| info.reason.clone()).unwrap_or_default(),
            metadata: info.map(|info| info.metadata.clone()).unwrap_or_default(),
            violations: violations
                .iter()
                .map(|violation| FieldViolation {
                    field: violation.field.clone(),
                    description: violation.description.clone(),
                })
                .collect(),
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
            origin: if info.is_some() {
                Origin::Server
            } else {
                Origin::Transport
            },
            status,
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.message.is_empty() {
            write!(formatter, "{}", self.code.description().to_lowercase())?;
        } else {
            write!(formatter, "{}", self.message)?;
        }
        for violation in &self.violations {
            write!(formatter, "; {}: {}", violation.field, violation.description)?;
        }
        Ok(())
    }
}

impl std::error::Error for CallError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // The status's own text is in ours already; what it was made from is news.
        std::error::Error::source(&self.status)
    }
}

/// The innermost cause: tonic's outer texts say "transport error" and nothing else.
pub(crate) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    fn of_the_server(code: Code, retry_after: Option<Duration>) -> CallError {
        let mut details = ErrorDetails::with_error_info("REASON_X", ERROR_DOMAIN, HashMap::new());
        if retry_after.is_some() {
            details.set_retry_info(retry_after);
        }
        CallError::from(Status::with_error_details(code, "no", details))
    }

    #[test]
    fn details_are_taken_apart() {
        let mut details = ErrorDetails::with_error_info("REASON_POLICY_DENIED", ERROR_DOMAIN, HashMap::new());
        details.add_bad_request_violation("spec.instruction", "must not be empty");
        details.add_bad_request_violation("spec.repository.url", "is no address");
        details.set_retry_info(Some(Duration::from_secs(3)));
        let error = CallError::from(Status::with_error_details(
            Code::InvalidArgument,
            "2 fields are invalid",
            details,
        ));
        assert_eq!(error.reason, "REASON_POLICY_DENIED");
        assert_eq!(error.retry_after, Some(Duration::from_secs(3)));
        assert_eq!(error.origin, Origin::Server);
        assert_eq!(
            error.to_string(),
            "2 fields are invalid; spec.instruction: must not be empty; spec.repository.url: is no address"
        );
    }

    #[test]
    fn an_answer_of_the_server_is_final_unless_it_is_unavailable_or_names_a_delay() {
        let table = [
            (Code::Unavailable, None, true),
            (Code::Internal, None, false),
            (Code::Unknown, None, false),
            (Code::NotFound, None, false),
            (Code::OutOfRange, None, false),
            (Code::ResourceExhausted, None, false),
            (Code::ResourceExhausted, Some(Duration::from_secs(1)), true),
            (Code::Aborted, Some(Duration::from_secs(1)), true),
        ];
        for (code, retry_after, retryable) in table {
            assert_eq!(
                of_the_server(code, retry_after).is_retryable(),
                retryable,
                "{code:?} {retry_after:?}"
            );
        }
    }

    #[test]
    fn a_fault_of_the_connection_is_retryable_whatever_code_it_was_given() {
        for code in [
            Code::Unavailable,
            Code::Internal,
            Code::Unknown,
            Code::Cancelled,
            Code::ResourceExhausted,
        ] {
            let error = CallError::from(Status::new(code, "h2 protocol error: reset"));
            assert!(error.is_retryable(), "{code:?}");
        }
        for code in [Code::Unauthenticated, Code::PermissionDenied, Code::Unimplemented] {
            assert!(
                !CallError::from(Status::new(code, "from a proxy")).is_retryable(),
                "{code:?}"
            );
        }
    }

    #[test]
    fn an_error_info_of_another_domain_is_not_ours() {
        let details = ErrorDetails::with_error_info("X", "proxy.example", HashMap::new());
        let error = CallError::from(Status::with_error_details(Code::Internal, "no", details));
        assert_eq!((error.origin, error.reason.as_str()), (Origin::Transport, ""));
    }
}
