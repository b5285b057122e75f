//! What a Task leaves behind: results, recorded evidence, findings and kept work.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::task::id::ObjectId;

/// What a successful Task left behind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskResult {
    /// What there is to show.
    pub kind: ResultKind,
    /// Commands run as proof, in order.
    pub evidence: Vec<Evidence>,
    /// The agent's own account of the change, in Markdown.
    pub summary: String,
    /// Set when the kind is a pull request.
    pub pull_request: Option<PullRequest>,
    /// Pushed branch, when one was pushed.
    pub branch: Option<String>,
    /// The change as a unified diff, cut to the event limit.
    pub patch: String,
    /// True when `patch` was cut.
    pub patch_truncated: bool,
}

/// What there is to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResultKind {
    /// A pull request was opened.
    PullRequest,
    /// The change is in the patch only.
    Patch,
    /// Nothing had to change.
    NoChange,
    /// A branch was pushed.
    Branch,
}

/// A recorded fact: a command of the repository's own, and how it ended on one tree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The command line.
    pub command: String,
    /// Exit status; `None` when it was killed or never ran.
    pub exit_code: Option<i32>,
    /// Wall time.
    pub duration: Duration,
    /// Git tree it ran on.
    pub tree: ObjectId,
    /// True on the base, before any change.
    pub baseline: bool,
    /// True when its time limit passed.
    pub timed_out: bool,
    /// What it means for the change.
    pub verdict: Verdict,
}

impl Evidence {
    /// Returns whether the command ran to its end and was content.
    pub fn is_green(&self) -> bool {
        self.exit_code == Some(0) && !self.timed_out
    }
}

/// What a verification command's result means for the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It passed.
    Passed,
    /// It failed, and failed on the base too.
    FailedOnBaseToo,
    /// It fails because of the change, or its base result is unknown.
    NewlyRed,
    /// It did not run.
    NotRun,
}

/// A pull request on the forge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequest {
    /// The page a person opens.
    pub url: String,
    /// Its number on the forge.
    pub number: u64,
    /// Branch the change was pushed to.
    pub head_branch: String,
    /// Branch it asks to merge into.
    pub base_branch: String,
    /// Commit id of the pushed head.
    pub head_commit: ObjectId,
    /// Repository of the head branch, when it is a fork.
    pub head_repository: Option<String>,
    /// True when it is a draft.
    pub draft: bool,
}

/// Something in the change that a reviewer should look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What kind of thing.
    pub kind: FindingKind,
    /// Where.
    pub path: String,
    /// What, for a person.
    pub message: String,
}

/// What kind of thing a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// A test was deleted.
    TestDeleted,
    /// A test was skipped or switched off.
    TestSkipped,
    /// A test's assertions were changed or removed.
    TestWeakened,
    /// Test-runner, build, lint or CI configuration was touched.
    ConfigurationTouched,
    /// A sensitive or protected path was touched.
    SensitivePath,
    /// Something that looks like a secret.
    Secret,
    /// A binary, symlink, submodule or very large file.
    UnusualFile,
}

/// Unfinished work, kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PreservedWork {
    /// Pushed branch, if it could be pushed.
    pub branch: Option<String>,
    /// Draft pull request, if one could be opened.
    pub pull_request: Option<PullRequest>,
    /// The change as a unified diff, cut to the event limit.
    pub patch: String,
    /// True when `patch` was cut.
    pub patch_truncated: bool,
}
