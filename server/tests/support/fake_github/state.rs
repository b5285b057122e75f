//! What a fake GitHub knows: repositories, who may do what, and how fast.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use serde_json::Value;

/// What a token may do with the repositories that it sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rights {
    pub(crate) read: bool,
    /// `contents: write`, as git asks.
    pub(crate) push: bool,
    /// `pull_requests: write`.
    pub(crate) pulls: bool,
    /// Whether its owner may push, which is what the API tells.
    pub(crate) owner_push: bool,
}

impl Rights {
    pub(crate) const ALL: Self = Self {
        read: true,
        push: true,
        pulls: true,
        owner_push: true,
    };
    pub(crate) const READ: Self = Self {
        read: true,
        push: false,
        pulls: false,
        owner_push: false,
    };
}

/// A token.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) rights: Rights,
    /// Whose it is; may do everything with what is this account's own.
    pub(crate) login: String,
    /// Whether it may make forks.
    pub(crate) may_fork: bool,
    /// Names of the repositories that it sees; all when empty.
    pub(crate) repositories: Vec<String>,
    pub(crate) expires: Option<SystemTime>,
}

/// A repository.
#[derive(Clone, Debug)]
pub(crate) struct Repository {
    pub(crate) id: u64,
    /// `owner/name` as it is now.
    pub(crate) full_name: String,
    /// Names that it had.
    pub(crate) former_names: Vec<String>,
    /// What it was forked from.
    pub(crate) parent: Option<String>,
    /// Looks at its branches until it is there, as a fork is made after the answer.
    pub(crate) looks_until_there: u32,
    /// Whether it may be forked.
    pub(crate) forkable: bool,
    pub(crate) default_branch: String,
    pub(crate) private: bool,
    pub(crate) archived: bool,
    pub(crate) has_drafts: bool,
    /// Who may be asked for a review or be assigned.
    pub(crate) collaborators: Vec<String>,
    pub(crate) pulls: Vec<Value>,
    pub(crate) issues: BTreeMap<u64, Issue>,
    /// Review threads by pull request.
    pub(crate) threads: BTreeMap<u64, Vec<Thread>>,
}

/// An issue.
#[derive(Clone, Debug, Default)]
pub(crate) struct Issue {
    pub(crate) title: String,
    pub(crate) body: Option<String>,
    pub(crate) author: String,
    pub(crate) comments: Vec<Comment>,
}

/// What somebody wrote.
#[derive(Clone, Debug)]
pub(crate) struct Comment {
    pub(crate) author: String,
    pub(crate) body: String,
}

/// A thread of a review.
#[derive(Clone, Debug)]
pub(crate) struct Thread {
    pub(crate) resolved: bool,
    pub(crate) path: String,
    pub(crate) line: Option<u64>,
    pub(crate) comments: Vec<Comment>,
}

/// An App and where it is installed.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) id: u64,
    pub(crate) installation: u64,
    pub(crate) repositories: Vec<String>,
    pub(crate) permissions: BTreeMap<String, String>,
    /// How long its tokens live.
    pub(crate) token_life: Duration,
}

/// Everything.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) repositories: Vec<Repository>,
    pub(crate) tokens: BTreeMap<String, Token>,
    pub(crate) app: Option<App>,
    pub(crate) issued_tokens: usize,
}

impl State {
    /// Adds a repository whose bare one is in the folder.
    pub(crate) fn add(&mut self, full_name: &str) -> &mut Repository {
        let id = 1000 + self.repositories.len() as u64;
        self.repositories.push(Repository {
            id,
            full_name: full_name.into(),
            former_names: Vec::new(),
            parent: None,
            looks_until_there: 0,
            forkable: true,
            default_branch: "main".into(),
            private: false,
            archived: false,
            has_drafts: true,
            collaborators: vec!["ada".into(), "grace".into()],
            pulls: Vec::new(),
            issues: BTreeMap::new(),
            threads: BTreeMap::new(),
        });
        self.repositories.last_mut().unwrap()
    }

    pub(crate) fn token(&mut self, token: &str, rights: Rights) -> &mut Token {
        let new = Token {
            rights,
            login: "the-server".into(),
            may_fork: true,
            repositories: Vec::new(),
            expires: None,
        };
        self.tokens.insert(token.into(), new);
        self.tokens.get_mut(token).unwrap()
    }

    pub(crate) fn repository(&self, full_name: &str) -> Option<&Repository> {
        let mut all = self.repositories.iter();
        all.find(|repository| repository.full_name.eq_ignore_ascii_case(full_name))
    }

    pub(crate) fn repository_mut(&mut self, full_name: &str) -> Option<&mut Repository> {
        let mut all = self.repositories.iter_mut();
        all.find(|repository| repository.full_name.eq_ignore_ascii_case(full_name))
    }

    /// Returns what a token may do with a repository; `None` when it is no token, or no longer.
    pub(crate) fn rights(&self, token: &str, full_name: &str) -> Option<Rights> {
        let token = self.tokens.get(token)?;
        if token.expires.is_some_and(|expires| expires <= SystemTime::now()) {
            return None;
        }
        let sees = token.repositories.is_empty()
            || token
                .repositories
                .iter()
                .any(|name| name.eq_ignore_ascii_case(full_name));
        let nothing = Rights {
            read: false,
            push: false,
            pulls: false,
            owner_push: false,
        };
        let owner = full_name.split('/').next().unwrap();
        let rights = if owner.eq_ignore_ascii_case(&token.login) {
            Rights::ALL
        } else {
            token.rights
        };
        Some(if sees { rights } else { nothing })
    }
}

/// Returns the token of a header `authorization` of git.
pub(super) fn basic_token(header: &str) -> Option<String> {
    let encoded = header.strip_prefix("Basic ")?;
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    Some(text.strip_prefix("x-access-token:")?.to_owned())
}

/// Runs git in a bare repository; `None` when it fails.
pub(crate) fn git(root: &Path, full_name: &str, arguments: &[&str]) -> Option<String> {
    let output = std::process::Command::new("git")
        .arg("--git-dir")
        .arg(root.join(format!("{full_name}.git")))
        .args(arguments)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    output.status.success().then_some(text)
}
