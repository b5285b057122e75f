//! The live connection: one job that reads, one that writes, and the table of calls between them.
//!
//! Outgoing frames are in one queue so that a kill never overtakes the start it belongs to. The queue is
//! unbounded by count and bounded by bytes: requests wait for room, what is sent without asking
//! (kill, forget, credit) is a few bytes for each call, and data of the tunnel is bounded by its windows. The first end wins and fails every call at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sandbox_supervisor::frame::{self, Decoder, Frame};
use sandbox_supervisor::protocol::kind;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::calls::{Calls, Reaction};
use super::tunnel::{TunnelStream, Tunnels};
use crate::jobs::Jobs;
use crate::sandbox::SandboxError;
use crate::sandbox::egress::Egress;
use crate::task::id::Epoch;

/// Bytes of requests that may wait to be written.
const ROOM_BYTES: usize = 4 << 20;

/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;

/// Garbage that a connection may carry; one cut frame of the largest size is far below it.
const MAX_SKIPPED_BYTES: u64 = 4 << 20;

/// Why a connection is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The other end is gone, or does not answer.
    Lost(String),
    /// It broke the protocol.
    Protocol(String),
    /// We left it.
    Left,
    /// We destroyed it.
    Destroyed,
}

impl Ended {
    pub(super) fn error(&self) -> SandboxError {
        match self {
            Self::Lost(message) => SandboxError::Lost {
                message: message.clone(),
            },
            Self::Protocol(message) => SandboxError::Protocol {
                message: message.clone(),
            },
            Self::Left => SandboxError::Lost {
                message: "this server has left it".into(),
            },
            Self::Destroyed => SandboxError::Lost {
                message: "it was destroyed".into(),
            },
        }
    }
}

/// Bytes on their way out, with the room that they take.
pub(super) struct Outgoing {
    bytes: Vec<u8>,
    _room: Option<OwnedSemaphorePermit>,
}

