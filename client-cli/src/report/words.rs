//! The contract's enums in words. A value this build does not know has words too.

use backspace_sdk::v1::Verdict;
use backspace_sdk::v1::failure::Reason;
use backspace_sdk::v1::finding;
use backspace_sdk::v1::task::State;

/// A state in words.
pub(crate) fn state_word(state: State) -> &'static str {
    match state {
        State::Unspecified => "Unknown state",
        State::Queued => "Waiting for a free slot",
        State::Preparing => "Preparing",
        State::Running => "Working",
        State::Verifying => "Checking the change",
        State::Publishing => "Publishing",
        State::Succeeded => "Succeeded",
        State::Failed => "Failed",
        State::Cancelled => "Cancelled",
    }
}

/// What a check's result means, in words.
pub(crate) fn verdict_words(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Unspecified => "",
        Verdict::Passed => "passed",
        Verdict::FailedOnBaseToo => "failed on the base too",
        Verdict::NewlyRed => "newly red",
        Verdict::NotRun => "not run",
    }
}

/// What a failure's reason means, in words.
pub(super) fn reason_words(reason: Reason) -> &'static str {
    match reason {
        Reason::Unspecified => "not classified",
        Reason::RepositoryUnavailable => "the repository is not available",
        Reason::SandboxUnavailable => "no sandbox",
        Reason::ModelUnavailable => "the model is not available",
        Reason::ModelRefused => "the model's provider refused",
        Reason::LimitReached => "a limit was reached",
        Reason::PublicationFailed => "the change could not be published",
        Reason::Internal => "a defect of the server",
        Reason::PolicyDenied => "a policy refused the change",
        Reason::AgentGaveUp => "the agent gave up",
        Reason::SetupFailed => "the repository's set-up failed",
        Reason::ModelProtocolError => "the model's provider broke its protocol",
        Reason::CrashedRepeatedly => "the task took the server down more than once",
    }
}

/// What a reviewer should look at, in words.
pub(super) fn finding_words(kind: finding::Kind) -> &'static str {
    match kind {
        finding::Kind::Unspecified => "note",
        finding::Kind::TestDeleted => "test deleted",
        finding::Kind::TestSkipped => "test skipped",
        finding::Kind::TestWeakened => "test weakened",
        finding::Kind::ConfigurationTouched => "configuration touched",
        finding::Kind::SensitivePath => "sensitive path",
        finding::Kind::Secret => "possible secret",
        finding::Kind::UnusualFile => "unusual file",
    }
}
