//! GitHub: github.com or an Enterprise Server, by its REST API, behind the `Forge` port.
//!
//! It knows the API and runs no git. octocrab builds and signs the requests; sending, waiting and the
//! meaning of answers are this module's, because what is not to happen twice must not be repeated by a
//! library (its default sent four identical POSTs on a 502). Answers are read into the few fields that
//! are used, so that a field that GitHub adds or an older Enterprise Server lacks breaks nothing.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::de::DeserializeOwned;

use crate::forge::github::api::{Api, Ask};
use crate::forge::github::fault::Fault;
use crate::forge::github::gate::Gate;
use crate::forge::github::login::Logins;
use crate::forge::github::transport::{BoxError, Transport};
use crate::forge::{
    Access, Forge, ForgeError, GitRemote, NewPullRequest, OpenedPullRequest, Repository, UntrustedText, percent_encode,
};
use crate::task::address::RepositoryAddress;
use crate::task::branch::BranchName;
use crate::task::result::PullRequest;
use crate::task::spec::Revision;

mod api;
mod discussion;
mod fault;
mod fork;
mod gate;
mod host;
mod login;
mod lookup;
mod pull_request;
mod transport;

pub use crate::forge::github::host::{GitHubHost, HostError};
pub use crate::forge::github::login::GitHubCredentials;

/// How long a login must last for a call of the API.
const API_LIFE: Duration = Duration::from_secs(120);

/// How long a login must last for git: longer than a push may take, and most fetches.
const GIT_LIFE: Duration = Duration::from_secs(35 * 60);

/// Least time from one mutation of a login to the next, as GitHub asks.
pub const MUTATION_PACE: Duration = Duration::from_secs(1);

/// Settings of a GitHub.
#[derive(Clone, Debug)]
pub struct GitHubConfig {
    /// Where it is.
    pub host: GitHubHost,
    /// Who the server is there.
    pub credentials: GitHubCredentials,
    /// Whether changes are published from forks where the login may not push.
    pub forks: Forks,
    /// Folder for what must outlive the server; made if need be.
    pub folder: PathBuf,
    /// Least time from one mutation of a login to the next.
    pub pace: Duration,
}

/// Whether changes are published from forks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Forks {
    /// Without the right to push a Task fails before it works.
    #[default]
    Never,
    /// A change goes to a fork in the login's own account where it may not push to the repository.
    WhenNeeded,
}

/// A GitHub, as one session uses it.
#[derive(Debug)]
pub struct GitHubForge {
    api: Arc<Api>,
    logins: Logins,
    forks: Forks,
}

/// A repository's place at this forge.
#[derive(Clone, Debug)]
struct Place {
    address: RepositoryAddress,
    owner: String,
    name: String,
}

impl fmt::Display for Place {
    /// Writes `owner/name`, fit for a path of the API.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", percent_encode(&self.owner), self.encoded_name())
    }
}

impl Place {
    fn encoded_name(&self) -> String {
        percent_encode(&self.name)
    }

    fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }
}

/// The two repositories of a pull request, which are one unless the head is in a fork.
#[derive(Clone, Debug)]
struct Ends {
    base: Place,
    head: Place,
}

impl Ends {
    fn is_fork(&self) -> bool {
        self.base.address != self.head.address
    }

    /// Writes a branch as GitHub names the head of a pull request.
    fn head(&self, branch: &BranchName) -> String {
        if self.is_fork() {
            format!("{}:{branch}", self.head.owner)
        } else {
            branch.to_string()
        }
    }
}

impl GitHubForge {
    /// Opens the forge; nothing is sent.
    pub fn open(config: GitHubConfig) -> Result<Self, ForgeError> {
        let internal = |error: std::io::Error| ForgeError::Internal { source: error.into() };
        crate::forge::git::repository::create_private(&config.folder).map_err(internal)?;
        let transport = Transport::new(&config.host)?;
        let logins = Logins::new(config.credentials, &transport)?;
        let api = Arc::new(Api {
            host: config.host,
            transport,
            gate: Gate::open(config.folder.join("waits.json"), config.pace),
        });
        Ok(Self {
            api,
            logins,
            forks: config.forks,
        })
    }

    /// Calls as the login for a repository; an App's token that ended early is replaced once.
    async fn call<T: DeserializeOwned>(&self, place: &Place, ask: Ask) -> Result<T, Fault> {
        let login = async || self.logins.of(&self.api, &place.owner, &place.name, API_LIFE).await;
        let (first, _) = login().await?;
        match self.api.call(&first, ask.clone()).await {
            Err(Fault::Forge(ForgeError::Unauthenticated { .. }))
                if self.logins.drop_refused(&place.owner, &place.name, &first).await =>
            {
                let (second, _) = login().await?;
                self.api.call(&second, ask).await
            }
            answer => answer,
        }
    }

