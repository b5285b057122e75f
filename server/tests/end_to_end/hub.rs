//! A GitHub on loopback with the usual repository, and a server that works with it.

use backspace_sdk::v1;
use serde_json::Value;

use crate::fake_github::{FakeGitHub, Rights};
use crate::repository::Repository;
use crate::server::{Launch, TestServer};
use crate::site::{Site, spec};

pub const TOKEN: &str = "github_pat_11CANARY0123456789_abcdefghijklmnopqrstuvwxyzABCDEFGH";

/// Name of the repository there.
pub const NAME: &str = "octo/hello";

/// A GitHub, and its repository on disk.
pub struct Hub {
    pub hub: FakeGitHub,
    pub repository: Repository,
}

impl Hub {
    /// Starts one whose repository is the usual red one, which the token may push to.
    pub async fn start(site: &Site) -> Self {
        Self::start_with(site, &[]).await
    }

    /// Starts one whose repository has more files.
    pub async fn start_with(site: &Site, more: &[(&str, &str)]) -> Self {
        let root = site.path("hub");
        std::fs::create_dir_all(root.join("octo")).unwrap();
        let mut files = vec![
            (".backspace.toml", "[verify]\ncommands = [\"grep -q good out.txt\"]\n"),
            ("out.txt", "bad\n"),
        ];
        files.extend_from_slice(more);
        let bare = root.join(format!("{NAME}.git"));
        let repository = Repository::make(bare, &site.path("hello.seed"), &files);
        let hub = FakeGitHub::start(root).await;
        hub.with(|state| {
            state.add(NAME);
            state.token(TOKEN, Rights::ALL);
        });
        Self { hub, repository }
    }

    /// Returns how a server that works with it is started.
    pub fn launch<'a>(&self, site: &'a Site) -> Launch<'a> {
        site.serve()
            .flag("--github-url", &self.hub.url())
            .env("GITHUB_TOKEN", TOKEN)
    }

    pub async fn serve(&self, site: &Site) -> TestServer {
        self.launch(site).start().await
    }

    /// Asks for the usual change.
    pub fn spec(&self, script: &str) -> v1::TaskSpec {
        v1::TaskSpec {
            repository: Some(v1::Repository {
                url: self.hub.address(NAME),
                revision: None,
            }),
            ..spec(&self.repository, script)
        }
    }

    /// Returns the only pull request, whose head is the only branch.
    pub fn only_pull(&self) -> Value {
        let pulls = self.hub.pulls(NAME);
        assert_eq!(pulls.len(), 1, "{pulls:?}");
        assert_eq!(pulls[0]["head"]["ref"], self.repository.only_branch().as_str());
        pulls[0].clone()
    }
}
