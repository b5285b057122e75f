//! What a Task leaves behind: results, evidence, findings, kept work, failures.

use backspace_sdk::v1;

use crate::api::convert::moment;
use crate::task::failure::{Failure, Reason};
use crate::task::result::{
    Evidence, Finding, FindingKind, PreservedWork, PullRequest, ResultKind, TaskResult, Verdict,
};

/// Converts a result.
pub(crate) fn result(result: &TaskResult) -> v1::TaskResult {
    let TaskResult {
        kind,
        evidence: facts,
        summary,
        pull_request: opened,
        branch,
        patch,
        patch_truncated,
    } = result;
    let kind = match kind {
        ResultKind::PullRequest => v1::task_result::Kind::PullRequest,
        ResultKind::Patch => v1::task_result::Kind::Patch,
        ResultKind::NoChange => v1::task_result::Kind::NoChange,
        ResultKind::Branch => v1::task_result::Kind::Branch,
    };
    v1::TaskResult {
        kind: kind.into(),
        evidence: facts.iter().map(evidence).collect(),
        summary: summary.clone(),
        pull_request: opened.as_ref().map(pull_request),
        branch: branch.clone().unwrap_or_default(),
        patch: patch.clone(),
        patch_truncated: *patch_truncated,
    }
}

/// Converts a recorded fact.
pub(crate) fn evidence(evidence: &Evidence) -> v1::Evidence {
    let Evidence {
        command,
        exit_code,
        duration,
        tree,
        baseline,
        timed_out,
        verdict: meaning,
    } = evidence;
    v1::Evidence {
        command: command.clone(),
        exit_code: *exit_code,
        duration: Some(moment::duration(*duration)),
        tree: tree.to_string(),
        baseline: *baseline,
        timed_out: *timed_out,
        verdict: verdict(*meaning).into(),
    }
}

/// Converts a verdict.
pub(crate) fn verdict(verdict: Verdict) -> v1::Verdict {
    match verdict {
        Verdict::Passed => v1::Verdict::Passed,
        Verdict::FailedOnBaseToo => v1::Verdict::FailedOnBaseToo,
        Verdict::NewlyRed => v1::Verdict::NewlyRed,
        Verdict::NotRun => v1::Verdict::NotRun,
    }
}

/// Converts a pull request.
pub(crate) fn pull_request(pull_request: &PullRequest) -> v1::PullRequest {
    let PullRequest {
        url,
        number,
        head_branch,
        base_branch,
        head_commit,
        head_repository,
        draft,
    } = pull_request;
    v1::PullRequest {
        url: url.clone(),
        number: *number,
        head_branch: head_branch.clone(),
        base_branch: base_branch.clone(),
        head_commit: head_commit.to_string(),
        head_repository: head_repository.clone().unwrap_or_default(),
        draft: *draft,
    }
}

/// Converts a finding.
pub(crate) fn finding(finding: &Finding) -> v1::Finding {
    let Finding { kind, path, message } = finding;
    let kind = match kind {
        FindingKind::TestDeleted => v1::finding::Kind::TestDeleted,
        FindingKind::TestSkipped => v1::finding::Kind::TestSkipped,
        FindingKind::TestWeakened => v1::finding::Kind::TestWeakened,
        FindingKind::ConfigurationTouched => v1::finding::Kind::ConfigurationTouched,
        FindingKind::SensitivePath => v1::finding::Kind::SensitivePath,
        FindingKind::Secret => v1::finding::Kind::Secret,
        FindingKind::UnusualFile => v1::finding::Kind::UnusualFile,
    };
    v1::Finding {
        kind: kind.into(),
        path: path.clone(),
        message: message.clone(),
    }
}

/// Converts kept work.
pub(crate) fn preserved_work(work: &PreservedWork) -> v1::PreservedWork {
    let PreservedWork {
        branch,
        pull_request: opened,
        patch,
        patch_truncated,
    } = work;
    v1::PreservedWork {
        branch: branch.clone().unwrap_or_default(),
        pull_request: opened.as_ref().map(pull_request),
        patch: patch.clone(),
        patch_truncated: *patch_truncated,
    }
}

/// Converts a failure.
pub(crate) fn failure(failure: &Failure) -> v1::Failure {
    let Failure {
        reason: cause,
        message,
        retryable,
    } = failure;
    v1::Failure {
        reason: reason(*cause).into(),
        message: message.clone(),
        retryable: *retryable,
    }
}

fn reason(reason: Reason) -> v1::failure::Reason {
    match reason {
        Reason::RepositoryUnavailable => v1::failure::Reason::RepositoryUnavailable,
        Reason::SandboxUnavailable => v1::failure::Reason::SandboxUnavailable,
        Reason::ModelUnavailable => v1::failure::Reason::ModelUnavailable,
        Reason::ModelRefused => v1::failure::Reason::ModelRefused,
        Reason::LimitReached => v1::failure::Reason::LimitReached,
        Reason::PublicationFailed => v1::failure::Reason::PublicationFailed,
        Reason::Internal => v1::failure::Reason::Internal,
        Reason::PolicyDenied => v1::failure::Reason::PolicyDenied,
        Reason::AgentGaveUp => v1::failure::Reason::AgentGaveUp,
        Reason::SetupFailed => v1::failure::Reason::SetupFailed,
        Reason::ModelProtocolError => v1::failure::Reason::ModelProtocolError,
        Reason::CrashedRepeatedly => v1::failure::Reason::CrashedRepeatedly,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_the_words_of_the_contract() {
        for word in Reason::ALL {
            assert_eq!(reason(word).as_str_name(), format!("REASON_{}", word.as_str()));
        }
    }
}
