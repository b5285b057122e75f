//! A GitHub with one repository, and the forge under test.

use std::path::PathBuf;
use std::time::Duration;

use backspace_server::forge::github::{Forks, GitHubConfig, GitHubCredentials, GitHubForge, GitHubHost};
use backspace_server::forge::{Access, Forge as _, NewPullRequest, Repository};
use backspace_server::secret::Secret;
use backspace_server::task::address::RepositoryAddress;
use backspace_server::task::id::{ObjectId, TaskId};
use backspace_server::task::spec::Revision;

use crate::fake_github::{FakeGitHub, Rights};
use crate::fixture::{Bare, Fixture, branch, main_branch};

pub(crate) const TOKEN: &str = "github_pat_test-token.with_parts-0123456789";

/// The place of a test.
pub(crate) struct Site {
    pub(crate) fixture: Fixture,
    pub(crate) hub: FakeGitHub,
    pub(crate) bare: Bare,
    /// Commit of the branch `backspace/x`.
    pub(crate) head: ObjectId,
}

impl Site {
    pub(crate) async fn new() -> Self {
        let fixture = Fixture::new().await;
        let bare = fixture.bare("root/octo/hello.git", &[("a", b"1\n")]);
        let tip: ObjectId = bare.get_ref("main").unwrap().parse().unwrap();
        let head = bare.commit(&bare.tree(&[("100644", "a", b"2\n")]), &[&tip]);
        bare.set_ref("refs/heads/backspace/x", &head);
        let hub = FakeGitHub::start(fixture.path("root")).await;
        hub.with(|state| {
            state.add("octo/hello");
            state.token(TOKEN, Rights::ALL);
        });
        Self {
            fixture,
            hub,
            bare,
            head,
        }
    }

    pub(crate) fn config(&self, credentials: GitHubCredentials) -> GitHubConfig {
        GitHubConfig {
            host: GitHubHost::parse(&self.hub.url(), None).unwrap(),
            credentials,
            forks: Forks::Never,
            folder: self.folder(),
            pace: Duration::ZERO,
        }
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.fixture.path("github")
    }

    pub(crate) fn forge(&self) -> GitHubForge {
        self.forge_of(TOKEN)
    }

    pub(crate) fn forge_of(&self, token: &str) -> GitHubForge {
        let credentials = GitHubCredentials::Token(Secret::new(token));
        GitHubForge::open(self.config(credentials)).unwrap()
    }

    pub(crate) fn address(&self, owner: &str, name: &str) -> RepositoryAddress {
        RepositoryAddress::Remote {
            host: "127.0.0.1".into(),
            port: Some(self.hub.port),
            owner: owner.into(),
            name: name.into(),
        }
    }

    pub(crate) async fn repository(&self, forge: &GitHubForge) -> Repository {
        let address = self.address("octo", "hello");
        forge
            .repository(&address, &Revision::DefaultBranch, Access::Push)
            .await
            .unwrap()
    }

    pub(crate) fn new_pull_request(&self, task: TaskId) -> NewPullRequest {
        NewPullRequest {
            task,
            title: "A title".into(),
            body: "A body".into(),
            head_branch: branch("backspace/x"),
            head_commit: self.head.clone(),
            base_branch: main_branch(),
            draft: true,
            labels: Vec::new(),
            reviewers: Vec::new(),
            assignees: Vec::new(),
        }
    }
}
