//! One attempt at an exercise: a Task of the service, and what the judge says of its result.
//!
//! What the model claims counts for nothing: a change counts when the Task succeeded, its branch was
//! pushed, and the hidden check is green on it. A failure of the machinery is not held against the model:
//! it is not measured, which is a result of its own.

use std::path::Path;
use std::time::{Duration, Instant};

use backspace_sdk::v1::failure::Reason;
use backspace_sdk::v1::publication::Mode;
use backspace_sdk::v1::task::Outcome;
use backspace_sdk::v1::task_event::Payload;
use backspace_sdk::v1::task_result::Kind;
use backspace_sdk::{Client, Error, v1};

use crate::exercise::{Exercise, RightAnswer};
use crate::judge::{Judge, JudgeError, Verdict};
use crate::repository::{Repository, RepositoryError};

/// What all attempts of a run share.
pub(crate) struct Bench<'a> {
    pub(crate) client: Client,
    pub(crate) judge: &'a Judge,
    /// Where the repositories are made.
    pub(crate) repositories: &'a Path,
    pub(crate) limits: v1::Limits,
}

/// What came of an attempt.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attempt {
    /// The Task's name; empty when none was made.
    pub(crate) task: String,
    pub(crate) outcome: Solution,
    pub(crate) usage: v1::Usage,
    /// From asking for the Task to its end; judging is not in it.
    pub(crate) wall: Duration,
    /// What the service itself found in the change: weakened tests and the like.
    pub(crate) findings: Vec<String>,
}

/// Whether an exercise was solved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Solution {
    Solved,
    Unsolved(String),
    /// The machinery failed, not the model.
    NotMeasured(String),
}

impl Default for Solution {
    fn default() -> Self {
        Self::NotMeasured("it was not run".into())
    }
}

/// What can keep an attempt from being measured.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    #[error(transparent)]
    Judge(#[from] JudgeError),
    #[error(transparent)]
    Service(#[from] Error),
    #[error("the stream of the task ended without its end")]
    NoEnd,
}

impl Bench<'_> {
    /// Runs an exercise with a model; `label` names this attempt's repository.
    pub(crate) async fn attempt(&self, exercise: &Exercise, model: &str, label: &str) -> Attempt {
        let mut attempt = Attempt::default();
        attempt.outcome = match self.run(exercise, model, label, &mut attempt).await {
            Ok(outcome) => outcome,
            Err(fault) => Solution::NotMeasured(fault.to_string()),
        };
        attempt
    }

    async fn run(
        &self,
        exercise: &Exercise,
        model: &str,
        label: &str,
        attempt: &mut Attempt,
    ) -> Result<Solution, Fault> {
        let bare = self.repositories.join(format!("{label}.git"));
        let repository = Repository::make(bare, &exercise.repository).await?;
        let spec = v1::TaskSpec {
            instruction: exercise.settings.instruction.clone(),
            repository: Some(v1::Repository {
                url: repository.url(),
                revision: None,
            }),
            model: model.into(),
            limits: Some(self.limits),
            publication: Some(v1::Publication {
                mode: Mode::BranchOnly.into(),
                ..v1::Publication::default()
            }),
            ..v1::TaskSpec::default()
        };
        let begun = Instant::now();
        let finished = self.follow(spec, attempt).await;
        attempt.wall = begun.elapsed();
        let task = finished?;
        attempt.usage = task.usage.unwrap_or_default();
        attempt.findings = task.findings.iter().map(finding).collect();
        let result = match task.outcome {
            Some(Outcome::Result(result)) => result,
            Some(Outcome::Failure(failure)) => return Ok(failed(&failure)),
            None => return Ok(Solution::NotMeasured("the task was cancelled".into())),
        };
        match (result.kind(), exercise.settings.right_answer) {
            (Kind::NoChange, RightAnswer::NoChange) => Ok(Solution::Solved),
            (Kind::NoChange, RightAnswer::Change) => Ok(Solution::Unsolved(format!(
                "it changed nothing, and said: {}",
                result.summary.trim()
            ))),
            (Kind::Branch | Kind::PullRequest, RightAnswer::NoChange) => Ok(Solution::Unsolved(format!(
                "it changed what needed no change, and said: {}",
                result.summary.trim()
            ))),
            (Kind::Branch | Kind::PullRequest, RightAnswer::Change) => {
                let commit = repository.commit_of(&result.branch).await?;
                Ok(match self.judge.judge(exercise, &repository, &commit).await? {
                    Verdict::Right => Solution::Solved,
                    Verdict::Wrong(why) => Solution::Unsolved(why),
                })
            }
            (kind, _) => Ok(Solution::NotMeasured(format!(
                "the result is {}, where a branch was asked for",
                kind.as_str_name()
            ))),
        }
    }

    /// Follows a Task to its end.
    async fn follow(&self, spec: v1::TaskSpec, attempt: &mut Attempt) -> Result<v1::Task, Fault> {
        let mut run = self.client.run_task(spec);
        while let Some(event) = run.next().await {
            let payload = event?.payload;
            if attempt.task.is_empty() {
                attempt.task = run.task().unwrap_or_default().to_owned();
            }
            match payload {
                // Kept as it goes, so that an attempt whose stream is lost has what was spent until then.
                Some(Payload::UsageUpdated(v1::UsageUpdated { usage: Some(usage) })) => attempt.usage = usage,
                Some(Payload::TaskFinished(v1::TaskFinished { task: Some(task) })) => return Ok(task),
                _ => {}
            }
        }
        Err(Fault::NoEnd)
    }
}

/// Tells a model's failure from the machinery's.
fn failed(failure: &v1::Failure) -> Solution {
    let name = failure.reason().as_str_name().trim_start_matches("REASON_");
    let why = format!("the task failed ({name}): {}", failure.message);
    match failure.reason() {
        Reason::LimitReached | Reason::AgentGaveUp | Reason::PolicyDenied => Solution::Unsolved(why),
        // A refusal is mostly that of a key, not of the work: counted against the model it would mislead.
        Reason::ModelRefused
        | Reason::ModelUnavailable
        | Reason::ModelProtocolError
        | Reason::RepositoryUnavailable
        | Reason::SandboxUnavailable
        | Reason::SetupFailed
        | Reason::PublicationFailed
        | Reason::CrashedRepeatedly
        | Reason::Internal
        | Reason::Unspecified => Solution::NotMeasured(why),
    }
}

fn finding(finding: &v1::Finding) -> String {
    let kind = finding.kind().as_str_name().trim_start_matches("KIND_").to_lowercase();
    format!("{kind} {}: {}", finding.path, finding.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_failure_is_unsolved_and_the_machinerys_is_not_measured() {
        let of = |reason: Reason| {
            failed(&v1::Failure {
                reason: reason.into(),
                message: "why".into(),
                retryable: false,
            })
        };
        assert_eq!(
            of(Reason::LimitReached),
            Solution::Unsolved("the task failed (LIMIT_REACHED): why".into())
        );
        assert_eq!(
            of(Reason::ModelUnavailable),
            Solution::NotMeasured("the task failed (MODEL_UNAVAILABLE): why".into())
        );
    }
}
