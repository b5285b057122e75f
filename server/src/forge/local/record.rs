//! Pull requests of the local forge as JSON files: one a head branch, written whole or not at all.
//!
//! The file is named after the head branch, so a second pull request for a branch can't exist. Numbers
//! count up in each repository and are given out under a lock.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::forge::git::repository::{create_private, write_atomically};
use crate::forge::{NewPullRequest, percent_encode};
use crate::task::id::{TaskId, Timestamp};
use crate::task::result::PullRequest;

/// A pull request as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredPullRequest {
    /// Address of the repository.
    pub repository: String,
    /// The Task that wrote it last.
    pub task: TaskId,
    /// Title.
    pub title: String,
    /// Markdown.
    pub body: String,
    /// Labels.
    pub labels: Vec<String>,
    /// People asked to review it.
    pub reviewers: Vec<String>,
    /// People it is assigned to.
    pub assignees: Vec<String>,
    /// When it was opened.
    pub opened: Timestamp,
    /// Number, branches and head.
    pub pull_request: PullRequest,
}

/// The files of all repositories.
#[derive(Debug)]
pub(super) struct PullRequests {
    folder: PathBuf,
    writing: Mutex<()>,
}

impl PullRequests {
    pub(super) fn open(folder: PathBuf) -> io::Result<Self> {
        create_private(&folder)?;
        Ok(Self {
            folder,
            writing: Mutex::new(()),
        })
    }

    pub(super) fn find(&self, repository: &str, head_branch: &str) -> io::Result<Option<StoredPullRequest>> {
        match std::fs::read(self.file(repository, head_branch)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn by_number(&self, repository: &str, number: u64) -> io::Result<Option<StoredPullRequest>> {
        let all = self.all(repository)?;
        Ok(all.into_iter().find(|stored| stored.pull_request.number == number))
    }

    pub(super) fn open_or_update(&self, repository: &str, new: NewPullRequest) -> io::Result<PullRequest> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let head_branch = new.head_branch.to_string();
        let before = self.find(repository, &head_branch)?;
        let number = match &before {
            Some(before) => before.pull_request.number,
            None => {
                let all = self.all(repository)?;
                1 + all.iter().map(|stored| stored.pull_request.number).max().unwrap_or(0)
            }
        };
        let path: Vec<_> = repository.split('/').map(percent_encode).collect();
        let pull_request = PullRequest {
            url: format!("file://{}#pull/{number}", path.join("/")),
            number,
            head_branch: head_branch.clone(),
            base_branch: new.base_branch.to_string(),
            head_commit: new.head_commit,
            head_repository: None,
            draft: new.draft,
        };
        let stored = StoredPullRequest {
            repository: repository.into(),
            task: new.task,
            title: new.title,
            body: new.body,
            labels: new.labels,
            reviewers: new.reviewers,
            assignees: new.assignees,
            opened: before.map_or_else(Timestamp::now, |before| before.opened),
            pull_request: pull_request.clone(),
        };
        let bytes = serde_json::to_vec_pretty(&stored)?;
        let file = self.file(repository, &head_branch);
        if let Some(folder) = file.parent() {
            create_private(folder)?;
        }
        write_atomically(&file, &bytes)?;
        Ok(pull_request)
    }

    /// Takes the words out of the pull requests that a Task wrote last. Number, branches and head stay, because the
    /// branch does: a later pull request for it is the same one, and no number is given out twice.
    pub(super) fn forget(&self, task: TaskId) -> io::Result<()> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in std::fs::read_dir(&self.folder)? {
            for (path, stored) in read_all(&entry?.path())? {
                if stored.task != task {
                    continue;
                }
                let emptied = StoredPullRequest {
                    title: String::new(),
                    body: String::new(),
                    labels: Vec::new(),
                    reviewers: Vec::new(),
                    assignees: Vec::new(),
                    ..stored
                };
                write_atomically(&path, &serde_json::to_vec_pretty(&emptied)?)?;
            }
        }
        Ok(())
    }

    fn all(&self, repository: &str) -> io::Result<Vec<StoredPullRequest>> {
        let all = read_all(&self.repository_folder(repository))?;
        Ok(all.into_iter().map(|(_, stored)| stored).collect())
    }

    fn repository_folder(&self, repository: &str) -> PathBuf {
        self.folder.join(crate::forge::git::key(repository))
    }

    fn file(&self, repository: &str, head_branch: &str) -> PathBuf {
        let name = format!("{}.json", crate::forge::git::key(head_branch));
        self.repository_folder(repository).join(name)
    }
}

/// Reads the pull requests of a repository's folder, with their files.
fn read_all(folder: &Path) -> io::Result<Vec<(PathBuf, StoredPullRequest)>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut all = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let stored = serde_json::from_slice(&std::fs::read(&path)?)?;
            all.push((path, stored));
        }
    }
    Ok(all)
}
