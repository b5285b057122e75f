//! PUBLISHING: policy on the diff → the host's commit → push → pull request → the ending.
//!
//! Every step may be repeated after a crash: the commit id is the same, the push is create-only or
//! leased, and a pull request is looked up before one is opened. A cancel that comes after the push
//! has begun is too late; before it, nothing leaves.

use std::sync::Arc;

use crate::forge::git::{CommitMessage, DiffRequest, Pushed, Quarantine, Signature};
use crate::forge::policy;
use crate::forge::{Access, Forge, NewPullRequest, Repository};
use crate::orchestrator::prepare::{fetch, open_repository, remote, retry_forge};
use crate::orchestrator::pull_request::{Facts, body, title};
use crate::orchestrator::run::{Halt, StopSignals};
use crate::orchestrator::run_log::RunLog;
use crate::orchestrator::workbench::{Workbench, git_halt};
use crate::orchestrator::{Parts, finish};
use crate::task::branch::BranchName;
use crate::task::event::{CutText, Ending, EventPayload};
use crate::task::failure::{Failure, Reason};
use crate::task::id::{ObjectId, Timestamp};
use crate::task::record::{Base, PublicationIntent, TaskRecord};
use crate::task::result::{PreservedWork, PullRequest, ResultKind, TaskResult};
use crate::task::spec::PublicationMode;

/// Names tried when a branch of that name is somebody else's.
const BRANCH_TRIES: u32 = 3;

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
}

/// Publishes a change and ends the Task.
pub(super) async fn publish(
    parts: &Parts,
    log: &RunLog,
    signals: &StopSignals,
    bench: &Workbench,
    change: &Change,
) -> Result<(), Halt> {
    signals.check()?;
    let desk = Desk {
        forge: Arc::clone(&bench.forge),
        repository: bench.repository.clone(),
        quarantine: bench.workspace.quarantine().clone(),
        base: bench.base.clone(),
    };
    let patch = desk.patch(&change.tree).await?;
    let text = finish::store_patch(parts, log, patch).await?;
    desk.judge(parts, log, &bench.analysis.settings.protected_paths, &change.tree)
        .await?;
    let mode = log.record().spec.publication.mode;
    if mode == PublicationMode::PatchOnly || !desk.repository.can_push {
        return desk.end(parts, log, ResultKind::Patch, text, None).await;
    }
    log.enter_publishing().await?;
    let intent = desk.intend(parts, log, &change.tree).await?;
    log.write(Vec::new(), |progress| progress.publication = Some(intent))
        .await?;
    desk.carry_out(parts, log, signals, text).await
}

