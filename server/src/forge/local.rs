//! The local forge: repositories in folders that the operator allowed, pull requests kept as data.
//!
//! Bare repositories, and for a server of one's own also ordinary ones, of which only the git folder
//! is used. A pull request is a JSON file in the server's data folder, named after repository and head
//! branch, so that there are never two for one branch; nothing is written into the repository but the
//! pushed branch. Receive hooks of a repository's owner run, as in any push.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use crate::forge::git::{GitError, GitStore};
use crate::forge::local::record::PullRequests;
use crate::forge::{
    Access, Forge, ForgeError, GitRemote, GitTransport, NewPullRequest, OpenedPullRequest, Repository, UntrustedText,
};
use crate::task::address::RepositoryAddress;
use crate::task::branch::BranchName;
use crate::task::id::{ObjectId, TaskId};
use crate::task::result::PullRequest;
use crate::task::spec::Revision;

mod record;

pub use crate::forge::local::record::StoredPullRequest;

const NAME: &str = "local";

/// What the local forge may use.
#[derive(Clone, Debug)]
pub struct LocalForgeConfig {
    /// Folders below which repositories may be used.
    pub roots: Vec<PathBuf>,
    /// Folder for pull requests; made if need be.
    pub folder: PathBuf,
}

/// Repositories in folders.
#[derive(Debug)]
pub struct LocalForge {
    git: GitStore,
    roots: Vec<PathBuf>,
    pull_requests: PullRequests,
}

impl LocalForge {
    /// Opens the forge; a root that does not exist is an error.
    pub fn open(config: LocalForgeConfig, git: GitStore) -> Result<Self, ForgeError> {
        let mut roots = Vec::new();
        for root in &config.roots {
            let canonical = root.canonicalize().map_err(|error| ForgeError::Rejected {
                forge: NAME.into(),
                message: format!("the folder {} can't be used: {error}", root.display()),
            })?;
            roots.push(canonical);
        }
        Ok(Self {
            git,
            roots,
            pull_requests: PullRequests::open(config.folder).map_err(internal)?,
        })
    }

    /// Returns a pull request with its title and body, by number.
    pub fn pull_request(
        &self,
        address: &RepositoryAddress,
        number: u64,
    ) -> Result<Option<StoredPullRequest>, ForgeError> {
        self.pull_requests
            .by_number(&address.to_string(), number)
            .map_err(internal)
    }

    /// Finds the git folder of a repository: below a root also when symbolic links are followed.
    fn git_dir(&self, address: &RepositoryAddress) -> Result<PathBuf, ForgeError> {
        let RepositoryAddress::Local { path } = address else {
            return Err(not_found(address));
        };
        let folder = Path::new(path).canonicalize().map_err(|_| not_found(address))?;
        let git_dir = if folder.join("HEAD").is_file() && folder.join("objects").is_dir() {
            folder
        } else {
            // Also when `.git` is a file: git folders elsewhere are not followed.
            let inner = folder.join(".git");
            if !inner.join("HEAD").is_file() {
                return Err(not_found(address));
            }
            inner.canonicalize().map_err(|_| not_found(address))?
        };
        let is_allowed = self.roots.iter().any(|root| git_dir.starts_with(root));
        if is_allowed && !git_dir.ends_with("*") {
            Ok(git_dir)
        } else {
            Err(not_found(address))
        }
    }

    fn git_remote(&self, address: &RepositoryAddress) -> Result<GitRemote, ForgeError> {
        let git_dir = self.git_dir(address)?;
        let url = git_dir.to_str().ok_or_else(|| not_found(address))?.to_owned();
        Ok(GitRemote {
            mirror_key: format!("local:{url}"),
            url,
            transport: GitTransport::File,
            credential: None,
        })
    }
}

#[async_trait]
impl Forge for LocalForge {
    fn name(&self) -> &str {
        NAME
    }

