//! PUBLISHING: policy on the diff → the host's commit → push → pull request → the ending.
//!
//! Every step may be repeated after a crash: the commit id is the same, the push is create-only or
//! leased, and a pull request is looked up before one is opened. A cancel that comes after the push
//! has begun is too late; before it, nothing leaves.

use std::sync::Arc;

use crate::forge::git::{CommitMessage, DiffRequest, Quarantine, Signature};
use crate::forge::policy;
use crate::forge::{Forge, Repository};
use crate::orchestrator::analyse::Analysis;
use crate::orchestrator::fetch::{fetch, open_repository};
use crate::orchestrator::publish::push::{Landing, OnMove};
use crate::orchestrator::pull_request::title;
use crate::orchestrator::rebase;
use crate::orchestrator::run::{Halt, StopSignals};
use crate::orchestrator::run_log::RunLog;
use crate::orchestrator::workbench::{Workbench, git_halt};
use crate::orchestrator::{Parts, finish, prepare};
use crate::task::event::{CutText, Ending, EventPayload};
use crate::task::failure::{Failure, Reason};
use crate::task::id::{ObjectId, Timestamp};
use crate::task::record::{Base, PublicationIntent, TaskRecord};
use crate::task::result::{PreservedWork, PullRequest, ResultKind, TaskResult};
use crate::task::spec::PublicationMode;

mod branch;
mod opening;
mod push;

/// A finished change.
pub(super) struct Change {
    /// Its tree.
    pub(super) tree: ObjectId,
}

/// What publishing works with; made of a workbench, or anew after a crash.
struct Desk {
    forge: Arc<dyn Forge>,
    repository: Repository,
    quarantine: Quarantine,
    base: Base,
    /// What the repository wants a pull request to tell.
    template: Option<String>,
}

/// What became of a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Published {
    /// The Task has ended.
    Ended,
    /// The branch that the Task goes on from has moved meanwhile, and there is a try left to follow it.
    BranchMoved,
}

/// Publishes a change and ends the Task, unless its branch has moved.
pub(super) async fn publish(
    parts: &Parts,
    log: &RunLog,
    signals: &StopSignals,
    bench: &Workbench,
    change: &Change,
) -> Result<Published, Halt> {
    signals.check()?;
    let desk = Desk {
        forge: Arc::clone(&bench.forge),
        repository: bench.repository.clone(),
        quarantine: bench.workspace.quarantine().clone(),
        base: bench.base.clone(),
        template: template(&bench.analysis),
    };
    let patch = desk.patch(&change.tree).await?;
    let text = finish::store_patch(parts, log, patch).await?;
    desk.judge(parts, log, &bench.analysis.settings.protected_paths, &change.tree)
        .await?;
    let mode = log.record().spec.publication.mode;
    if mode == PublicationMode::PatchOnly || !desk.repository.can_push {
        desk.end(log, ResultKind::Patch, text, None).await?;
        return Ok(Published::Ended);
    }
    log.enter_publishing().await?;
    if let Some(fork) = &desk.repository.push_to {
        log.step(91, &format!("Pushing to the fork {fork}")).await?;
    }
    let intent = signals.interrupt(desk.intend(parts, log, &change.tree)).await?;
    log.write(Vec::new(), |progress| progress.publication = Some(intent))
        .await?;
    let on_move = if rebase::may_follow(&log.record().progress) {
        OnMove::Tell
    } else {
        OnMove::GoBeside
    };
    desk.carry_out(parts, log, signals, text, on_move).await
}

/// Goes on with a publication that an earlier run had decided.
pub(super) async fn resume(parts: &Arc<Parts>, log: &RunLog, signals: &StopSignals) -> Result<(), Halt> {
    let reach = async {
        let (forge, repository) = open_repository(parts, log).await?;
        let (_, quarantine, base) = fetch(parts, log, forge.as_ref(), &repository).await?;
        let known = prepare::known_analysis(parts, &repository, &base.commit).await?;
        Ok::<_, Halt>(Desk {
            forge,
            repository,
            quarantine,
            base,
            template: known.as_ref().and_then(template),
        })
    };
    let is_pushed = log.record().progress.publication.is_some_and(|intent| intent.pushed);
    let desk = match is_pushed {
        true => signals.unless_draining(reach).await?,
        false => signals.interrupt(reach).await?,
    };
    let Some(intent) = log.record().progress.publication else {
        return Err(Failure::lasting(Reason::Internal, "there is no publication to go on with").into());
    };
    let patch = desk.patch(&intent.tree).await?;
    let text = finish::store_patch(parts, log, patch).await?;
    // Without a sandbox there is nobody to put the change on top of what others pushed.
    desk.carry_out(parts, log, signals, text, OnMove::GoBeside)
        .await
        .map(|_| ())
}

fn template(analysis: &Analysis) -> Option<String> {
    let template = analysis.pull_request_template.as_ref()?;
    Some(template.text.clone())
}

impl Desk {
    async fn patch(&self, tree: &ObjectId) -> Result<Vec<u8>, Halt> {
        let request = DiffRequest::Appliable(finish::MAX_PATCH_BYTES);
        let diff = self
            .quarantine
            .diff(&self.base.tree, tree, request)
            .await
            .map_err(git_halt)?;
        Ok(diff.patch.bytes)
    }

