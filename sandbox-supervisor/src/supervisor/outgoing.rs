//! Frames on their way to the server.
//!
//! What must arrive is always taken; what is only shown live is dropped while the server is slow, so
//! that a slow server costs a bounded amount of memory and never a command its output.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use crate::frame;
use crate::supervisor::system;

/// Bytes under way beyond which live output is dropped.
const LIVE_BOUND: usize = 256 * 1024;

/// Bytes under way beyond which nothing more is read from anyone.
const FULL_BOUND: usize = 8 << 20;

/// The queue towards the server.
pub(super) struct Outgoing {
    output: OwnedFd,
    buffer: Vec<u8>,
    sent: usize,
}

impl Outgoing {
    pub(super) fn new(output: OwnedFd) -> Self {
        Self {
            output,
            buffer: Vec::new(),
            sent: 0,
        }
    }

    pub(super) fn descriptor(&self) -> &OwnedFd {
        &self.output
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sent == self.buffer.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.buffer.len() - self.sent > FULL_BOUND
    }

    /// Queues a frame that must arrive.
    pub(super) fn push(&mut self, kind: u8, stream: u32, sequence: u64, payload: &[u8]) {
        frame::encode(kind, stream, sequence, payload, &mut self.buffer);
    }

    /// Queues a control message.
    pub(super) fn push_message(&mut self, kind: u8, stream: u32, message: &impl serde::Serialize) {
        let mut payload = serde_json::to_vec(message).unwrap_or_default();
        if payload.len() > frame::MAX_PAYLOAD_BYTES {
            payload.clear();
        }
        self.push(kind, stream, 0, &payload);
    }

    /// Queues a frame that may be dropped.
    pub(super) fn push_live(&mut self, kind: u8, stream: u32, offset: u64, payload: &[u8]) {
        if self.buffer.len() - self.sent <= LIVE_BOUND {
            self.push(kind, stream, offset, payload);
        }
    }

    /// Writes as much as the server takes now. An error means that the server is gone.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while let Some(rest) = self.buffer.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match system::write(self.output.as_fd(), rest) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.is_empty() {
            self.buffer.clear();
            self.buffer.shrink_to(LIVE_BOUND);
            self.sent = 0;
        } else if self.sent > LIVE_BOUND {
            self.buffer.drain(..self.sent);
            self.sent = 0;
        }
        Ok(())
    }

    /// Throws away what a server that is gone did not take.
    pub(super) fn clear(&mut self) {
        self.buffer.clear();
        self.sent = 0;
    }
}
