//! Git for every forge: mirrors, quarantines, diffs and pushes, by the git command line.
//!
//! Git never runs on a work tree here. What a Task starts from is fetched into a bare mirror, what
//! comes out of its sandbox goes into a bare quarantine as checked objects, and what is pushed is a
//! commit that the host made. The command line and not a library: libgit2 took 30 times as long to
//! fetch, and gix can't push.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;

pub(crate) use crate::forge::git::command::Then;
pub(crate) use crate::forge::git::diff::escape_path;
pub use crate::forge::git::diff::{ChangedFile, DiffRequest, Patch, TreeDiff};
pub use crate::forge::git::error::GitError;
pub use crate::forge::git::listing::ListedFile;
pub use crate::forge::git::message::{CommitMessage, Signature};
pub(crate) use crate::forge::git::message::{clean_line, is_plain};
pub use crate::forge::git::mirror::Mirror;
pub use crate::forge::git::push::Pushed;
pub use crate::forge::git::quarantine::{Known, Quarantine};
pub(crate) use crate::forge::git::remote::key;
pub use crate::forge::git::remote::{RemoteRef, RemoteRefs};
pub use crate::forge::git::repository::ObjectFormat;
pub use crate::forge::git::tidy::Tidied;

pub(crate) mod command;
mod diff;
mod error;
mod listing;
mod message;
mod mirror;
mod pack;
mod phantom;
mod probe;
mod push;
mod quarantine;
mod remote;
pub(crate) mod repository;
mod tidy;
mod tree;
mod walk;

use crate::forge::git::command::{Call, Git};
use crate::forge::git::repository::{create_private, write_atomically};

/// Git's configuration in every call. It also reaches the `receive-pack` of a local repository, so it
/// has nothing that would switch off the owner's hooks there.
const CONFIGURATION: &str = "\
[core]
\tfsmonitor = false
\tprotectHFS = true
\tprotectNTFS = true
\tattributesFile = /dev/null
\texcludesFile = /dev/null
\tquotePath = true
\tpackedGitWindowSize = 32m
\tpackedGitLimit = 512m
[protocol]
\tversion = 2
[http]
\tfollowRedirects = false
\tlowSpeedLimit = 1000
\tlowSpeedTime = 60
[fetch]
\tunpackLimit = 1
\trecurseSubmodules = false
[push]
\trecurseSubmodules = no
\tfollowTags = false
[submodule]
\trecurse = false
[transfer]
\tcredentialsInUrl = die
\tbundleURI = false
[advice]
\tpushUpdateRejected = false
";

/// Bounds on what git work may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitLimits {
    /// Size of one pack of a mirror. 2 GiB.
    pub mirror_bytes: u64,
    /// Size of all mirrors, beyond which those not in use go. 20 GiB.
    pub mirrors_bytes: u64,
    /// Packs of a mirror, beyond which they become one. 20.
    pub mirror_packs: usize,
    /// Time of one fetch. 30 min.
    pub fetch_timeout: Duration,
    /// Time of one push. 10 min.
    pub push_timeout: Duration,
    /// Files and folders of a tree. 200,000.
    pub tree_entries: u64,
    /// Size of one file. 100 MiB.
    pub file_bytes: u64,
    /// Size of all files of a tree, once checked out. 4 GiB.
    pub tree_bytes: u64,
    /// Length of one path. 4,096.
    pub path_bytes: usize,
    /// Size of one delivery from a sandbox. 256 MiB.
    pub delivery_bytes: u64,
    /// Size of the objects in one delivery, once inflated. 512 MiB.
    pub inflated_bytes: u64,
    /// Time to take a delivery in. 120 s.
    pub delivery_timeout: Duration,
    /// Address space of a git that reads a delivery. 3 GiB.
    pub memory_bytes: u64,
}

impl Default for GitLimits {
    fn default() -> Self {
        Self {
            mirror_bytes: 2 << 30,
            mirrors_bytes: 20 << 30,
            mirror_packs: 20,
            fetch_timeout: Duration::from_secs(30 * 60),
            push_timeout: Duration::from_secs(10 * 60),
            tree_entries: 200_000,
            file_bytes: 100 << 20,
            tree_bytes: 4 << 30,
            path_bytes: 4096,
            delivery_bytes: 256 << 20,
            inflated_bytes: 512 << 20,
            delivery_timeout: Duration::from_secs(120),
            memory_bytes: 3 << 30,
        }
    }
}

