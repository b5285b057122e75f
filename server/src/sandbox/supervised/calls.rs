//! The table of open calls, and what each frame from the supervisor does to it.
//!
//! Pure but for the channels it feeds, and it never waits: a reader that waited for one slow call would
//! stop them all. That is safe because captured output may be dropped and streamed output is limited by
//! credit, which is checked here and not believed.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use sandbox_supervisor::frame::Frame;
use sandbox_supervisor::protocol::{ExecDone, FIRST_TUNNEL_STREAM, FatalError, Hello, INITIAL_CREDIT_BYTES, kind};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, oneshot};

use super::connection::Ended;
use crate::sandbox::OutputChunk;
use crate::task::event::OutputStream;
use crate::task::id::Epoch;

/// Where the output of a command goes as it comes.
pub(super) enum Sink {
    /// Nowhere.
    Unwatched,
    /// To somebody who may be slow; what does not fit is dropped.
    Live(mpsc::Sender<OutputChunk>),
    /// To the call, complete. Unbounded in form; `owed_bytes` never passes the credit.
    Streamed {
        chunks: mpsc::UnboundedSender<OutputChunk>,
        owed_bytes: Arc<AtomicU64>,
    },
}

/// What is to be sent because of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// The report of this exec was taken.
    Forget(u32),
}

enum Call {
    Exec {
        sink: Sink,
        done: oneshot::Sender<ExecDone>,
    },
    AbandonedExec,
    Request {
        done_kind: u8,
        done: oneshot::Sender<Vec<u8>>,
    },
}

/// The open calls of a connection.
pub(super) struct Calls {
    epoch: Epoch,
    last_stream: u32,
    open: HashMap<u32, Call>,
    ended: Option<Ended>,
}

impl Calls {
    pub(super) fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            last_stream: 0,
            open: HashMap::new(),
            ended: None,
        }
    }

    /// Opens an exec and returns its stream.
    pub(super) fn open_exec(&mut self, sink: Sink) -> Result<(u32, oneshot::Receiver<ExecDone>), Ended> {
        let (done, report) = oneshot::channel();
        Ok((self.open(Call::Exec { sink, done })?, report))
    }

    /// Opens a request that is answered by one frame of `done_kind`.
    pub(super) fn open_request(&mut self, done_kind: u8) -> Result<(u32, oneshot::Receiver<Vec<u8>>), Ended> {
        let (done, reply) = oneshot::channel();
        Ok((self.open(Call::Request { done_kind, done })?, reply))
    }

    fn open(&mut self, call: Call) -> Result<u32, Ended> {
        if let Some(ended) = &self.ended {
            return Err(ended.clone());
        }
        // Zero is the connection itself; two billion calls in one sandbox do not happen.
        self.last_stream = (self.last_stream + 1) % FIRST_TUNNEL_STREAM;
        self.last_stream = self.last_stream.max(1);
        self.open.insert(self.last_stream, call);
        Ok(self.last_stream)
    }

    /// Nobody waits for this exec any more; its report will be forgotten. Returns false if it has ended.
    pub(super) fn abandon(&mut self, stream: u32) -> bool {
        match self.open.get_mut(&stream) {
            Some(call) => {
                *call = Call::AbandonedExec;
                true
            }
            None => false,
        }
    }

    /// Nobody waits for this request any more.
    pub(super) fn close(&mut self, stream: u32) {
        self.open.remove(&stream);
    }

    /// Ends all calls; returns the first reason there was.
    pub(super) fn end(&mut self, reason: Ended) -> Ended {
        self.open.clear();
        self.ended.get_or_insert(reason).clone()
    }

    /// Returns why the connection is over.
    pub(super) fn ended(&self) -> Ended {
        self.ended.clone().unwrap_or(Ended::Lost("the call was closed".into()))
    }

    /// Obeys one frame. An error ends the connection.
    pub(super) fn take(&mut self, frame: Frame) -> Result<Option<Reaction>, Ended> {
        match frame.kind {
            kind::STDOUT => self.output(frame, OutputStream::Stdout)?,
            kind::STDERR => self.output(frame, OutputStream::Stderr)?,
            kind::EXEC_DONE => return self.exec_done(frame),
            kind::FILE_DONE | kind::CHANGES_DONE | kind::TUNNEL_DONE => self.request_done(frame)?,
            kind::HELLO => {
                let hello: Hello = parse(&frame)?;
                if hello.epoch > self.epoch.0 {
                    return Err(Ended::Lost("a newer run has taken it over".into()));
                }
            }
            kind::FATAL => {
                let fatal: FatalError = parse(&frame)?;
                return Err(Ended::Lost(fatal.message));
            }
            // From a newer or a hostile supervisor.
            _ => {}
        }
        Ok(None)
    }

    fn output(&mut self, frame: Frame, stream: OutputStream) -> Result<(), Ended> {
        let Some(Call::Exec { sink, .. }) = self.open.get(&frame.stream) else {
            return Ok(());
        };
        let chunk = OutputChunk {
            stream,
            offset: frame.sequence,
            data: Bytes::from(frame.payload),
        };
        match sink {
            Sink::Unwatched => {}
            Sink::Live(chunks) => drop(chunks.try_send(chunk)),
            Sink::Streamed { chunks, owed_bytes } => {
                // An empty chunk costs no credit and would fill memory for nothing.
                if chunk.data.is_empty() {
                    return Ok(());
                }
                let length = chunk.data.len() as u64;
                if owed_bytes.fetch_add(length, Ordering::Relaxed) + length > INITIAL_CREDIT_BYTES {
                    return Err(Ended::Protocol("it sent more output than it had credit for".into()));
                }
                drop(chunks.send(chunk));
            }
        }
        Ok(())
    }

    fn exec_done(&mut self, frame: Frame) -> Result<Option<Reaction>, Ended> {
        match self.open.get(&frame.stream) {
            Some(Call::Exec { .. } | Call::AbandonedExec) => {}
            // Not answered: a hostile supervisor could make the queue grow.
            Some(Call::Request { .. }) | None => return Ok(None),
        }
        let report: ExecDone = parse(&frame)?;
        if let Some(Call::Exec { done, .. }) = self.open.remove(&frame.stream) {
            drop(done.send(report));
        }
        Ok(Some(Reaction::Forget(frame.stream)))
    }

    fn request_done(&mut self, frame: Frame) -> Result<(), Ended> {
        match self.open.remove(&frame.stream) {
            Some(Call::Request { done_kind, done }) if done_kind == frame.kind => drop(done.send(frame.payload)),
            Some(_) => {
                let message = format!("it answered call {} with frame kind {}", frame.stream, frame.kind);
                return Err(Ended::Protocol(message));
            }
            None => {}
        }
        Ok(())
    }
}

/// Reads a frame's JSON.
pub(super) fn parse<T: DeserializeOwned>(frame: &Frame) -> Result<T, Ended> {
    serde_json::from_slice(&frame.payload)
        .map_err(|error| Ended::Protocol(format!("frame kind {} can't be read: {error}", frame.kind)))
}
