//! Looks a repository up: where it is now, its branches, and what the login may do with it.
//!
//! The right to push is proved before any money is spent: the API tells a person's rights and not a
//! token's, so git's own service is asked whether it would take a push.

use serde::Deserialize;

use crate::forge::github::api::Ask;
use crate::forge::github::fault::Fault;
use crate::forge::github::login::{Publish, Rights};
use crate::forge::github::{API_LIFE, Forks, GitHubForge, Place};
use crate::forge::{Access, Credential, ForgeError, Repository, percent_encode};
use crate::task::branch::BranchName;
use crate::task::id::ObjectId;
use crate::task::spec::Revision;

/// A repository as the API shows it.
#[derive(Debug, Deserialize)]
pub(super) struct Found {
    pub(super) full_name: String,
    pub(super) default_branch: String,
    /// What it was forked from.
    pub(super) parent: Option<Parent>,
    #[serde(default)]
    archived: bool,
    #[serde(default)]
    disabled: bool,
    permissions: Option<Permissions>,
}

/// What a repository was forked from.
#[derive(Debug, Deserialize)]
pub(super) struct Parent {
    pub(super) full_name: String,
}

#[derive(Debug, Deserialize)]
struct Permissions {
    #[serde(default)]
    push: bool,
}

#[derive(Debug, Deserialize)]
struct Branch {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Commit {
    sha: String,
}

impl GitHubForge {
    pub(super) async fn look_up(
        &self,
        asked: &Place,
        revision: &Revision,
        access: Access,
    ) -> Result<Repository, ForgeError> {
        let path = format!("/repos/{asked}");
        let not_found = || format!("repository {asked}");
        let found: Found = self
            .call(asked, Ask::get(path))
            .await
            .map_err(|fault| self.told(fault, not_found))?;
        let place = self.place_of(&found.full_name)?;
        let mut can_push = access == Access::Push && self.can_push(&found, &place).await?;
        let mut push_to = None;
        if access == Access::Push && self.logins.is_somebody() && !can_push {
            if found.archived || found.disabled || self.forks == Forks::Never {
                return Err(self.no_right(&found, &place));
            }
            push_to = Some(self.fork(&place).await?.address);
            can_push = true;
        }
        let default_branch = self.branch_name(&found.default_branch)?;
        let (base_branch, commit) = match revision {
            Revision::DefaultBranch => (default_branch, None),
            Revision::Branch(branch) => (self.branch(&place, branch).await?, None),
            Revision::Commit(commit) => {
                self.require_commit(&place, commit).await?;
                (default_branch, Some(commit.clone()))
            }
        };
        Ok(Repository {
            address: place.address,
            base_branch,
            commit,
            can_push,
            push_to,
        })
    }

    /// Returns whether a push and a pull request are allowed, asking as little as possible.
    async fn can_push(&self, found: &Found, place: &Place) -> Result<bool, ForgeError> {
        if found.archived || found.disabled || !self.logins.is_somebody() {
            return Ok(false);
        }
        let told = |fault| self.told(fault, || format!("repository {place}"));
        let login = self.logins.of(&self.api, &place.owner, &place.name, API_LIFE).await;
        let (login, rights) = login.map_err(told)?;
        let may = match rights {
            Rights::Granted { publish } => publish == Publish::Allowed,
            Rights::Unknown => found.permissions.as_ref().is_none_or(|permissions| permissions.push),
        };
        let Some(credential) = login.credential().filter(|_| may) else {
            return Ok(false);
        };
        // A redirect is no yes either: git would not follow it.
        Ok(matches!(self.push_status(place, &credential).await?, 200..=299))
    }

    /// Asks git's own service whether it would take a push with a credential; returns its status.
    pub(super) async fn push_status(&self, place: &Place, credential: &Credential) -> Result<u16, ForgeError> {
        let url = format!(
            "{}/info/refs?service=git-receive-pack",
            self.api.host.git_url(&place.owner, &place.name)
        );
        let status = self
            .api
            .transport
            .status(&url, &credential.username, credential.secret.expose())
            .await;
        match status {
            Ok(status @ (408 | 429 | 500..)) => Err(self.unavailable(format!("its git answers with status {status}"))),
            Ok(status) => Ok(status),
            Err(source) => Err(self.unavailable(source)),
        }
    }

    fn no_right(&self, found: &Found, place: &Place) -> ForgeError {
        let message = if found.archived {
            format!("{place} is archived; ask for a patch instead")
        } else if found.disabled {
            format!("{place} is disabled")
        } else {
            format!(
                "the server's credential may not push to {place}; give it contents and pull requests (write), \
                 or ask for a patch"
            )
        };
        self.forbidden(message)
    }

    /// Returns a branch's name as it is now; GitHub redirects from the names that it had.
    async fn branch(&self, place: &Place, branch: &BranchName) -> Result<BranchName, ForgeError> {
        let path = format!("/repos/{place}/branches/{}", percent_encode(branch.as_str()));
        let found: Branch = self
            .call(place, Ask::get(path))
            .await
            .map_err(|fault| self.told(fault, || format!("branch {branch}")))?;
        self.branch_name(&found.name)
    }

    async fn require_commit(&self, place: &Place, commit: &ObjectId) -> Result<(), ForgeError> {
        let path = format!("/repos/{place}/git/commits/{commit}");
        let what = || format!("commit {commit}");
        let found: Result<Commit, Fault> = self.call(place, Ask::get(path)).await;
        match found {
            Ok(found) if found.sha == commit.as_str() => Ok(()),
            // 409: the repository is empty; 422: no such object.
            Ok(_) | Err(Fault::Invalid(_)) => Err(self.told(Fault::NotFound, what)),
            Err(fault) => Err(self.told(fault, what)),
        }
    }

    fn branch_name(&self, name: &str) -> Result<BranchName, ForgeError> {
        BranchName::parse(name)
            .map_err(|error| self.rejected(format!("a branch has a name that can't be used: {error}")))
    }
}