/// Goes on with a publication that an earlier run had decided.
pub(super) async fn resume(parts: &Arc<Parts>, log: &RunLog, signals: &StopSignals) -> Result<(), Halt> {
    let (forge, repository) = open_repository(parts, log).await?;
    let (_, quarantine, base) = fetch(parts, log, forge.as_ref(), &repository).await?;
    let desk = Desk {
        forge,
        repository,
        quarantine,
        base,
    };
    let Some(intent) = log.record().progress.publication else {
        return Err(Failure::lasting(Reason::Internal, "there is no publication to go on with").into());
    };
    let patch = desk.patch(&intent.tree).await?;
    let text = finish::store_patch(parts, log, patch).await?;
    desk.carry_out(parts, log, signals, text).await
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

    /// Chooses the branch: the continued Task's own, the caller's, or one named after the instruction.
    async fn branch(
        &self,
        parts: &Parts,
        log: &RunLog,
        record: &TaskRecord,
    ) -> Result<(BranchName, Option<ObjectId>), Halt> {
        let bad = |error: crate::task::branch::BranchError| Failure::lasting(Reason::Internal, error.to_string());
        if let Some(before) = record.continues
            && let Some(task) = parts.store.task(before).await?
            && let Some(intent) = task.progress.publication.filter(|intent| intent.pushed)
        {
            return Ok((BranchName::parse(&intent.branch).map_err(bad)?, Some(intent.commit)));
        }
        if let Some(branch) = &record.spec.publication.head_branch {
            return Ok((branch.clone(), None));
        }
        let remote = remote(log, self.forge.as_ref(), &self.repository, Access::Read).await?;
        let blocker = BranchName::parse("backspace").map_err(bad)?;
        let blocked = parts
            .git
            .remote_head(&remote, &blocker)
            .await
            .map_err(git_halt)?
            .is_some();
        let name = branch_name(record, if blocked { '-' } else { '/' });
        Ok((BranchName::parse(&name).map_err(bad)?, None))
    }

    async fn carry_out(&self, parts: &Parts, log: &RunLog, signals: &StopSignals, patch: CutText) -> Result<(), Halt> {
        self.push(log, signals).await?;
        let mode = log.record().spec.publication.mode;
        if mode == PublicationMode::BranchOnly {
            return self.end(parts, log, ResultKind::Branch, patch, None).await;
        }
        log.step(95, "Opening the pull request").await?;
        let pull_request = self.open(parts, log).await?;
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
        self.end(parts, log, ResultKind::PullRequest, patch, Some(pull_request))
            .await
    }

    /// Pushes until the remote has the commit under a branch of ours.
    async fn push(&self, log: &RunLog, signals: &StopSignals) -> Result<(), Halt> {
        for attempt in 1..=BRANCH_TRIES {
            let Some(intent) = log.record().progress.publication else {
                return Ok(());
            };
            if intent.pushed {
                return Ok(());
            }
            signals.check()?;
            let remote = remote(log, self.forge.as_ref(), &self.repository, Access::Push).await?;
            let branch = BranchName::parse(&intent.branch)
                .map_err(|error| Failure::lasting(Reason::Internal, error.to_string()))?;
            let pushed = self
                .quarantine
                .push(&remote, &intent.commit, &branch, intent.expected_head.as_ref())
                .await
                .map_err(publication_halt)?;
            let next = match pushed {
                Pushed::Landed => {
                    log.write(Vec::new(), |progress| {
                        if let Some(intent) = &mut progress.publication {
                            intent.pushed = true;
                        }
                    })
                    .await?;
                    tracing::info!(branch = intent.branch, commit = %intent.commit, "pushed");
                    return Ok(());
                }
                Pushed::Rejected { message } => {
                    let message = format!("the push of branch {} was refused: {message}", intent.branch);
                    return Err(Failure::lasting(Reason::PublicationFailed, message).into());
                }
                // A continued branch has commits of people that this Task has not seen: they are kept, the change
                // goes beside them.
                Pushed::Moved { .. } if intent.expected_head.is_some() => {
                    format!("{}-{}", intent.branch, log.task().short())
                }
                // Somebody else's branch of that name, or a name in its way: another name.
                Pushed::Moved { .. } => format!("{}-{}", intent.branch, attempt + 1),
                Pushed::NameConflict { .. } => intent.branch.replacen('/', "-", 1),
            };
            let warning = format!("branch {} is taken; trying {next}", intent.branch);
            log.write(vec![EventPayload::Warning { message: warning }], |progress| {
                if let Some(intent) = &mut progress.publication {
                    intent.branch = next;
                    intent.expected_head = None;
                }
            })
            .await?;
        }
        Err(Failure::passing(Reason::PublicationFailed, "no branch name was free for the change").into())
    }

    async fn open(&self, parts: &Parts, log: &RunLog) -> Result<PullRequest, Halt> {
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
            notes: &[],
            model: &model,
        };
        let publication = &record.spec.publication;
        let new = NewPullRequest {
            task: record.id,
            title: parts.redactor.mask(&title(&record.spec.instruction)).into_owned(),
            body: parts.redactor.mask(&body(&facts)).into_owned(),
            head_branch: BranchName::parse(&intent.branch)
                .map_err(|error| Failure::lasting(Reason::Internal, error.to_string()))?,
            head_commit: intent.commit.clone(),
            base_branch: self.repository.base_branch.clone(),
            draft: publication.mode == PublicationMode::DraftPullRequest || record.progress.stopped.is_some(),
            labels: publication.labels.clone(),
            reviewers: publication.reviewers.clone(),
            assignees: publication.assignees.clone(),
        };
        retry_forge(log, || self.forge.open_pull_request(&self.repository, new.clone())).await
    }

    /// Ends the Task: with a result, or as failed with its work kept when the agent was stopped.
    async fn end(
        &self,
        parts: &Parts,
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
        Ok(finish::end(parts, log, ending, preserved, findings).await?)
    }
}

fn publication_halt(error: crate::forge::git::GitError) -> Halt {
    let message = format!("the change could not be pushed: {error}");
    let retryable = error.is_retryable();
    Halt::Failed(Failure {
        reason: Reason::PublicationFailed,
        message,
        retryable,
    })
}

/// Lists the refusals of a Task, for its pull request.
async fn denied_lines(parts: &Parts, record: &TaskRecord) -> Result<Vec<String>, Halt> {
    let mut lines = Vec::new();
    let mut after = crate::task::id::Sequence::ZERO;
    loop {
        let page = parts.store.events(record.id, after, 500).await?;
        let Some(last) = page.events.last() else {
            return Ok(lines);
        };
        after = last.sequence;
        for event in &page.events {
            if let EventPayload::PolicyDenied {
                policy,
                subject,
                message,
            } = &event.payload
            {
                lines.push(format!("{policy}: {subject} ({message})"));
            }
        }
    }
}

/// Names a branch after the instruction and the Task.
fn branch_name(record: &TaskRecord, separator: char) -> String {
    let mut slug = String::new();
    for character in record.spec.instruction.chars().flat_map(char::to_lowercase) {
        match character {
            'a'..='z' | '0'..='9' => slug.push(character),
            _ if slug.is_empty() || slug.ends_with('-') => {}
            _ => slug.push('-'),
        }
        if slug.len() >= 40 {
            break;
        }
    }
    let slug = slug.trim_matches('-');
    let slug = if slug.is_empty() { "task" } else { slug };
    format!("backspace{separator}{slug}-{}", record.id.short())
}
