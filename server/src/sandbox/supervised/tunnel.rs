//! Streams of the tunnel: what commands send to the proxy, as frames of the connection.
//!
//! Each stream is bounded by its window in both directions and streams by their number, and both are checked
//! here: a supervisor that sends more than it may has broken the protocol. What comes for a stream that is over
//! is dropped, because it may have been under way.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use sandbox_supervisor::frame::Frame;
use sandbox_supervisor::protocol::{
    FIRST_TUNNEL_STREAM, MAX_TUNNEL_STREAMS, TUNNEL_END, TUNNEL_RESET, TUNNEL_WINDOW_BYTES, kind,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::{Connection, Ended};

/// Most bytes of one frame.
const PIECE_BYTES: usize = 32 << 10;

/// The streams of a connection.
#[derive(Default)]
pub(super) struct Tunnels {
    is_open: bool,
    last_stream: u32,
    streams: HashMap<u32, Shared>,
}

type Shared = Arc<Mutex<State>>;

/// A stream that a command has begun.
pub(super) struct Begun {
    stream: u32,
    shared: Shared,
}

/// What is known of a stream on this side.
struct State {
    received: VecDeque<u8>,
    /// Bytes that were taken by the proxy and for which the supervisor has no new credit.
    ungranted: u64,
    /// Bytes that may still be sent.
    credit: u64,
    /// The command has sent its last byte.
    up_ended: bool,
    /// The proxy has sent its last byte.
    down_ended: bool,
    /// Broken by one side.
    reset: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl State {
    fn new() -> Self {
        Self {
            received: VecDeque::new(),
            ungranted: 0,
            credit: TUNNEL_WINDOW_BYTES,
            up_ended: false,
            down_ended: false,
            reset: false,
            reader: None,
            writer: None,
        }
    }

    fn is_over(&self) -> bool {
        self.reset || (self.up_ended && self.down_ended)
    }

    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }
}

impl Tunnels {
    /// Takes streams from now on.
    pub(super) fn open(&mut self) {
        self.is_open = true;
    }

    /// Obeys a frame of the tunnel; returns the stream that it began. An error ends the connection.
    pub(super) fn take(&mut self, frame: &Frame) -> Result<Option<Begun>, Ended> {
        match frame.kind {
            kind::TUNNEL_OPEN => self.begin(frame.stream).map(Some),
            kind::TUNNEL_DATA_UP => self.data(frame).map(|()| None),
            kind::TUNNEL_CREDIT => self.credit(frame).map(|()| None),
            _ => Ok(None),
        }
    }

    fn begin(&mut self, stream: u32) -> Result<Begun, Ended> {
        let fault = if !self.is_open {
            "it opened a connection to a proxy that it was not given"
        } else if stream < FIRST_TUNNEL_STREAM || stream <= self.last_stream {
            "it opened a connection under a number that is taken"
        } else if self.streams.len() >= MAX_TUNNEL_STREAMS {
            "it opened more connections than it may"
        } else {
            self.last_stream = stream;
            let shared = Shared::new(Mutex::new(State::new()));
            self.streams.insert(stream, Arc::clone(&shared));
            return Ok(Begun { stream, shared });
        };
        Err(Ended::Protocol(fault.into()))
    }

    fn data(&mut self, frame: &Frame) -> Result<(), Ended> {
        let Some(shared) = self.streams.get(&frame.stream) else {
            return Ok(());
        };
        let mut state = lock(shared);
        if frame.payload.is_empty() {
            if frame.sequence == TUNNEL_END {
                state.up_ended = true;
            } else {
                state.reset = true;
            }
        } else {
            let under_way = state.received.len() as u64 + state.ungranted + frame.payload.len() as u64;
            if state.up_ended || under_way > TUNNEL_WINDOW_BYTES {
                return Err(Ended::Protocol(
                    "it sent more to the proxy than it had credit for".into(),
                ));
            }
            state.received.extend(&frame.payload);
        }
        state.wake();
        let is_over = state.is_over();
        drop(state);
        if is_over {
            self.streams.remove(&frame.stream);
        }
        Ok(())
    }

    fn credit(&mut self, frame: &Frame) -> Result<(), Ended> {
        let Some(shared) = self.streams.get(&frame.stream) else {
            return Ok(());
        };
        let mut state = lock(shared);
        state.credit = state.credit.saturating_add(frame.sequence);
        if state.credit > TUNNEL_WINDOW_BYTES {
            return Err(Ended::Protocol(
                "it gave more credit for the proxy than there is".into(),
            ));
        }
        state.wake();
        Ok(())
    }

    /// Returns how many bytes are held for the proxy.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.streams.values().map(|shared| lock(shared).received.len()).sum()
    }

    fn forget(&mut self, stream: u32) {
        self.streams.remove(&stream);
    }
}

fn lock(shared: &Shared) -> MutexGuard<'_, State> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One connection of a command, as the proxy sees it. Dropped before both sides have ended, it breaks.
pub(super) struct TunnelStream {
    connection: Arc<Connection>,
    stream: u32,
    shared: Shared,
}

impl TunnelStream {
    pub(super) fn new(connection: Arc<Connection>, begun: Begun) -> Self {
        let Begun { stream, shared } = begun;
        Self {
            connection,
            stream,
            shared,
        }
    }
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "the command broke the connection")
}

impl AsyncRead for TunnelStream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = lock(&self.shared);
        if state.reset {
            return Poll::Ready(Err(broken()));
        }
        if state.received.is_empty() {
            if state.up_ended {
                return Poll::Ready(Ok(()));
            }
            state.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let front = state.received.as_slices().0;
        let count = front.len().min(buffer.remaining());
        buffer.put_slice(front.get(..count).unwrap_or_default());
        state.received.drain(..count);
        state.ungranted += count as u64;
        // Half a window at a time: the supervisor never waits for less.
        if state.ungranted >= TUNNEL_WINDOW_BYTES / 2 && !state.up_ended {
            self.connection.signal(kind::CREDIT, self.stream, state.ungranted);
            state.ungranted = 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TunnelStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = lock(&self.shared);
        if state.reset || state.down_ended {
            return Poll::Ready(Err(broken()));
        }
        if state.credit == 0 {
            state.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        let room = usize::try_from(state.credit).unwrap_or(usize::MAX).min(PIECE_BYTES);
        let piece = bytes.get(..room).unwrap_or(bytes);
        if !piece.is_empty() {
            state.credit -= piece.len() as u64;
            self.connection.send_data(kind::TUNNEL_DATA_DOWN, self.stream, piece);
        }
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let is_over = {
            let mut state = lock(&self.shared);
            if state.reset {
                return Poll::Ready(Err(broken()));
            }
            if !state.down_ended {
                state.down_ended = true;
                self.connection.signal(kind::TUNNEL_DATA_DOWN, self.stream, TUNNEL_END);
            }
            state.is_over()
        };
        if is_over {
            self.connection.tunnels().forget(self.stream);
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for TunnelStream {
    fn drop(&mut self) {
        if !lock(&self.shared).is_over() {
            self.connection
                .signal(kind::TUNNEL_DATA_DOWN, self.stream, TUNNEL_RESET);
        }
        self.connection.tunnels().forget(self.stream);
    }
}
