//! The bare repository of one attempt: made from the exercise's files, read for the branch that came of it.
//!
//! Git on the host makes objects of our own files and reads refs; it never checks a result out. What the
//! agent left is taken apart inside a sandbox, by the judge.

use std::path::{Path, PathBuf};

use tokio::process::Command;

/// A bare repository with one commit on `main`.
pub(crate) struct Repository {
    bare: PathBuf,
    base: String,
}

/// Git could not do it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RepositoryError {
    #[error("git can't be started: {0}")]
    Start(#[from] std::io::Error),
    #[error("git {what} failed: {message}")]
    Failed { what: String, message: String },
}

impl Repository {
    /// Makes the repository from the files of a folder; always the same commit for the same files.
    pub(crate) async fn make(bare: PathBuf, files: &Path) -> Result<Self, RepositoryError> {
        if let Some(parent) = bare.parent() {
            std::fs::create_dir_all(parent)?;
        }
        // Readable by all, whatever the umask: the sandboxes of a server that is root have other ids.
        let bare_text = bare.to_string_lossy().into_owned();
        git(&[
            "-c",
            "init.defaultBranch=main",
            "init",
            "-q",
            "--bare",
            "--shared=0644",
            &bare_text,
        ])
        .await?;
        let inside = ["--git-dir", &bare_text];
        let files = files.canonicalize()?.to_string_lossy().into_owned();
        git(&[&inside[..], &["--work-tree", &files, "add", "--all"]].concat()).await?;
        let tree = git(&[&inside[..], &["write-tree"]].concat()).await?;
        let base = git(&[&inside[..], &["commit-tree", "-m", "Begin", &tree]].concat()).await?;
        git(&[&inside[..], &["update-ref", "refs/heads/main", &base]].concat()).await?;
        std::fs::remove_file(bare.join("index"))?;
        Ok(Self { bare, base })
    }

    /// What a Task is given.
    pub(crate) fn url(&self) -> String {
        self.bare.to_string_lossy().into_owned()
    }

    /// The commit that everything starts at.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    pub(crate) fn objects(&self) -> PathBuf {
        self.bare.join("objects")
    }

    /// Returns the commit of a branch that was pushed.
    pub(crate) async fn commit_of(&self, branch: &str) -> Result<String, RepositoryError> {
        let reference = format!("refs/heads/{branch}^{{commit}}");
        let bare = self.url();
        git(&["--git-dir", &bare, "rev-parse", "--verify", "--quiet", &reference]).await
    }
}

async fn git(arguments: &[&str]) -> Result<String, RepositoryError> {
    let output = Command::new("git")
        .args(arguments)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_NAME"), "Ada")))
        .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_EMAIL"), "ada@example.invalid")))
        .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_DATE"), "2026-01-01T00:00:00Z")))
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        .kill_on_drop(true)
        .output()
        .await?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(RepositoryError::Failed {
            what: arguments.join(" "),
            message: if words.is_empty() {
                output.status.to_string()
            } else {
                words
            },
        });
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_same_files_make_the_same_commit_and_only_pushed_branches_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let files = folder.path().join("files");
        std::fs::create_dir(&files).unwrap();
        std::fs::write(files.join(".gitignore"), "ignored\n").unwrap();
        std::fs::write(files.join("a"), "1\n").unwrap();
        std::fs::write(files.join("ignored"), "2\n").unwrap();
        let one = Repository::make(folder.path().join("one.git"), &files).await.unwrap();
        let two = Repository::make(folder.path().join("two.git"), &files).await.unwrap();
        assert_eq!(one.base(), two.base());
        assert_eq!(one.commit_of("main").await.unwrap(), one.base());
        assert!(matches!(
            one.commit_of("other").await,
            Err(RepositoryError::Failed { .. })
        ));
        let bare = one.url();
        let names = git(&["--git-dir", &bare, "ls-tree", "--name-only", "main"])
            .await
            .unwrap();
        assert_eq!(names, ".gitignore\na");
    }
}
