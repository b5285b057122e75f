//! The push of a decided commit: under the branch that was meant, or beside it, and never over another's.

use crate::forge::Access;
use crate::forge::git::{GitError, Pushed};
use crate::orchestrator::fetch::remote;
use crate::orchestrator::publish::Desk;
use crate::orchestrator::publish::branch::bad_name;
use crate::orchestrator::run::{Halt, StopSignals};
use crate::orchestrator::run_log::RunLog;
use crate::task::branch::BranchName;
use crate::task::event::EventPayload;
use crate::task::failure::{Failure, Reason};

/// Names tried when a branch of that name is somebody else's.
const BRANCH_TRIES: u32 = 3;

/// What to do when the branch that a Task goes on from has moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnMove {
    /// Say so: the change may be put on top of it.
    Tell,
    /// Push beside it; the commits of other people stay as they are.
    GoBeside,
}

/// Where a push ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Landing {
    /// The remote has the commit under a branch of ours.
    Landed,
    /// The branch has moved, and nothing was pushed.
    Moved,
}

impl Desk {
    /// Pushes until the remote has the commit under a branch of ours.
    pub(super) async fn push(&self, log: &RunLog, signals: &StopSignals, on_move: OnMove) -> Result<Landing, Halt> {
        for attempt in 1..=BRANCH_TRIES {
            let Some(intent) = log.record().progress.publication else {
                return Ok(Landing::Landed);
            };
            if intent.pushed {
                return Ok(Landing::Landed);
            }
            signals.check()?;
            let remote = remote(log, self.forge.as_ref(), &self.repository, Access::Push);
            let remote = signals.interrupt(remote).await?;
            let branch = BranchName::parse(&intent.branch).map_err(bad_name)?;
            let pushed = self
                .quarantine
                .push(&remote, &intent.commit, &branch, intent.expected_head.as_ref())
                .await
                .map_err(publication_halt)?;
            let (next, warning) = match pushed {
                Pushed::Landed => {
                    log.write(Vec::new(), |progress| {
                        if let Some(intent) = &mut progress.publication {
                            intent.pushed = true;
                        }
                    })
                    .await?;
                    tracing::info!(branch = intent.branch, commit = %intent.commit, "pushed");
                    return Ok(Landing::Landed);
                }
                Pushed::Rejected { message } => {
                    let message = format!("the push of branch {} was refused: {message}", intent.branch);
                    return Err(Failure::lasting(Reason::PublicationFailed, message).into());
                }
                Pushed::Moved { head: Some(_) } if intent.expected_head.is_some() && on_move == OnMove::Tell => {
                    return Ok(Landing::Moved);
                }
                Pushed::Moved { head } if intent.expected_head.is_some() => {
                    let next = format!("{}-{}", intent.branch, log.task().short());
                    let what = match head {
                        Some(_) => "has commits of others that this change does not stand on",
                        None => "is gone",
                    };
                    let warning = format!("branch {} {what}; the change is in {next}", intent.branch);
                    (next, warning)
                }
                // Somebody else's branch of that name, or a name in its way: another name.
                Pushed::Moved { .. } => taken(&intent.branch, format!("{}-{}", intent.branch, attempt + 1)),
                Pushed::NameConflict { .. } => {
                    let flat = intent.branch.replacen('/', "-", 1);
                    let next = if flat == intent.branch {
                        format!("{flat}-{}", attempt + 1)
                    } else {
                        flat
                    };
                    taken(&intent.branch, next)
                }
            };
            let note = warning.clone();
            log.write(vec![EventPayload::Warning { message: warning }], |progress| {
                progress.notes.push(note);
                if let Some(intent) = &mut progress.publication {
                    intent.branch = next;
                    intent.expected_head = None;
                }
            })
            .await?;
        }
        Err(Failure::passing(Reason::PublicationFailed, "no branch name was free for the change").into())
    }
}

fn taken(branch: &str, next: String) -> (String, String) {
    let warning = format!("branch {branch} is taken; trying {next}");
    (next, warning)
}

fn publication_halt(error: GitError) -> Halt {
    let message = format!("the change could not be pushed: {error}");
    let retryable = error.is_retryable();
    Halt::Failed(Failure {
        reason: Reason::PublicationFailed,
        message,
        retryable,
    })
}
