//! The work tree of a Task: from the mirror into a sandbox, and out again as checked objects.
//!
//! Git runs inside the sandbox, by scripts of ours, one exec each; out comes a tree id and a pack,
//! which the quarantine judges. The sandbox may be in an attacker's hands: a lie from it costs its own
//! Task some work, nothing else. The agent may do to its `.git` what it likes; saving uses an index of
//! its own and makes a broken git folder anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

use crate::forge::git::{CommitMessage, GitError, Known, ObjectFormat, Quarantine, Signature};
use crate::sandbox::{
    Changes, ExecReport, ExecSpec, FileError, FileReply, FileRequest, OBJECTS, OutputChunk, OutputMode, Sandbox,
    SandboxError, WORK_TREE,
};
use crate::task::branch::BranchName;
use crate::task::event::OutputStream;
use crate::task::id::{ObjectId, Timestamp};
use crate::task::record::Checkpoint;

/// Longest time for a checkout or a save.
const SCRIPT_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// Chunks of a delivery under way; a full channel makes the sandbox wait.
const DELIVERY_CHUNKS: usize = 16;

/// Bytes of a delivery written into a sandbox at once; base64 of it fits a frame.
const PIECE_BYTES: usize = 384 * 1024;

/// Most bytes of the words of a script that are kept for an error.
const MAX_WORDS: usize = 2048;

const CHECKOUT: &str = include_str!("workspace/checkout.sh");
const SAVE: &str = include_str!("workspace/save.sh");
const RESTORE: &str = include_str!("workspace/restore.sh");
const REBASE: &str = include_str!("workspace/rebase.sh");

/// Names the files that are over a size; shown when a save is refused for it.
const NAME_LARGE_FILES: &str =
    r#"cd "$1" && find . -xdev -path ./.git -prune -o -type f -size "+$8c" -print | head -n 10"#;

/// Exit status of the rebase script when the changes contradict each other.
const CONFLICT: i32 = 3;

/// What became of an attempt to stand on another commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rebased {
    /// The work tree is the new base with the change; save and verify it anew.
    Clean,
    /// The changes contradict each other in these files (untrusted names); the work tree is as it was.
    Conflicts(Vec<String>),
}
const RESET: &str = include_str!("workspace/reset.sh");

/// What can go wrong with a work tree.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// The sandbox failed or was lost.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// Git failed, or refused what came out.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The change has files that are too large to be kept. The agent can do something about it.
    #[error("the work tree could not be saved: {message}")]
    TooLarge {
        /// Which files, and what to do; the names are untrusted.
        message: String,
    },
    /// A script of ours failed inside the sandbox.
    #[error("the work tree could not be {what}: {message}")]
    Script {
        /// `checked out`, `saved`, `restored`, `rebased` or `reset`.
        what: &'static str,
        /// What it said; untrusted.
        message: String,
    },
}

/// A Task's work tree in its sandbox.
#[derive(Clone)]
pub struct Workspace {
    sandbox: Arc<dyn Sandbox>,
    quarantine: Quarantine,
    /// What a checkout already differs by (line ends, encodings), so that it is not taken for a change.
    start_tree: Option<ObjectId>,
    /// True from the question what changed until the answer is saved: the sandbox tells of a change once, and a
    /// save may be dropped after that.
    unsaved: Arc<AtomicBool>,
}

impl Workspace {
    /// Checks the base commit out into an empty work tree, on a branch of the base branch's name.
    ///
    /// The sandbox must have been made with the mirror's objects.
    pub async fn materialize(
        sandbox: Arc<dyn Sandbox>,
        quarantine: Quarantine,
        branch: &BranchName,
    ) -> Result<Self, WorkspaceError> {
        let mut workspace = Self {
            sandbox,
            quarantine,
            start_tree: None,
            unsaved: Arc::default(),
        };
        let arguments = workspace.common_arguments(branch.as_str());
        let (accepted, report, words) = workspace.deliver(CHECKOUT, &arguments, Known::Base).await?;
        require_success("checked out", &report, &words)?;
        workspace.start_tree = accepted?;
        if let Some(tree) = &workspace.start_tree {
            workspace.quarantine.remember_start(tree).await?;
        }
        // What is there now is the base: the first save looks for what differs from it.
        workspace.sandbox.changes().await?;
        Ok(workspace)
    }

    /// Enters a work tree that is there, after a restart.
    pub async fn reenter(sandbox: Arc<dyn Sandbox>, quarantine: Quarantine) -> Result<Self, WorkspaceError> {
        let start_tree = quarantine.start_tree().await?;
        Ok(Self {
            sandbox,
            quarantine,
            start_tree,
            unsaved: Arc::new(AtomicBool::new(true)),
        })
    }

    /// Returns the quarantine, for diffs and publication.
    pub fn quarantine(&self) -> &Quarantine {
        &self.quarantine
    }

