//! The scripts that run inside the sandbox: what they are told, and what becomes of what they say.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

use crate::forge::git::{GitError, Known, ObjectFormat};
use crate::orchestrator::workspace::{Workspace, WorkspaceError};
use crate::sandbox::{ExecReport, ExecSpec, FileRequest, OBJECTS, OutputChunk, OutputMode, WORK_TREE};
use crate::task::event::OutputStream;
use crate::task::id::ObjectId;

/// Longest time for a checkout or a save.
const SCRIPT_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// Chunks of a delivery under way; a full channel makes the sandbox wait.
const DELIVERY_CHUNKS: usize = 16;

/// Exit status of a script that lacks the base's objects: the sandbox is not shown the mirror's.
const WANTS_BASE: i32 = 4;

/// Where the pieces of the base are put for `repository.sh`.
const BASE_PIECES: &str = ".git-base";

/// Bytes of a pack written into a sandbox at once; base64 of it fits a frame.
pub(super) const PIECE_BYTES: usize = 384 * 1024;

/// Most bytes of the words of a script that are kept for an error.
const MAX_WORDS: usize = 2048;

/// What the quarantine made of a delivery, how its script ended, and the script's words.
pub(super) type Delivered = (Result<Option<ObjectId>, GitError>, ExecReport, Vec<u8>);

impl Workspace {
    /// What every script is told: folder, objects, base commit and tree, format's head of a configuration, branch.
    pub(super) fn common_arguments(&self, branch: &str) -> Vec<String> {
        let (commit, tree) = self.quarantine.base();
        let format = match self.quarantine.format() {
            ObjectFormat::Sha1 => "sha1",
            ObjectFormat::Sha256 => "sha256",
        };
        [WORK_TREE, OBJECTS, format, commit.as_str(), tree.as_str(), branch]
            .map(Into::into)
            .into()
    }

    pub(super) fn script(&self, script: &str, arguments: &[String], output: OutputMode) -> ExecSpec {
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

    /// Runs a script whose stdout is a delivery; sends it the base's objects first when it lacks them.
    pub(super) async fn deliver(
        &self,
        script: &str,
        arguments: &[String],
        known: Known<'_>,
    ) -> Result<Delivered, WorkspaceError> {
        let delivered = self.deliver_once(script, arguments, known).await?;
        let (_, report, _) = &delivered;
        if report.exit_code != Some(WANTS_BASE) {
            return Ok(delivered);
        }
        self.send_base().await?;
        self.deliver_once(script, arguments, known).await
    }

    /// Writes the base commit, as pieces of a pack, into the sandbox.
    async fn send_base(&self) -> Result<(), WorkspaceError> {
        // One piece under way beside the one that is written.
        let (sender, mut pieces) = mpsc::channel::<Vec<u8>>(1);
        let write = async {
            let mut number = 0;
            while let Some(piece) = pieces.recv().await {
                self.write_piece(BASE_PIECES, number, &piece).await?;
                number += 1;
            }
            Ok::<_, WorkspaceError>(())
        };
        let (packed, written) = tokio::join!(self.quarantine.pack_base(PIECE_BYTES, sender), write);
        written?;
        Ok(packed?)
    }

    /// Writes a piece of a pack into a folder of the work tree.
    pub(super) async fn write_piece(&self, folder: &str, number: usize, piece: &[u8]) -> Result<(), WorkspaceError> {
        let request = FileRequest::Write {
            path: format!("{WORK_TREE}/{folder}/{number:06}"),
            content: STANDARD.encode(piece),
        };
        let written = self.sandbox.file(request).await?;
        written.map(|_| ()).map_err(|error| WorkspaceError::Script {
            what: "filled",
            message: error.to_string(),
        })
    }

    async fn deliver_once(
        &self,
        script: &str,
        arguments: &[String],
        known: Known<'_>,
    ) -> Result<Delivered, WorkspaceError> {
        let (sender, receiver) = mpsc::channel::<OutputChunk>(DELIVERY_CHUNKS);
        let (delivery_sender, delivery) = mpsc::channel::<Bytes>(1);
        let exec = self
            .sandbox
            .exec(self.script(script, arguments, OutputMode::Streamed), Some(sender));
        let accept = self.quarantine.accept(known, ReceiverStream::new(delivery));
        let (report, accepted, words) = tokio::join!(exec, accept, split(receiver, delivery_sender));
        Ok((accepted, report?, words))
    }

    /// Runs a script and keeps the beginnings of its stdout and its words.
    pub(super) async fn listen(
        &self,
        script: &str,
        arguments: &[String],
    ) -> Result<(ExecReport, Vec<u8>, Vec<u8>), WorkspaceError> {
        let (sender, receiver) = mpsc::channel(DELIVERY_CHUNKS);
        let spec = self.script(script, arguments, OutputMode::Streamed);
        let (report, (said, words)) = tokio::join!(self.sandbox.exec(spec, Some(sender)), collect(receiver));
        Ok((report?, said, words))
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

pub(super) fn require_success(what: &'static str, report: &ExecReport, words: &[u8]) -> Result<(), WorkspaceError> {
    if report.exit_code == Some(0) {
        return Ok(());
    }
    let end = match (report.exit_code, report.timed_out, report.out_of_memory) {
        (_, true, _) => "it took too long".to_owned(),
        (_, _, true) => "it needed more memory than the sandbox has".to_owned(),
        _ if report.disk_exceeded => "the work tree takes more disk than its limit".to_owned(),
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