    async fn repository(
        &self,
        address: &RepositoryAddress,
        revision: &Revision,
        access: Access,
    ) -> Result<Repository, ForgeError> {
        let remote = self.git_remote(address)?;
        let can_push = is_writable(Path::new(&remote.url));
        if access == Access::Push && !can_push {
            return Err(ForgeError::Forbidden {
                forge: NAME.into(),
                message: "the server's user can't write to the repository".into(),
            });
        }
        let refs = self
            .git
            .remote_refs(&remote, &["HEAD", "refs/heads/*"])
            .await
            .map_err(forge_error)?;
        if refs.refs.is_empty() {
            return Err(forge_error(GitError::Empty));
        }
        let (base_branch, commit) = match revision {
            Revision::Branch(branch) => (branch.clone(), None),
            Revision::DefaultBranch => (default_branch(refs.head.as_deref(), address)?, None),
            Revision::Commit(commit) => (default_branch(refs.head.as_deref(), address)?, Some(commit.clone())),
        };
        if refs.get(&base_branch.to_ref()).is_none() {
            return Err(ForgeError::NotFound {
                what: format!("branch {base_branch}"),
                forge: NAME.into(),
            });
        }
        if let Some(commit) = &commit {
            self.require_commit(&remote, commit).await?;
        }
        Ok(Repository {
            address: address.clone(),
            base_branch,
            commit,
            can_push,
            push_to: None,
        })
    }

    fn session(self: Arc<Self>, _access: Access) -> Arc<dyn Forge> {
        self
    }

    async fn remote(&self, repository: &Repository, _access: Access) -> Result<GitRemote, ForgeError> {
        self.git_remote(&repository.address)
    }

    async fn find_pull_request(
        &self,
        repository: &Repository,
        head_branch: &BranchName,
    ) -> Result<Option<PullRequest>, ForgeError> {
        let stored = self
            .pull_requests
            .find(&repository.address.to_string(), head_branch.as_str());
        Ok(stored.map_err(internal)?.map(|stored| stored.pull_request))
    }

    async fn open_pull_request(
        &self,
        repository: &Repository,
        new: NewPullRequest,
    ) -> Result<OpenedPullRequest, ForgeError> {
        let address = repository.address.to_string();
        let pull_request = self.pull_requests.open_or_update(&address, new).map_err(internal)?;
        Ok(OpenedPullRequest {
            pull_request,
            remarks: Vec::new(),
        })
    }

    async fn forget(&self, task: TaskId) -> Result<(), ForgeError> {
        self.pull_requests.forget(task).map_err(internal)
    }

    async fn issue(&self, _repository: &Repository, issue: &str) -> Result<UntrustedText, ForgeError> {
        Err(ForgeError::NotFound {
            what: format!("issue {issue} (the local forge has no issues)"),
            forge: NAME.into(),
        })
    }

    async fn review_comments(&self, _repository: &Repository, _number: u64) -> Result<Vec<UntrustedText>, ForgeError> {
        Ok(Vec::new())
    }
}

impl LocalForge {
    async fn require_commit(&self, remote: &GitRemote, commit: &ObjectId) -> Result<(), ForgeError> {
        let is_there = self.git.local_has_commit(remote, commit).await.map_err(forge_error)?;
        if is_there {
            return Ok(());
        }
        Err(ForgeError::NotFound {
            what: format!("commit {commit}"),
            forge: NAME.into(),
        })
    }
}

fn default_branch(head: Option<&str>, address: &RepositoryAddress) -> Result<BranchName, ForgeError> {
    let name = head.and_then(|head| head.strip_prefix("refs/heads/"));
    let branch = name.and_then(|name| BranchName::parse(name).ok());
    branch.ok_or_else(|| ForgeError::NotFound {
        what: format!("a default branch of {address} (its HEAD is detached or names none; say which branch to use)"),
        forge: NAME.into(),
    })
}

fn is_writable(git_dir: &Path) -> bool {
    let access = |folder: &str| rustix::fs::access(git_dir.join(folder), rustix::fs::Access::WRITE_OK).is_ok();
    access("objects") && access("refs")
}

fn not_found(address: &RepositoryAddress) -> ForgeError {
    ForgeError::NotFound {
        what: format!("a git repository at {address} in an allowed folder"),
        forge: NAME.into(),
    }
}

fn internal(source: std::io::Error) -> ForgeError {
    ForgeError::Internal {
        source: Box::new(source),
    }
}

fn forge_error(error: GitError) -> ForgeError {
    let forge = NAME.to_owned();
    match error {
        GitError::NotFound { what } => ForgeError::NotFound { what, forge },
        GitError::Unauthenticated { .. } => ForgeError::Unauthenticated { forge },
        GitError::Empty | GitError::TooLarge { .. } | GitError::Refused { .. } => ForgeError::Rejected {
            forge,
            message: error.to_string(),
        },
        GitError::TimedOut { .. } | GitError::Unavailable { .. } => ForgeError::Unavailable {
            forge,
            source: Box::new(error),
        },
        GitError::Unusable { .. } | GitError::Hostile { .. } | GitError::Internal { .. } => ForgeError::Internal {
            source: Box::new(error),
        },
    }
}