    /// Saves the work tree outside, as a checkpoint, unless it is what `last` holds (or the base).
    ///
    /// Safe to drop at any await; the next save starts over.
    pub async fn save(&self, last: Option<&Checkpoint>, turn: u32) -> Result<Option<Checkpoint>, WorkspaceError> {
        let was_unsaved = self.unsaved.swap(true, Ordering::AcqRel);
        let saved = if self.sandbox.changes().await? == Changes::None && !was_unsaved {
            None
        } else {
            self.save_changed(last, turn).await?
        };
        self.unsaved.store(false, Ordering::Release);
        Ok(saved)
    }

    async fn save_changed(&self, last: Option<&Checkpoint>, turn: u32) -> Result<Option<Checkpoint>, WorkspaceError> {
        let (_, base_tree) = self.quarantine.base();
        let known = last.map_or(base_tree, |last| &last.tree);
        let mut arguments = self.common_arguments("");
        arguments.push(known.to_string());
        let (accepted, report, words) = self.deliver(SAVE, &arguments, Known::Tree(known)).await?;
        let accepted = match accepted {
            Err(GitError::TooLarge { what }) => return Err(self.name_large_files(what).await),
            accepted => accepted,
        };
        require_success("saved", &report, &words)?;
        let Some(tree) = accepted? else {
            return Ok(None);
        };
        let tree = self.without_phantoms(tree).await?;
        if tree == *known {
            return Ok(None);
        }
        let commit = self.keep(&tree).await?;
        Ok(Some(Checkpoint { commit, tree, turn }))
    }

    /// Brings a checkpoint's tree into the sandbox, over whatever its work tree has. Files that git ignores stay.
    pub async fn restore(&self, checkpoint: &Checkpoint) -> Result<(), WorkspaceError> {
        let pack = self.quarantine.pack_tree(&checkpoint.tree).await?;
        let folder = ".git/backspace/restore";
        for (number, piece) in pack.chunks(PIECE_BYTES).enumerate() {
            let request = FileRequest::Write {
                path: format!("{WORK_TREE}/{folder}/{number:06}"),
                content: STANDARD.encode(piece),
            };
            self.file(request).await?;
        }
        let mut arguments = self.common_arguments("");
        arguments.push(checkpoint.tree.to_string());
        let report = self
            .sandbox
            .exec(self.script(RESTORE, &arguments, OutputMode::Captured), None)
            .await?;
        require_success("restored", &report, &report.output)?;
        self.sandbox.changes().await?;
        Ok(())
    }

    /// Puts a saved change on top of another commit of the repository, whose objects the sandbox sees by now.
    ///
    /// `onto` is the Task's quarantine over the mirror at that commit. When clean, it is the workspace's
    /// from here on, and the next save (with no last checkpoint) gives the new tree.
    pub async fn rebase(&mut self, mine: &Checkpoint, onto: Quarantine) -> Result<Rebased, WorkspaceError> {
        let (onto_commit, _) = onto.base();
        let mut arguments = self.common_arguments(onto_commit.as_str());
        arguments.push(mine.tree.to_string());
        let spec = self.script(REBASE, &arguments, OutputMode::Streamed);
        let (sender, receiver) = mpsc::channel(DELIVERY_CHUNKS);
        let (report, (names, words)) = tokio::join!(self.sandbox.exec(spec, Some(sender)), collect(receiver));
        let report = report?;
        if report.exit_code == Some(CONFLICT) {
            let names = String::from_utf8_lossy(&names).lines().map(Into::into).collect();
            return Ok(Rebased::Conflicts(names));
        }
        require_success("rebased", &report, &words)?;
        self.quarantine = onto;
        // What a checkout differs by was found for the old base; the merge has taken care of it.
        self.start_tree = None;
        self.unsaved.store(true, Ordering::Release);
        Ok(Rebased::Clean)
    }

    /// Says which files made a save too large, so that the agent can remove them or have git ignore them.
    async fn name_large_files(&self, what: String) -> WorkspaceError {
        let mut arguments = self.common_arguments("");
        arguments.push(String::new());
        arguments.push(self.quarantine.store().limits().file_bytes.to_string());
        let spec = self.script(NAME_LARGE_FILES, &arguments, OutputMode::Captured);
        let names = match self.sandbox.exec(spec, None).await {
            Ok(report) => report.output,
            Err(error) => return error.into(),
        };
        let names: Vec<String> = String::from_utf8_lossy(&names)
            .lines()
            .map(|name| name.chars().filter(|character| !character.is_control()).collect())
            .collect();
        let hint = "remove what does not belong into the repository, or add it to .gitignore";
        let message = if names.is_empty() {
            format!("{what}; {hint}")
        } else {
            format!("{what}: {}; {hint}", names.join(", "))
        };
        WorkspaceError::TooLarge { message }
    }

    /// Brings the work tree back to what was saved last. Files that git ignores stay.
    pub async fn reset(&self) -> Result<(), WorkspaceError> {
        let report = self
            .sandbox
            .exec(
                self.script(RESET, &self.common_arguments(""), OutputMode::Captured),
                None,
            )
            .await?;
        require_success("reset", &report, &report.output)
    }