/// One connection to a supervisor.
pub(super) struct Connection {
    calls: Mutex<Calls>,
    tunnels: Mutex<Tunnels>,
    egress: Arc<Egress>,
    jobs: Jobs,
    queue: UnboundedSender<Outgoing>,
    room: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Connection {
    pub(super) fn new(epoch: Epoch, egress: Arc<Egress>, jobs: Jobs) -> (Arc<Self>, UnboundedReceiver<Outgoing>) {
        let (queue, outgoing) = unbounded_channel();
        let connection = Self {
            calls: Mutex::new(Calls::new(epoch)),
            tunnels: Mutex::default(),
            egress,
            jobs,
            queue,
            room: Arc::new(Semaphore::new(ROOM_BYTES)),
            stop: CancellationToken::new(),
        };
        (Arc::new(connection), outgoing)
    }

    pub(super) fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    pub(super) fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tunnels(&self) -> MutexGuard<'_, Tunnels> {
        self.tunnels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn egress(&self) -> &Egress {
        &self.egress
    }

    /// Ends the connection for this reason unless it has ended, fails all calls, and returns the error of
    /// the reason that holds.
    pub(super) fn end(&self, reason: Ended) -> SandboxError {
        let error = self.calls().end(reason).error();
        self.stop.cancel();
        error
    }

    /// Waits until a request of this size may be queued.
    pub(super) async fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, SandboxError> {
        let count = u32::try_from(bytes.min(ROOM_BYTES)).unwrap_or(u32::MAX);
        tokio::select! {
            () = self.stop.cancelled() => Err(self.end(Ended::Lost("the connection is closed".into()))),
            room = Arc::clone(&self.room).acquire_many_owned(count) => {
                room.map_err(|_| self.end(Ended::Lost("the connection is closed".into())))
            }
        }
    }

    /// Queues a request.
    pub(super) fn send(&self, kind: u8, stream: u32, payload: &[u8], room: OwnedSemaphorePermit) {
        let mut bytes = Vec::with_capacity(frame::HEADER_BYTES + payload.len());
        frame::encode(kind, stream, 0, payload, &mut bytes);
        self.queue(bytes, Some(room));
    }

    /// Queues a frame without payload.
    pub(super) fn signal(&self, kind: u8, stream: u32, sequence: u64) {
        let mut bytes = Vec::with_capacity(frame::HEADER_BYTES);
        frame::encode(kind, stream, sequence, &[], &mut bytes);
        self.queue(bytes, None);
    }

    /// Queues data that has credit, and so is bounded.
    pub(super) fn send_data(&self, kind: u8, stream: u32, payload: &[u8]) {
        let mut bytes = Vec::with_capacity(frame::HEADER_BYTES + payload.len());
        frame::encode(kind, stream, 0, payload, &mut bytes);
        self.queue(bytes, None);
    }

    fn queue(&self, bytes: Vec<u8>, room: Option<OwnedSemaphorePermit>) {
        // An error means that the writer has ended, and then so has the connection.
        let _ended = self.queue.send(Outgoing { bytes, _room: room });
    }

    /// Writes what is queued, until the connection ends.
    pub(super) async fn write_frames(
        self: Arc<Self>,
        mut writer: impl AsyncWrite + Unpin,
        mut queue: UnboundedReceiver<Outgoing>,
    ) {
        let write = async {
            while let Some(outgoing) = queue.recv().await {
                writer.write_all(&outgoing.bytes).await?;
                if queue.is_empty() {
                    writer.flush().await?;
                }
            }
            Ok::<(), std::io::Error>(())
        };
        let result = tokio::select! {
            () = self.stop.cancelled() => return,
            result = write => result,
        };
        if let Err(error) = result {
            self.end(Ended::Lost(format!("writing to it failed: {error}")));
        }
    }

    /// Reads frames until the connection ends; returns true when the other end broke the protocol.
    pub(super) async fn read_frames(
        self: &Arc<Self>,
        mut reader: impl AsyncRead + Unpin,
        mut decoder: Decoder,
    ) -> bool {
        let mut buffer = vec![0; READ_BYTES];
        let reason = loop {
            if let Err(reason) = self.take_frames(&mut decoder) {
                break reason;
            }
            let count = tokio::select! {
                () = self.stop.cancelled() => return false,
                count = reader.read(&mut buffer) => count,
            };
            match count {
                Ok(0) => break Ended::Lost("its stream ended".into()),
                Ok(count) => decoder.extend(buffer.get(..count).unwrap_or_default()),
                Err(error) => break Ended::Lost(format!("reading from it failed: {error}")),
            }
        };
        let broken = matches!(reason, Ended::Protocol(_));
        self.end(reason);
        broken
    }

    fn take_frames(self: &Arc<Self>, decoder: &mut Decoder) -> Result<(), Ended> {
        while let Some(frame) = decoder.next_frame() {
            match frame.kind {
                kind::TUNNEL_OPEN | kind::TUNNEL_DATA_UP | kind::TUNNEL_CREDIT => self.take_tunnel_frame(&frame)?,
                _ => {
                    if let Some(Reaction::Forget(stream)) = self.calls().take(frame)? {
                        self.signal(kind::FORGET, stream, 0);
                    }
                }
            }
        }
        if decoder.skipped_bytes() > MAX_SKIPPED_BYTES || decoder.is_hopeless() {
            return Err(Ended::Protocol("it sends garbage".into()));
        }
        Ok(())
    }

    /// A stream that begins gets a job of its own, which ends with the connection.
    fn take_tunnel_frame(self: &Arc<Self>, frame: &Frame) -> Result<(), Ended> {
        let Some(begun) = self.tunnels().take(frame)? else {
            return Ok(());
        };
        let (connection, stream) = (Arc::clone(self), TunnelStream::new(Arc::clone(self), begun));
        self.jobs.spawn("sandbox tunnel", async move {
            tokio::select! {
                () = connection.stop.cancelled() => {}
                () = connection.egress.serve(stream) => {}
            }
        });
        Ok(())
    }
}
