//! The branch a change is pushed to: where the work came from, what the caller named, or a name of ours.

use crate::forge::Access;
use crate::orchestrator::Parts;
use crate::orchestrator::fetch::remote;
use crate::orchestrator::publish::Desk;
use crate::orchestrator::run::Halt;
use crate::orchestrator::run_log::RunLog;
use crate::orchestrator::workbench::git_halt;
use crate::task::branch::{BranchError, BranchName};
use crate::task::failure::{Failure, Reason};
use crate::task::id::ObjectId;
use crate::task::record::TaskRecord;

/// Longest part of a name that comes from the instruction.
const SLUG_BYTES: usize = 40;

impl Desk {
    /// Chooses the branch, and the head that the remote must have there: `None` when it must not exist.
    pub(super) async fn branch(
        &self,
        parts: &Parts,
        log: &RunLog,
        record: &TaskRecord,
    ) -> Result<(BranchName, Option<ObjectId>), Halt> {
        if let Some(branch) = &record.progress.head_branch {
            let branch = BranchName::parse(branch).map_err(bad_name)?;
            return Ok((branch, Some(self.base.commit.clone())));
        }
        if let Some(branch) = &record.spec.publication.head_branch {
            return Ok((branch.clone(), None));
        }
        let remote = remote(log, self.forge.as_ref(), &self.repository, Access::Push).await?;
        let blocker = BranchName::parse("backspace").map_err(bad_name)?;
        let blocked = parts
            .git
            .remote_head(&remote, &blocker)
            .await
            .map_err(git_halt)?
            .is_some();
        let name = branch_name(record, if blocked { '-' } else { '/' });
        Ok((BranchName::parse(&name).map_err(bad_name)?, None))
    }
}

pub(super) fn bad_name(error: BranchError) -> Halt {
    Failure::lasting(Reason::Internal, error.to_string()).into()
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
        if slug.len() >= SLUG_BYTES {
            break;
        }
    }
    let slug = slug.trim_matches('-');
    let slug = if slug.is_empty() { "task" } else { slug };
    format!("backspace{separator}{slug}-{}", record.id.short())
}
