//! An error as a person reads it: what happened, where, what to do next; and the exit code it means.
//!
//! Texts of a server are escaped here, on their way in, so that a problem can be printed as it is.

use std::fmt;

use backspace_sdk::{CallError, Error, Origin};
use tonic::Code;

use crate::escape;
use crate::exit::Exit;
use crate::measure;
use crate::paint::{Look, Paint};

/// Why the command could not do what it was asked.
#[derive(Debug)]
pub(crate) struct Problem {
    what: String,
    details: Vec<String>,
    next: Option<String>,
    exit: Exit,
}

impl Problem {
    /// Makes one of a sentence of ours; pass only escaped text of others in it.
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            details: Vec::new(),
            next: None,
            exit,
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub(crate) fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// Adds a line of detail.
    #[must_use]
    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.details.push(detail.into());
        self
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// Makes one of a failed write. A reader that went away, as `head` does, is nothing to speak of.
    pub(crate) fn of_output(error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::new(Exit::Other, ""),
            _ => Self::new(Exit::Other, format!("cannot write the output: {error}")),
        }
    }

    /// Whether there is anything to say.
    pub(crate) fn is_silent(&self) -> bool {
        self.what.is_empty()
    }

    /// Returns the text for standard error.
    pub(crate) fn render(&self, paint: Paint) -> String {
        let mut out = format!("{} {}", paint.text(Look::Red, "error:"), self.what);
        for detail in &self.details {
            out.push_str("\n  ");
            out.push_str(detail);
        }
        if let Some(next) = &self.next {
            out.push_str(&format!("\n  {} {next}", paint.text(Look::Bold, "next:")));
        }
        out
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.what)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let what = escape::line(&error.to_string());
        match &error {
            Error::Address { .. } | Error::Options { .. } => Self::new(Exit::Other, what),
            Error::Unreachable { .. } => Self::new(Exit::Unreachable, what).next(
                "start it with `backspace-server`, check the address, or leave --server out to use a private server",
            ),
            Error::Contract { .. } => Self::new(Exit::Other, what)
                .next("check with `backspace doctor` that server and command are of the same version"),
            Error::Lost {
                task, last_sequence, ..
            } => {
                let problem = Self::new(Exit::Unreachable, what);
                match task {
                    Some(task) => problem
                        .detail("the task goes on without us, if its server runs")
                        .next(format!(
                            "go on watching with `backspace watch {} --after {last_sequence}`",
                            escape::line(task)
                        )),
                    None => problem
                        .detail("it is not known whether the server accepted the task")
                        .next("look with `backspace list` before running it again"),
                }
            }
            Error::Call(call) => Self::of_call(call),
        }
    }
}

impl Problem {
    fn of_call(call: &CallError) -> Self {
        let message = match call.message.as_str() {
            "" => call.code.description().to_lowercase(),
            message => escape::line(message),
        };
        let mut problem = Self::new(exit_of_call(call), message);
        for violation in &call.violations {
            let (field, text) = (escape::line(&violation.field), escape::line(&violation.description));
            problem.details.push(format!("{field}: {text}"));
        }
        if !call.reason.is_empty() {
            problem.details.push(format!("reason: {}", escape::line(&call.reason)));
        }
        problem.next = next_of_call(call);
        problem
    }
}

fn exit_of_call(call: &CallError) -> Exit {
    match call.code {
        Code::Unauthenticated
        | Code::PermissionDenied
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::OutOfRange => Exit::Refused,
        Code::ResourceExhausted => Exit::Limit,
        Code::Unavailable | Code::DeadlineExceeded => Exit::Unreachable,
        Code::Internal | Code::Unknown | Code::Cancelled | Code::Aborted | Code::DataLoss => match call.origin {
            Origin::Server => Exit::Other,
            Origin::Transport => Exit::Unreachable,
        },
        Code::Ok | Code::Unimplemented => Exit::Other,
    }
}