/// Where git work happens.
#[derive(Clone, Debug)]
pub struct GitConfig {
    /// Folder for mirrors and quarantines; made if need be.
    pub folder: PathBuf,
    /// The git to run; `git` is looked for in the usual places.
    pub program: PathBuf,
    /// Proxy and certificate variables that git gets when it talks to a remote over HTTP.
    pub network_environment: Vec<(String, String)>,
    /// Bounds.
    pub limits: GitLimits,
}

impl GitConfig {
    /// Makes a configuration for a folder, with git from the usual places and default limits.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            program: "git".into(),
            network_environment: Vec::new(),
            limits: GitLimits::default(),
        }
    }

    /// Takes the proxy and certificate variables from an environment; `SSL_CERT_FILE` holds for git too.
    pub fn with_network_environment(mut self, environment: impl Iterator<Item = (String, String)>) -> Self {
        let wanted = |name: &str| {
            let lower = name.to_ascii_lowercase();
            matches!(lower.as_str(), "http_proxy" | "https_proxy" | "all_proxy" | "no_proxy")
                || matches!(
                    name,
                    "SSL_CERT_FILE" | "SSL_CERT_DIR" | "GIT_SSL_CAINFO" | "GIT_SSL_CAPATH"
                )
        };
        self.network_environment = environment.filter(|(name, _)| wanted(name)).collect();
        let get = |wanted: &str| self.network_environment.iter().find(|(name, _)| name == wanted);
        // A git that uses GnuTLS does not know the usual variable.
        if get("GIT_SSL_CAINFO").is_none()
            && let Some((_, file)) = get("SSL_CERT_FILE")
        {
            let file = file.clone();
            self.network_environment.push(("GIT_SSL_CAINFO".into(), file));
        }
        self
    }
}

/// The server's git repositories. Clones share them.
#[derive(Clone, Debug)]
pub struct GitStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    git: Git,
    folder: PathBuf,
    limits: GitLimits,
    version: String,
    mirror_locks: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl GitStore {
    /// Opens the store and proves that the installed git refuses hostile objects.
    pub async fn open(config: GitConfig) -> Result<Self, GitError> {
        let failed = |error: std::io::Error| GitError::Unusable {
            message: format!("its folder {} can't be used: {error}", config.folder.display()),
        };
        for part in ["home", "mirrors", "quarantines"] {
            create_private(&config.folder.join(part)).map_err(failed)?;
        }
        let folder = config.folder.canonicalize().map_err(failed)?;
        let git = Git {
            program: config.program,
            folder: folder.join("home"),
            network_environment: config.network_environment,
        };
        write_atomically(&git.configuration(), CONFIGURATION.as_bytes()).map_err(failed)?;
        let version = git.run(Call::new(["version"])).await?;
        let version = version.lines().next().unwrap_or_default().to_owned();
        probe::refuses_hostile_objects(&git).await?;
        Ok(Self {
            inner: Arc::new(Inner {
                git,
                folder,
                limits: config.limits,
                version,
                mirror_locks: Mutex::default(),
            }),
        })
    }

    /// Returns what the installed git says of itself, e.g. `git version 2.39.5`.
    pub fn version(&self) -> &str {
        &self.inner.version
    }

    pub(crate) fn git(&self) -> &Git {
        &self.inner.git
    }

    pub(crate) fn limits(&self) -> &GitLimits {
        &self.inner.limits
    }

    pub(crate) fn mirror_folder(&self, key: &str) -> PathBuf {
        self.inner.folder.join("mirrors").join(format!("{key}.git"))
    }

    pub(crate) fn mirrors(&self) -> PathBuf {
        self.inner.folder.join("mirrors")
    }

    pub(crate) fn quarantines(&self) -> PathBuf {
        self.inner.folder.join("quarantines")
    }

    /// Waits until no other fetch works on a mirror. The data folder belongs to one server, so a lock
    /// between processes is not needed.
    pub(crate) async fn lock_mirror(&self, key: &str) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.inner.mirror_locks.lock().unwrap_or_else(PoisonError::into_inner);
            locks.entry(key.into()).or_default().clone()
        };
        lock.lock_owned().await
    }
}