    fn place(&self, address: &RepositoryAddress) -> Result<Place, ForgeError> {
        match address {
            RepositoryAddress::Remote {
                host,
                port,
                owner,
                name,
            } if host == self.api.host.name() && *port == self.api.host.port() => Ok(Place {
                address: address.clone(),
                owner: owner.clone(),
                name: name.clone(),
            }),
            _ => Err(self.told(Fault::NotFound, || format!("repository {address}"))),
        }
    }

    /// Reads `owner/name` as GitHub tells it.
    fn place_of(&self, full_name: &str) -> Result<Place, ForgeError> {
        let place = full_name.split_once('/').and_then(|(owner, name)| {
            Some(Place {
                address: self.api.host.address(owner, name)?,
                owner: owner.to_owned(),
                name: name.to_owned(),
            })
        });
        place.ok_or_else(|| self.rejected("it tells a repository name that can't be used".into()))
    }

    /// Returns where a change of a repository is pushed.
    fn head_place(&self, repository: &Repository) -> Result<Place, ForgeError> {
        self.place(repository.push_to.as_ref().unwrap_or(&repository.address))
    }

    fn ends(&self, repository: &Repository) -> Result<Ends, ForgeError> {
        Ok(Ends {
            base: self.place(&repository.address)?,
            head: self.head_place(repository)?,
        })
    }

    fn told(&self, fault: Fault, what: impl FnOnce() -> String) -> ForgeError {
        fault.into_forge(what, self.api.host.name())
    }

    fn forbidden(&self, message: String) -> ForgeError {
        ForgeError::Forbidden {
            forge: self.api.host.name().to_owned(),
            message,
        }
    }

    fn rejected(&self, message: String) -> ForgeError {
        ForgeError::Rejected {
            forge: self.api.host.name().to_owned(),
            message,
        }
    }

    fn unavailable(&self, source: impl Into<BoxError>) -> ForgeError {
        ForgeError::Unavailable {
            forge: self.api.host.name().to_owned(),
            source: source.into(),
        }
    }
}

#[async_trait]
impl Forge for GitHubForge {
    fn name(&self) -> &str {
        self.api.host.name()
    }

    async fn repository(
        &self,
        address: &RepositoryAddress,
        revision: &Revision,
        access: Access,
    ) -> Result<Repository, ForgeError> {
        self.look_up(&self.place(address)?, revision, access).await
    }

    fn session(self: Arc<Self>, access: Access) -> Arc<dyn Forge> {
        Arc::new(Self {
            api: Arc::clone(&self.api),
            logins: self.logins.session(access),
            forks: self.forks,
        })
    }

    async fn close(&self) {
        self.logins.close(&self.api).await;
    }

    async fn remote(&self, repository: &Repository, access: Access) -> Result<GitRemote, ForgeError> {
        let home = self.place(&repository.address)?;
        let place = match access {
            Access::Read => home.clone(),
            Access::Push => self.head_place(repository)?,
        };
        let login = self.logins.of(&self.api, &place.owner, &place.name, GIT_LIFE).await;
        let (login, _) = login.map_err(|fault| self.told(fault, || format!("repository {place}")))?;
        // A fork shares the mirror of what it was forked from, whose history it has.
        let home = self.api.host.git_url(&home.owner, &home.name);
        Ok(GitRemote {
            mirror_key: format!("{home} {}", login.key()),
            url: self.api.host.git_url(&place.owner, &place.name),
            transport: self.api.host.transport(),
            credential: login.credential(),
        })
    }

    async fn find_pull_request(
        &self,
        repository: &Repository,
        head_branch: &BranchName,
    ) -> Result<Option<PullRequest>, ForgeError> {
        self.find_open(&self.ends(repository)?, head_branch).await
    }

    async fn open_pull_request(
        &self,
        repository: &Repository,
        new: NewPullRequest,
    ) -> Result<OpenedPullRequest, ForgeError> {
        self.open_or_adopt(&self.ends(repository)?, new).await
    }

    async fn issue(&self, repository: &Repository, issue: &str) -> Result<UntrustedText, ForgeError> {
        self.read_issue(&self.place(&repository.address)?, issue).await
    }

    async fn review_comments(&self, repository: &Repository, number: u64) -> Result<Vec<UntrustedText>, ForgeError> {
        self.read_reviews(&self.place(&repository.address)?, number).await
    }
}
