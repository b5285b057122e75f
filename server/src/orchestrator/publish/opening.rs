//! The pull request of a pushed change, written from what was recorded.

use crate::forge::NewPullRequest;
use crate::orchestrator::Parts;
use crate::orchestrator::fetch::retry_forge;
use crate::orchestrator::publish::Desk;
use crate::orchestrator::publish::branch::bad_name;
use crate::orchestrator::pull_request::{Facts, body, title};
use crate::orchestrator::run::Halt;
use crate::orchestrator::run_log::RunLog;
use crate::store::visit_events;
use crate::task::branch::BranchName;
use crate::task::event::EventPayload;
use crate::task::failure::{Failure, Reason};
use crate::task::id::Sequence;
use crate::task::record::TaskRecord;
use crate::task::result::PullRequest;
use crate::task::spec::PublicationMode;

impl Desk {
    /// Opens the pull request, or adopts the one that an earlier try opened.
    pub(super) async fn open(&self, parts: &Parts, log: &RunLog) -> Result<PullRequest, Halt> {
        let record = log.record();
        let Some(intent) = &record.progress.publication else {
            return Err(Failure::lasting(Reason::Internal, "there is no publication to open").into());
        };
        let denied = denied_lines(parts, &record).await?;
        let model = parts
            .models
            .resolve(record.spec.model.as_deref())
            .map(|model| model.name)
            .unwrap_or_default();
        let facts = Facts {
            record: &record,
            summary: record.progress.summary.as_deref(),
            stopped: record.progress.stopped.as_ref().map(|failure| failure.message.as_str()),
            evidence: &record.progress.evidence,
            findings: &record.progress.findings,
            denied: &denied,
            notes: &record.progress.notes,
            model: &model,
            link: parts.config.task_link(record.id),
            template: self.template.as_deref(),
        };
        let publication = &record.spec.publication;
        let new = NewPullRequest {
            task: record.id,
            title: parts.redactor.mask(&title(&record.spec.instruction)).into_owned(),
            body: parts.redactor.mask(&body(&facts)).into_owned(),
            head_branch: BranchName::parse(&intent.branch).map_err(bad_name)?,
            head_commit: intent.commit.clone(),
            base_branch: self.repository.base_branch.clone(),
            draft: publication.mode == PublicationMode::DraftPullRequest || record.progress.stopped.is_some(),
            labels: publication.labels.clone(),
            reviewers: publication.reviewers.clone(),
            assignees: publication.assignees.clone(),
        };
        let opened = retry_forge(log, || self.forge.open_pull_request(&self.repository, new.clone()))
            .await
            .map_err(not_opened)?;
        let warning = |remark: &String| EventPayload::Warning {
            message: parts.redactor.mask(remark).into_owned(),
        };
        log.events(opened.remarks.iter().map(warning).collect()).await?;
        Ok(opened.pull_request)
    }
}

/// The repository was there a moment ago: what failed is the publication.
fn not_opened(halt: Halt) -> Halt {
    match halt {
        Halt::Failed(failure) => Halt::Failed(Failure {
            reason: Reason::PublicationFailed,
            message: format!("the pull request could not be opened: {}", failure.message),
            retryable: failure.retryable,
        }),
        other => other,
    }
}

/// Lists the refusals of a Task, for its pull request.
async fn denied_lines(parts: &Parts, record: &TaskRecord) -> Result<Vec<String>, Halt> {
    let mut lines = Vec::new();
    visit_events(parts.store.as_ref(), record.id, Sequence::ZERO, |event| {
        if let EventPayload::PolicyDenied {
            policy,
            subject,
            message,
        } = &event.payload
        {
            lines.push(format!("{policy}: {subject} ({message})"));
        }
    })
    .await?;
    Ok(lines)
}