    async fn file(&self, request: FileRequest) -> Result<FileReply, WorkspaceError> {
        self.sandbox
            .file(request)
            .await?
            .map_err(|error: FileError| WorkspaceError::Script {
                what: "restored",
                message: error.to_string(),
            })
    }

    /// What every script is told: folder, objects, base commit and tree, format's head of a configuration, branch.
    fn common_arguments(&self, branch: &str) -> Vec<String> {
        let (commit, tree) = self.quarantine.base();
        let format = match self.quarantine.format() {
            ObjectFormat::Sha1 => "sha1",
            ObjectFormat::Sha256 => "sha256",
        };
        [WORK_TREE, OBJECTS, format, commit.as_str(), tree.as_str(), branch]
            .map(Into::into)
            .into()
    }

    fn script(&self, script: &str, arguments: &[String], output: OutputMode) -> ExecSpec {
        let mut argv = vec!["/bin/sh".to_owned(), "-c".into(), script.into(), "backspace".into()];
        argv.extend_from_slice(arguments);
        ExecSpec {
            argv,
            folder: Some("/".into()),
            environment: Vec::new(),
            timeout: SCRIPT_TIMEOUT,
            output,
        }
    }

    /// Runs a script whose stdout is a delivery; returns what the quarantine made of it and the script's words.
    async fn deliver(
        &self,
        script: &str,
        arguments: &[String],
        known: Known<'_>,
    ) -> Result<(Result<Option<ObjectId>, GitError>, ExecReport, Vec<u8>), WorkspaceError> {
        let (sender, receiver) = mpsc::channel::<OutputChunk>(DELIVERY_CHUNKS);
        let (delivery_sender, delivery) = mpsc::channel::<Bytes>(1);
        let exec = self
            .sandbox
            .exec(self.script(script, arguments, OutputMode::Streamed), Some(sender));
        let accept = self.quarantine.accept(known, ReceiverStream::new(delivery));
        let (report, accepted, words) = tokio::join!(exec, accept, split(receiver, delivery_sender));
        Ok((accepted, report?, words))
    }

    /// Makes a commit of a tree, so that the quarantine has a name for it.
    async fn keep(&self, tree: &ObjectId) -> Result<ObjectId, GitError> {
        let author = Signature {
            name: "Backspace".into(),
            email: "backspace@localhost".into(),
            time: Timestamp(0),
        };
        let message = CommitMessage::new("Checkpoint", "", None);
        let (base, _) = self.quarantine.base();
        self.quarantine.commit_tree(base, tree, &message, &author).await
    }

    /// Takes out of a tree what the checkout alone had changed.
    async fn without_phantoms(&self, tree: ObjectId) -> Result<ObjectId, GitError> {
        match &self.start_tree {
            Some(start_tree) => self.quarantine.without_phantoms(start_tree, &tree).await,
            None => Ok(tree),
        }
    }
}

/// Passes stdout on as the delivery, and keeps the beginning of stderr.
async fn split(receiver: mpsc::Receiver<OutputChunk>, delivery: mpsc::Sender<Bytes>) -> Vec<u8> {
    let mut chunks = ReceiverStream::new(receiver);
    let mut words = Vec::new();
    while let Some(chunk) = chunks.next().await {
        match chunk.stream {
            // A refused delivery is read to its end all the same: the script waits for its reader.
            OutputStream::Stdout => drop(delivery.send(chunk.data).await),
            OutputStream::Stderr => {
                let room = MAX_WORDS - words.len();
                words.extend(chunk.data.iter().take(room));
            }
        }
    }
    words
}

/// Keeps the beginnings of stdout and stderr.
async fn collect(receiver: mpsc::Receiver<OutputChunk>) -> (Vec<u8>, Vec<u8>) {
    let (sender, mut stdout) = mpsc::channel::<Bytes>(DELIVERY_CHUNKS);
    let gather = async {
        let mut all = Vec::new();
        while let Some(chunk) = stdout.recv().await {
            let room = MAX_WORDS.saturating_sub(all.len());
            all.extend(chunk.iter().take(room));
        }
        all
    };
    let (all, words) = tokio::join!(gather, split(receiver, sender));
    (all, words)
}

fn require_success(what: &'static str, report: &ExecReport, words: &[u8]) -> Result<(), WorkspaceError> {
    if report.exit_code == Some(0) {
        return Ok(());
    }
    let end = match (report.exit_code, report.timed_out, report.out_of_memory) {
        (_, true, _) => "it took too long".to_owned(),
        (_, _, true) => "it needed more memory than the sandbox has".to_owned(),
        (Some(code), ..) => format!("exit status {code}"),
        (None, ..) => "it was killed".to_owned(),
    };
    let words: String = String::from_utf8_lossy(words.get(..words.len().min(MAX_WORDS)).unwrap_or_default())
        .chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect();
    Err(WorkspaceError::Script {
        what,
        message: format!("{} ({end})", words.trim()),
    })
}
