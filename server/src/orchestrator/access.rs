//! Small rules behind the orchestrator's calls: who may use which repository, what makes two
//! requests the same.

use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::forge::Access;
use crate::orchestrator::{CallResult, Caller, OrchestratorError, Parts, review};
use crate::store::RequestKey;
use crate::task::event::Ending;
use crate::task::record::TaskRecord;
use crate::task::result::PreservedWork;
use crate::task::spec::Revision;

/// Returns whether a caller may use a repository; `*` in a rule stands for any run of characters but `/`.
pub(super) fn may_use_repository(caller: &Caller, address: &str) -> bool {
    let Some(rules) = &caller.repositories else { return true };
    let address = address.to_ascii_lowercase();
    rules
        .iter()
        .any(|rule| rule == "*" || matches(&rule.to_ascii_lowercase(), &address))
}

fn matches(rule: &str, address: &str) -> bool {
    let (rule_parts, parts): (Vec<_>, Vec<_>) = (rule.split('/').collect(), address.split('/').collect());
    rule_parts.len() == parts.len()
        && rule_parts
            .iter()
            .zip(parts)
            .all(|(rule, part)| matches_part(rule, part))
}

fn matches_part(rule: &str, part: &str) -> bool {
    match rule.split_once('*') {
        None => rule == part,
        Some((head, tail)) => {
            let Some(rest) = part.strip_prefix(head) else {
                return false;
            };
            (0..=rest.len())
                .filter_map(|at| rest.get(at..))
                .any(|rest| matches_part(tail, rest))
        }
    }
}

/// Makes the key of an idempotent request: equal for equal requests.
pub(super) fn request_key(id: Uuid, request: &impl Serialize) -> Result<RequestKey, serde_json::Error> {
    let hash = Sha256::digest(serde_json::to_vec(request)?).into();
    Ok(RequestKey { id, hash })
}

/// Returns the number of the pull request that a Task ended with.
pub(super) fn pull_request_number(ending: &Ending, preserved: Option<&PreservedWork>) -> Option<u64> {
    let opened = match ending {
        Ending::Succeeded(result) => result.pull_request.as_ref(),
        Ending::Failed(_) | Ending::Cancelled => None,
    };
    opened
        .or_else(|| preserved.and_then(|work| work.pull_request.as_ref()))
        .map(|pull_request| pull_request.number)
}

/// Fetches the review comments of a Task's pull request as what the next Task is asked for.
pub(super) async fn fetch_review_comments(parts: &Parts, record: &TaskRecord, number: u64) -> CallResult<String> {
    let precondition = |error: crate::forge::ForgeError| OrchestratorError::Precondition {
        message: error.to_string(),
    };
    let forge = parts
        .forge(&record.spec.repository)
        .ok_or(OrchestratorError::RepositoryDenied)?;
    let forge = Arc::clone(forge).session(Access::Read);
    let read = async {
        let repository = forge
            .repository(&record.spec.repository, &Revision::DefaultBranch, Access::Read)
            .await?;
        forge.review_comments(&repository, number).await
    };
    let comments = read.await;
    forge.close().await;
    let comments = comments.map_err(precondition)?;
    if comments.is_empty() {
        return Err(OrchestratorError::Precondition {
            message: "the pull request has no unresolved review comments".into(),
        });
    }
    Ok(review::instruction(&comments))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::id::PrincipalId;

    #[test]
    fn repository_rules_match_whole_parts() {
        let caller = |rules: &[&str]| Caller {
            principal: PrincipalId::new("p"),
            requester: String::new(),
            repositories: Some(rules.iter().map(|&rule| rule.to_owned()).collect()),
        };
        let address = "https://github.com/Octo/hello";
        for (rules, expected) in [
            (&["https://github.com/octo/*"][..], true),
            (&["https://github.com/*/hello"], true),
            (&["https://github.com/oct*o/he*"], true),
            (&["*"], true),
            (&["https://github.com/*"], false),
            (&["https://github.com/octo/hell"], false),
            (&[], false),
        ] {
            assert_eq!(may_use_repository(&caller(rules), address), expected, "{rules:?}");
        }
    }
}
