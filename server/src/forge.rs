//! The forge port: where a repository lives and what a finished Task opens there.
//!
//! Adapters know an API; they never run git. Git itself (mirror, quarantine, push) is `git`, one
//! implementation for every forge, given a `GitRemote` that says how to reach it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::task::address::RepositoryAddress;
use crate::task::branch::BranchName;
use crate::task::id::{ObjectId, TaskId};
use crate::task::result::PullRequest;
use crate::task::spec::Revision;

pub mod git;
pub mod github;
pub mod local;
pub mod policy;
mod visible;

pub(crate) use crate::forge::visible::visible_text;

/// Begins the line by which a pull request is known as a Task's own.
pub const MARKER: &str = "Backspace-Task: ";

/// Returns the line by which a pull request is known as this Task's own.
pub fn marker(task: TaskId) -> String {
    format!("{MARKER}{task}")
}

/// Encodes what may not stand in a part of a URL's path as it is; slashes too.
fn percent_encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// What a Task means to do with a repository, so that missing rights are found before money is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Fetch only.
    Read,
    /// Fetch and push a branch.
    Push,
}

/// A repository as its forge knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// Address after renames were resolved.
    pub address: RepositoryAddress,
    /// The branch a pull request asks to merge into.
    pub base_branch: BranchName,
    /// The commit asked for, when the caller named one.
    pub commit: Option<ObjectId>,
    /// Whether a change can be pushed; not said, which is `false`, where a push was not meant.
    pub can_push: bool,
    /// The fork that a change is pushed to, where the credential may not push to the repository itself.
    pub push_to: Option<RepositoryAddress>,
}

/// How git reaches a repository. Only `git` reads it.
#[derive(Clone)]
pub struct GitRemote {
    /// URL or path, rebuilt from checked parts.
    pub url: String,
    /// The only transport that git may use for it.
    pub transport: GitTransport,
    /// Sent by a credential helper scoped to the URL's host; never in argv, URL or configuration.
    pub credential: Option<Credential>,
    /// Key of the mirror: the same repository with another credential is another mirror.
    pub mirror_key: String,
}

impl fmt::Debug for GitRemote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitRemote")
            .field("url", &self.url)
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

/// A transport of git, as `GIT_ALLOW_PROTOCOL` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GitTransport {
    /// A remote forge.
    Https,
    /// A test host on loopback that the operator configured.
    Http,
    /// A repository in an allowed folder.
    File,
}

/// A user name and a secret for git over HTTP.
#[derive(Clone)]
pub struct Credential {
    /// E.g. `x-access-token`.
    pub username: String,
    /// The token.
    pub secret: crate::secret::Secret,
}

/// A pull request to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPullRequest {
    /// The Task that asks; its marker goes into the body.
    pub task: TaskId,
    /// At most 72 characters.
    pub title: String,
    /// Markdown, already escaped.
    pub body: String,
    /// Branch that was pushed.
    pub head_branch: BranchName,
    /// Its commit.
    pub head_commit: ObjectId,
    /// Branch to merge into.
    pub base_branch: BranchName,
    /// Whether to open it as a draft.
    pub draft: bool,
    /// Labels.
    pub labels: Vec<String>,
    /// Reviewers to ask.
    pub reviewers: Vec<String>,
    /// Assignees.
    pub assignees: Vec<String>,
}

/// A pull request that is there now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedPullRequest {
    /// The pull request.
    pub pull_request: PullRequest,
    /// What about it is not as it was asked for, a sentence each.
    pub remarks: Vec<String>,
}

/// An issue or a comment thread: untrusted text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UntrustedText {
    /// What it is, e.g. `issue 12`.
    pub origin: String,
    /// The text, hidden characters and comments stripped.
    pub text: String,
}

/// What a forge can fail with.
#[derive(Debug, thiserror::Error)]
pub enum ForgeError {
    /// The repository, branch or commit does not exist, or the credential can't see it.
    #[error("{what} was not found at {forge}")]
    NotFound {
        /// What was looked for.
        what: String,
        /// Where.
        forge: String,
    },
    /// The credential is missing, wrong or expired.
    #[error("{forge} did not accept the credential")]
    Unauthenticated {
        /// Where.
        forge: String,
    },
    /// The credential may not do this.
    #[error("{forge} does not allow this: {message}")]
    Forbidden {
        /// Where.
        forge: String,
        /// What the forge said.
        message: String,
    },
    /// Wait; no call with this credential before then.
    #[error("{forge} asks to wait {} s", retry_after.as_secs())]
    RateLimited {
        /// Where.
        forge: String,
        /// How long.
        retry_after: Duration,
    },
    /// The forge refused the request as such.
    #[error("{forge} refused the request: {message}")]
    Rejected {
        /// Where.
        forge: String,
        /// What the forge said.
        message: String,
    },
    /// The forge could not be reached or failed; the call may have taken effect.
    #[error("{forge} is unavailable")]
    Unavailable {
        /// Where.
        forge: String,
        /// What happened.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Anything else.
    #[error("the forge adapter failed")]
    Internal {
        /// What happened.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl ForgeError {
    /// Returns whether trying again may help, and after how long at the earliest.
    pub fn retry(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } => Some(*retry_after),
            Self::Unavailable { .. } => Some(Duration::from_secs(1)),
            Self::NotFound { .. }
            | Self::Unauthenticated { .. }
            | Self::Forbidden { .. }
            | Self::Rejected { .. }
            | Self::Internal { .. } => None,
        }
    }
}

/// Knows repositories and opens pull requests.
///
/// Implementations promise: no retry of their own; `open_pull_request` looks first and adopts a
/// pull request of the same head whose marker is ours, so that repeating it never opens a second;
/// no method touches a work tree or runs git on one.
#[async_trait]
pub trait Forge: Send + Sync + 'static {
    /// Returns the name shown to users: `github.com`, `local`.
    fn name(&self) -> &str;

    /// Checks that the repository, the revision and the right exist.
    async fn repository(
        &self,
        address: &RepositoryAddress,
        revision: &Revision,
        access: Access,
    ) -> Result<Repository, ForgeError>;

    /// Returns this forge for one piece of work, such as a run: credentials that are asked for are that work's
    /// alone, allow no more than `access`, and are good until `close`.
    fn session(self: Arc<Self>, access: Access) -> Arc<dyn Forge>;

    /// Ends the credentials that were asked for in this session, as far as that can be done.
    async fn close(&self) {}

    /// Returns how git reaches the repository, with a credential good for the next step only; for a push, that is
    /// the fork where there is one.
    async fn remote(&self, repository: &Repository, access: Access) -> Result<GitRemote, ForgeError>;

    /// Returns the open pull request whose head is this branch.
    async fn find_pull_request(
        &self,
        repository: &Repository,
        head_branch: &BranchName,
    ) -> Result<Option<PullRequest>, ForgeError>;

    /// Opens a pull request, or adopts or updates the one that is there.
    async fn open_pull_request(
        &self,
        repository: &Repository,
        new: NewPullRequest,
    ) -> Result<OpenedPullRequest, ForgeError>;

    /// Removes what the adapter itself keeps of a deleted Task's words; what a remote forge has is not touched.
    async fn forget(&self, _task: TaskId) -> Result<(), ForgeError> {
        Ok(())
    }

    /// Returns an issue's title, body and comments.
    async fn issue(&self, repository: &Repository, issue: &str) -> Result<UntrustedText, ForgeError>;

    /// Returns the unresolved review comments of a pull request.
    async fn review_comments(&self, repository: &Repository, number: u64) -> Result<Vec<UntrustedText>, ForgeError>;
}
