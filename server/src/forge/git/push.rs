//! Pushes a commit to a branch, and finds out what became of it.
//!
//! A push never overwrites what the server has not seen: a first push demands that the branch does not
//! exist, a later one that it still is where the last one left it. The exit status of a failed push
//! says little (the ref may have moved before the connection broke), so the remote is asked.

use crate::forge::GitRemote;
use crate::forge::git::command::Call;
use crate::forge::git::error::GitError;
use crate::forge::git::quarantine::Quarantine;
use crate::forge::git::remote::remote_name;
use crate::task::branch::BranchName;
use crate::task::id::ObjectId;

/// What became of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// The branch points to the commit, by this push or an earlier one.
    Landed,
    /// The branch is elsewhere than expected; `None` when it is gone.
    Moved {
        /// Where it is.
        head: Option<ObjectId>,
    },
    /// The branch can't exist, because another one's name is a folder of it or the other way round.
    NameConflict {
        /// The other branch.
        with: String,
    },
    /// The remote refuses this commit or this branch: a hook, a protected branch, a missing right.
    Rejected {
        /// What it said.
        message: String,
    },
}

impl Quarantine {
    /// Pushes a commit to a branch that must not exist (`expected` is `None`) or must be at `expected`.
    ///
    /// May be repeated at will; an error says that what became of it is not known.
    pub async fn push(
        &self,
        remote: &GitRemote,
        commit: &ObjectId,
        branch: &BranchName,
        expected: Option<&ObjectId>,
    ) -> Result<Pushed, GitError> {
        if let Some(expected) = expected {
            // A matching lease alone would force a commit that drops those of other people.
            if !self.is_ancestor(expected, commit).await? {
                return Ok(Pushed::Rejected {
                    message: format!("the commit does not contain {expected}, where the branch is"),
                });
            }
        }
        let name = branch.to_ref();
        let lease = expected.map(ObjectId::as_str).unwrap_or_default();
        let call = Call::new(["push", "--porcelain", "--no-verify", "--no-progress", "--no-signed"])
            .arg(format!("--force-with-lease={name}:{lease}"))
            .arg("--")
            .arg(&remote.url)
            .arg(format!("{commit}:{name}"))
            .git_dir(self.folder())
            .reach(self.store().reach(remote)?)
            .timeout(self.store().limits().push_timeout);
        let failure = match self.store().git().attempt(call, &[]).await {
            Ok(output) if output.status.success() => return Ok(Pushed::Landed),
            Ok(output) => Failure::of(&String::from_utf8_lossy(&output.stdout), output.stderr),
            Err(error @ GitError::Unusable { .. }) => return Err(error),
            Err(error) => Failure {
                rejection: None,
                words: error.to_string(),
            },
        };
        self.settle(remote, commit, branch, expected, failure).await
    }

    /// Finds out what became of a push that failed.
    async fn settle(
        &self,
        remote: &GitRemote,
        commit: &ObjectId,
        branch: &BranchName,
        expected: Option<&ObjectId>,
        failure: Failure,
    ) -> Result<Pushed, GitError> {
        let name = branch.to_ref();
        let mut patterns = vec![name.clone(), format!("{name}/*")];
        patterns.extend(
            name.match_indices('/')
                .skip(2)
                .filter_map(|(end, _)| name.get(..end))
                .map(Into::into),
        );
        let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
        let refs = match self.store().remote_refs(remote, &patterns).await {
            Ok(refs) => refs,
            // The push's own words say more, unless they say nothing.
            Err(_) if failure.rejection.is_some() => Default::default(),
            Err(error) => return Err(error),
        };
        let head = refs.get(&name).cloned();
        if head.as_ref() == Some(commit) {
            return Ok(Pushed::Landed);
        }
        let inside = format!("{name}/");
        let is_conflict = |other: &str| other.starts_with(&inside) || name.starts_with(&format!("{other}/"));
        if let Some(other) = refs.refs.iter().find(|other| is_conflict(&other.name)) {
            let with = other.name.strip_prefix("refs/heads/").unwrap_or(&other.name);
            return Ok(Pushed::NameConflict { with: with.into() });
        }
        if head.as_ref() != expected {
            return Ok(Pushed::Moved { head });
        }
        match failure.rejection {
            Some(message) => Ok(Pushed::Rejected { message }),
            None => match GitError::from_remote(&remote_name(remote), &failure.words) {
                GitError::Refused { message, .. } => Ok(Pushed::Rejected { message }),
                error => Err(error),
            },
        }
    }

    /// Returns whether `ancestor` is in the history of `commit`; false when it is not known here.
    pub async fn is_ancestor(&self, ancestor: &ObjectId, commit: &ObjectId) -> Result<bool, GitError> {
        let call =
            Call::new(["merge-base", "--is-ancestor", ancestor.as_str(), commit.as_str()]).git_dir(self.folder());
        let output = self.store().git().attempt(call, &[]).await?;
        Ok(output.status.success())
    }
}

/// Why a push failed, as git tells it.
#[derive(Debug)]
struct Failure {
    /// What the remote said about the ref, when it refused it.
    rejection: Option<String>,
    /// All of stderr.
    words: String,
}

impl Failure {
    /// A refused ref is a line `!<tab>from:to<tab>[remote rejected] (why)` on stdout; what its hook
    /// printed is on stderr, marked `remote:`.
    fn of(stdout: &str, stderr: String) -> Self {
        let line = stdout.lines().find_map(|line| line.strip_prefix("!\t"));
        let reason = line.and_then(|line| line.split('\t').nth(1));
        let rejection = reason.map(|reason| {
            let hook: Vec<&str> = stderr
                .split("; ")
                .filter_map(|line| line.strip_prefix("remote: "))
                .map(str::trim)
                .collect();
            let mut message = reason.to_owned();
            let is_news = |line: &&&str| !line.is_empty() && !line.starts_with("error: hook declined");
            for line in hook.iter().filter(is_news) {
                message.push_str(": ");
                message.push_str(line);
            }
            message
                .chars()
                .filter(|character| !character.is_control())
                .take(1000)
                .collect()
        });
        Self {
            rejection,
            words: stderr,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_ref_is_told_with_the_words_of_the_hook() {
        let failure = Failure::of(
            "To /srv/a.git\n!\tabc:refs/heads/x\t[remote rejected] (pre-receive hook declined)\nDone\n",
            "remote: no change on Fridays; error: failed to push some refs".into(),
        );
        assert_eq!(
            failure.rejection.as_deref(),
            Some("[remote rejected] (pre-receive hook declined): no change on Fridays")
        );
        assert_eq!(Failure::of("", "fatal: hung up".into()).rejection, None);
    }
}