fn next_of_call(call: &CallError) -> Option<String> {
    let wait = call.retry_after.map(measure::span);
    let next = match call.code {
        Code::Unauthenticated => "give a token with --token-file or BACKSPACE_TOKEN; \
             the server's keeper makes one with `backspace-server token create`"
            .to_owned(),
        Code::PermissionDenied => "ask the server's keeper to allow this for your token".to_owned(),
        Code::InvalidArgument => "correct what is named above; `--help` lists the forms".to_owned(),
        Code::NotFound => "see what there is with `backspace list`".to_owned(),
        Code::ResourceExhausted => match wait {
            Some(wait) => format!("try again in {wait}"),
            None => "wait until a task has ended, or ask the server's keeper for a higher limit".to_owned(),
        },
        Code::Unavailable | Code::DeadlineExceeded => match wait {
            Some(wait) => format!("try again in {wait}"),
            None => "try again in a moment; `backspace doctor` shows whether the server is well".to_owned(),
        },
        Code::Unimplemented => {
            "check with `backspace doctor` that this is a Backspace server of the same version".to_owned()
        }
        Code::Internal | Code::Unknown | Code::DataLoss => match call.origin {
            Origin::Server => "give the message above to the server's keeper: its log says more".to_owned(),
            Origin::Transport => "try again; if it stays, look for a proxy between here and the server".to_owned(),
        },
        Code::Ok
        | Code::Cancelled
        | Code::Aborted
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::OutOfRange => return None,
    };
    Some(next)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use tonic::Status;
    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::*;

    fn of_the_server(code: Code) -> Problem {
        let details = ErrorDetails::with_error_info("REASON_X", backspace_sdk::ERROR_DOMAIN, HashMap::new());
        Problem::from(Error::from(Status::with_error_details(code, "no", details)))
    }

    #[test]
    fn each_code_has_its_exit() {
        let table = [
            (Code::Unauthenticated, Exit::Refused),
            (Code::PermissionDenied, Exit::Refused),
            (Code::InvalidArgument, Exit::Refused),
            (Code::NotFound, Exit::Refused),
            (Code::ResourceExhausted, Exit::Limit),
            (Code::Unavailable, Exit::Unreachable),
            (Code::Internal, Exit::Other),
            (Code::Unimplemented, Exit::Other),
        ];
        for (code, exit) in table {
            assert_eq!(of_the_server(code).exit(), exit, "{code:?}");
        }
        assert_eq!(
            Problem::from(Error::from(Status::internal("reset"))).exit(),
            Exit::Unreachable
        );
    }

    #[test]
    fn violations_are_listed_by_field_and_escaped() {
        let mut details =
            ErrorDetails::with_error_info("REASON_UNSPECIFIED", backspace_sdk::ERROR_DOMAIN, HashMap::new());
        details.add_bad_request_violation("spec.instruction", "must not be empty");
        details.add_bad_request_violation("spec.repository.url", "\x1b[2J is no address");
        let status = Status::with_error_details(Code::InvalidArgument, "2 fields are invalid", details);
        let text = Problem::from(Error::from(status)).render(Paint::PLAIN);
        assert_eq!(
            text,
            "error: 2 fields are invalid\n  spec.instruction: must not be empty\n  \
             spec.repository.url: \\x1b[2J is no address\n  reason: REASON_UNSPECIFIED\n  \
             next: correct what is named above; `--help` lists the forms"
        );
    }

    #[test]
    fn a_delay_asked_for_is_passed_on() {
        let mut details = ErrorDetails::with_error_info("REASON_X", backspace_sdk::ERROR_DOMAIN, HashMap::new());
        details.set_retry_info(Some(Duration::from_secs(30)));
        let status = Status::with_error_details(Code::ResourceExhausted, "too many requests", details);
        let text = Problem::from(Error::from(status)).render(Paint::PLAIN);
        assert!(text.ends_with("next: try again in 30.0 s"), "{text}");
    }
}
