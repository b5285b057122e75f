//! Asks remotes which refs they have, and says how a call reaches one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::forge::git::GitStore;
use crate::forge::git::command::{Call, Reach};
use crate::forge::git::error::GitError;
use crate::forge::git::repository::write_atomically;
use crate::forge::{GitRemote, GitTransport};
use crate::task::branch::BranchName;
use crate::task::id::ObjectId;

/// Longest time to list refs.
const LIST_TIMEOUT: Duration = Duration::from_secs(60);

/// A ref of a remote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteRef {
    /// Full name.
    pub name: String,
    /// What it points to.
    pub id: ObjectId,
}

/// What a remote said about its refs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoteRefs {
    /// The refs asked for that exist.
    pub refs: Vec<RemoteRef>,
    /// The branch that HEAD names, when HEAD was asked for and is not detached or unborn.
    pub head: Option<String>,
}

impl RemoteRefs {
    /// Returns what a ref points to.
    pub fn get(&self, name: &str) -> Option<&ObjectId> {
        self.refs.iter().find(|entry| entry.name == name).map(|entry| &entry.id)
    }
}

impl GitStore {
    /// Lists a remote's refs that match the patterns of `git ls-remote`; all of them when there is none.
    pub async fn remote_refs(&self, remote: &GitRemote, patterns: &[&str]) -> Result<RemoteRefs, GitError> {
        let call = Call::new(["ls-remote", "--symref", "--quiet", "--", &remote.url])
            .reach(self.reach(remote)?)
            .timeout(LIST_TIMEOUT.min(self.limits().fetch_timeout))
            .stdout_bytes(16 << 20);
        let call = patterns.iter().fold(call, |call, pattern| call.arg(*pattern));
        let output = self.git().attempt(call, &[]).await?;
        if !output.status.success() {
            return Err(GitError::from_remote(&remote_name(remote), &output.stderr));
        }
        let mut refs = RemoteRefs::default();
        for line in output.lines() {
            match line.split_once('\t') {
                Some((target, "HEAD")) if target.starts_with("ref: ") => {
                    refs.head = target.strip_prefix("ref: ").map(Into::into);
                }
                Some((id, name)) => {
                    if let Ok(id) = id.parse() {
                        refs.refs.push(RemoteRef { name: name.into(), id });
                    }
                }
                None => {}
            }
        }
        Ok(refs)
    }

    /// Returns the commit that a remote's branch points to.
    pub async fn remote_head(&self, remote: &GitRemote, branch: &BranchName) -> Result<Option<ObjectId>, GitError> {
        let name = branch.to_ref();
        Ok(self.remote_refs(remote, &[&name]).await?.get(&name).cloned())
    }

    /// Returns whether a local repository has a commit; nothing there is run for it.
    pub(crate) async fn local_has_commit(&self, remote: &GitRemote, commit: &ObjectId) -> Result<bool, GitError> {
        let call = Call::new(["cat-file", "-e"])
            .arg(format!("{commit}^{{commit}}"))
            .git_dir(Path::new(&remote.url));
        Ok(self.git().attempt(call, &[]).await?.status.success())
    }

    /// Says how a call reaches a remote; writes the configuration that trusts it when it is a local one.
    pub(crate) fn reach(&self, remote: &GitRemote) -> Result<Reach, GitError> {
        let configuration = match remote.transport {
            GitTransport::File => Some(self.trusting_configuration(&remote.url)?),
            GitTransport::Https | GitTransport::Http => None,
        };
        let credential = match (&remote.credential, scope(&remote.url)) {
            (Some(credential), Some(scope)) => Some((scope, credential.clone())),
            _ => None,
        };
        Ok(Reach {
            transport: remote.transport,
            name: remote_name(remote),
            credential,
            configuration,
        })
    }

    /// Git refuses repositories of other users unless they are named in a configuration file; `-c` does
    /// not reach the `upload-pack` that a local remote runs.
    fn trusting_configuration(&self, path: &str) -> Result<PathBuf, GitError> {
        let file = self.git().folder.join(format!("gitconfig-{}", key(path)));
        if file.exists() {
            return Ok(file);
        }
        let quoted = path.replace('\\', "\\\\").replace('"', "\\\"");
        let mut text = super::CONFIGURATION.to_owned();
        text.push_str(&format!("[safe]\n\tdirectory = \"{quoted}\"\n"));
        if let Some(work_tree) = quoted.strip_suffix("/.git") {
            text.push_str(&format!("\tdirectory = \"{work_tree}\"\n"));
        }
        write_atomically(&file, text.as_bytes()).map_err(|error| GitError::internal("configuration", error))?;
        Ok(file)
    }
}

/// Names a remote in messages: without its path where it is a host's.
pub(crate) fn remote_name(remote: &GitRemote) -> String {
    scope(&remote.url).unwrap_or_else(|| remote.url.clone())
}

/// Returns a name for a file that depends on a text alone.
pub(crate) fn key(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Returns scheme and authority of a URL, which a credential is bound to.
fn scope(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?;
    Some(format!("{scheme}://{authority}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_bound_to_scheme_host_and_port() {
        assert_eq!(scope("https://forge.test/a/b").as_deref(), Some("https://forge.test"));
        assert_eq!(scope("http://127.0.0.1:81/a").as_deref(), Some("http://127.0.0.1:81"));
        assert_eq!(scope("/srv/git/a.git"), None);
    }
}