    /// Applies the policy; a denial is recorded and stops the publication.
    async fn judge(&self, parts: &Parts, log: &RunLog, protected: &[String], tree: &ObjectId) -> Result<(), Halt> {
        let broken = |error: &dyn std::error::Error| Failure::lasting(Reason::SetupFailed, error.to_string());
        let policy = parts.diff_policy.narrowed(protected).map_err(|error| broken(&error))?;
        let report = policy
            .check(&self.quarantine, &self.base.tree, tree)
            .await
            .map_err(git_halt)?;
        let event = |denial: &policy::Denial| EventPayload::PolicyDenied {
            policy: denial.policy.to_owned(),
            subject: denial.subject.clone(),
            message: denial.message.clone(),
        };
        let findings = report.findings;
        log.write(report.denials.iter().map(event).collect(), |progress| {
            progress.findings = findings
        })
        .await?;
        if report.denials.is_empty() {
            return Ok(());
        }
        let what = report
            .denials
            .iter()
            .map(|denial| format!("{}: {}", denial.subject, denial.message));
        let message = format!("the change may not leave: {}", what.collect::<Vec<_>>().join("; "));
        Err(Failure::lasting(Reason::PolicyDenied, message).into())
    }

    /// Decides branch, parent and commit.
    async fn intend(&self, parts: &Parts, log: &RunLog, tree: &ObjectId) -> Result<PublicationIntent, Halt> {
        let record = log.record();
        let (branch, expected_head) = self.branch(parts, log, &record).await?;
        let commit = self.commit(parts, &record, &self.base.commit, tree).await?;
        Ok(PublicationIntent {
            push_to: self.repository.push_to.clone(),
            branch: branch.to_string(),
            expected_head,
            parent: self.base.commit.clone(),
            tree: tree.clone(),
            commit,
            pushed: false,
            pull_request: None,
        })
    }

    /// Makes the commit: the same id for the same Task, parent and tree.
    async fn commit(
        &self,
        parts: &Parts,
        record: &TaskRecord,
        parent: &ObjectId,
        tree: &ObjectId,
    ) -> Result<ObjectId, Halt> {
        let author = Signature {
            name: "Backspace".into(),
            email: "backspace@noreply.invalid".into(),
            time: Timestamp(record.create_time.0 / 1_000_000 * 1_000_000),
        };
        let summary = record.progress.summary.as_deref().unwrap_or_default();
        let summary = parts.redactor.mask(summary);
        let subject = parts.redactor.mask(&title(&record.spec.instruction)).into_owned();
        let message = CommitMessage::new(&subject, &summary, Some(&record.requester));
        self.quarantine
            .commit_tree(parent, tree, &message, &author)
            .await
            .map_err(git_halt)
    }

    async fn carry_out(
        &self,
        parts: &Parts,
        log: &RunLog,
        signals: &StopSignals,
        patch: CutText,
        on_move: OnMove,
    ) -> Result<Published, Halt> {
        if self.push(log, signals, on_move).await? == Landing::Moved {
            log.write(Vec::new(), |progress| progress.publication = None).await?;
            return Ok(Published::BranchMoved);
        }
        let mode = log.record().spec.publication.mode;
        if mode == PublicationMode::BranchOnly {
            self.end(log, ResultKind::Branch, patch, None).await?;
            return Ok(Published::Ended);
        }
        log.step(95, "Opening the pull request").await?;
        // A wait that the forge demands may be long; the next run looks before it opens.
        let pull_request = signals.unless_draining(self.open(parts, log)).await?;
        let opened = pull_request.clone();
        log.write(
            vec![EventPayload::PullRequestOpened {
                pull_request: pull_request.clone(),
            }],
            |progress| {
                if let Some(intent) = &mut progress.publication {
                    intent.pull_request = Some(opened);
                }
            },
        )
        .await?;
        self.end(log, ResultKind::PullRequest, patch, Some(pull_request))
            .await?;
        Ok(Published::Ended)
    }

    /// Ends the Task: with a result, or as failed with its work kept when the agent was stopped.
    async fn end(
        &self,
        log: &RunLog,
        kind: ResultKind,
        patch: CutText,
        pull_request: Option<PullRequest>,
    ) -> Result<(), Halt> {
        let progress = log.record().progress;
        let branch = progress
            .publication
            .as_ref()
            .filter(|intent| intent.pushed)
            .map(|intent| intent.branch.clone());
        let findings = progress.findings.clone();
        let (ending, preserved) = match progress.stopped {
            Some(failure) => {
                let preserved = PreservedWork {
                    branch,
                    pull_request,
                    patch: patch.text,
                    patch_truncated: patch.truncated,
                };
                (Ending::Failed(failure), Some(preserved))
            }
            None => {
                let result = TaskResult {
                    kind,
                    evidence: progress.evidence,
                    summary: progress.summary.unwrap_or_default(),
                    pull_request,
                    branch,
                    patch: patch.text,
                    patch_truncated: patch.truncated,
                };
                (Ending::Succeeded(result), None)
            }
        };
        Ok(finish::end(log, ending, preserved, findings).await?)
    }
}
