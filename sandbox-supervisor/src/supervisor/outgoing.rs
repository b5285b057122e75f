//! Frames on their way to the server.
//!
//! What must arrive is always taken; what is only shown live is dropped while the server is slow or when there
//! is more than anyone can look at, so that it costs a bounded amount of memory and work, and never a command
//! its output: the report has head and tail, and the spill has the whole.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Instant;

use crate::frame;
use crate::supervisor::system;

/// Bytes under way beyond which live output is dropped.
const LIVE_BOUND: usize = 256 * 1024;

/// Bytes under way beyond which nothing more is read from anyone.
const FULL_BOUND: usize = 8 << 20;

/// Live bytes that may come at once after a pause, and in each second of an endless output.
const LIVE_BURST_BYTES: u64 = 256 * 1024;
const LIVE_BYTES_PER_SECOND: u64 = 1 << 20;

/// The queue towards the server.
pub(super) struct Outgoing {
    live: LiveAllowance,
    output: OwnedFd,
    buffer: Vec<u8>,
    sent: usize,
}

impl Outgoing {
    pub(super) fn new(output: OwnedFd) -> Self {
        Self {
            live: LiveAllowance::full(Instant::now()),
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
        let is_taken = self.buffer.len() - self.sent <= LIVE_BOUND;
        if is_taken && self.live.take(payload.len() as u64, Instant::now()) {
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

/// What of live output may still be sent, for all commands of the sandbox together.
struct LiveAllowance {
    bytes: u64,
    at: Instant,
}

impl LiveAllowance {
    fn full(now: Instant) -> Self {
        Self {
            bytes: LIVE_BURST_BYTES,
            at: now,
        }
    }

    /// Takes so many bytes, or none when there are fewer.
    fn take(&mut self, bytes: u64, now: Instant) -> bool {
        let elapsed_ms = u64::try_from(now.saturating_duration_since(self.at).as_millis()).unwrap_or(u64::MAX);
        let more = elapsed_ms.saturating_mul(LIVE_BYTES_PER_SECOND / 1000);
        if more > 0 {
            self.bytes = self.bytes.saturating_add(more).min(LIVE_BURST_BYTES);
            self.at = now;
        }
        let is_enough = bytes <= self.bytes;
        if is_enough {
            self.bytes -= bytes;
        }
        is_enough
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_little_live_output_is_all_taken_and_a_flood_is_sampled() {
        let begun = Instant::now();
        let mut allowance = LiveAllowance::full(begun);
        let second = |number: u64| begun + Duration::from_secs(number);
        // Ten lines a second, for ever.
        assert!((0..1000).all(|tenth| allowance.take(100, begun + Duration::from_millis(tenth * 100))));
        let mut flood = |at: Instant| (0..10_000).filter(|_| allowance.take(64 * 1024, at)).count();
        assert_eq!(flood(second(200)), 4, "a burst after a pause");
        assert_eq!(flood(second(200)), 0);
        assert_eq!(flood(second(201)), 4, "no more is saved up than a burst");
        let in_a_second: usize = (0..1000).map(|ms| flood(second(202) + Duration::from_millis(ms))).sum();
        assert!((14..=20).contains(&in_a_second), "{in_a_second}");
    }
}
