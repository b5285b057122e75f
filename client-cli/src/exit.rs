//! What the command's exit code says. The numbers are a promise to scripts: they are listed in
//! `--help` and in docs/cli.md, and none is ever given another meaning.

use std::process::ExitCode;

use backspace_sdk::v1;
use backspace_sdk::v1::failure::Reason;
use backspace_sdk::v1::task::{Outcome, State};

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It did what it was asked; for a Task: it succeeded, also when no change was needed.
    Succeeded = 0,
    /// Wrong usage, or something that has no code of its own.
    Other = 1,
    /// The Task failed.
    TaskFailed = 2,
    /// The Task was cancelled.
    TaskCancelled = 3,
    /// The server cannot be reached, or the connection was lost for good.
    Unreachable = 4,
    /// The server said no: token, permission, an invalid or unknown name.
    Refused = 5,
    /// A limit: too many requests, a full queue, or a bound of the Task.
    Limit = 6,
    /// No Task can run here: `doctor` found a fault, or the private server did not start.
    Unusable = 7,
    /// Left by Ctrl-C before the Task ended.
    Interrupted = 130,
}

/// The list as `--help` shows it.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0    done; for a task: it succeeded, also when no change was needed
  1    wrong usage, or another error
  2    the task failed
  3    the task was cancelled
  4    the server cannot be reached, or the connection was lost for good
  5    the server refused: token, permission, invalid input, unknown name
  6    a limit: too many requests, a full queue, or a bound of the task
  7    no task can run: `doctor` found a fault, or the private server did not start
  130  left by Ctrl-C before the task ended";

impl Exit {
    /// The code for a Task that has ended; another Task is none.
    pub(crate) fn of_task(task: &v1::Task) -> Self {
        match task.state() {
            State::Succeeded => Self::Succeeded,
            State::Cancelled => Self::TaskCancelled,
            State::Failed => match &task.outcome {
                Some(Outcome::Failure(failure)) if failure.reason() == Reason::LimitReached => Self::Limit,
                Some(Outcome::Failure(_) | Outcome::Result(_)) | None => Self::TaskFailed,
            },
            State::Unspecified
            | State::Queued
            | State::Preparing
            | State::Running
            | State::Verifying
            | State::Publishing => Self::Other,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(reason: Reason) -> v1::Task {
        let failure = v1::Failure {
            reason: reason.into(),
            ..Default::default()
        };
        v1::Task {
            state: State::Failed.into(),
            outcome: Some(Outcome::Failure(failure)),
            ..Default::default()
        }
    }

    #[test]
    fn each_end_of_a_task_has_its_code() {
        let of = |state: State| {
            Exit::of_task(&v1::Task {
                state: state.into(),
                ..Default::default()
            })
        };
        assert_eq!(of(State::Succeeded), Exit::Succeeded);
        assert_eq!(of(State::Cancelled), Exit::TaskCancelled);
        assert_eq!(of(State::Failed), Exit::TaskFailed);
        assert_eq!(Exit::of_task(&failed(Reason::LimitReached)), Exit::Limit);
        assert_eq!(Exit::of_task(&failed(Reason::AgentGaveUp)), Exit::TaskFailed);
    }

    #[test]
    fn the_list_names_every_code() {
        for exit in [
            Exit::Succeeded,
            Exit::Other,
            Exit::TaskFailed,
            Exit::TaskCancelled,
            Exit::Unreachable,
            Exit::Refused,
            Exit::Limit,
            Exit::Unusable,
            Exit::Interrupted,
        ] {
            let line = format!("\n  {:<4} ", exit as u8);
            assert!(EXIT_CODES.contains(&line), "{exit:?}");
        }
    }
}
