//! One connection of a command to the tunnel.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd as _, AsRawFd as _, RawFd};

use crate::frame::Frame;
use crate::protocol::{TUNNEL_END, TUNNEL_RESET, TUNNEL_WINDOW_BYTES, kind};
use crate::supervisor::outgoing::Outgoing;
use crate::supervisor::system;

/// Reads of one connection before the others have their turn.
const ROUNDS: usize = 2;

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It goes on.
    Lives,
    /// It is over, and the server knows.
    Over,
}

/// A command's connection.
pub(super) struct Connection {
    socket: TcpStream,
    /// Bytes that may still be sent to the server.
    credit: u64,
    /// False once the command has sent its last byte.
    sends: bool,
    /// Bytes of the server that the command has not taken.
    waiting: VecDeque<u8>,
    /// Bytes that the command has taken and the server does not know of.
    taken: u64,
    /// False once the server has sent its last byte.
    receives: bool,
    /// False once the command has been told so.
    writes: bool,
}

impl Connection {
    pub(super) fn new(socket: TcpStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        // Small answers are not to wait for each other.
        socket.set_nodelay(true)?;
        Ok(Self {
            socket,
            credit: TUNNEL_WINDOW_BYTES,
            sends: true,
            waiting: VecDeque::new(),
            taken: 0,
            receives: true,
            writes: true,
        })
    }

    pub(super) fn descriptor(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    pub(super) fn wants_to_read(&self) -> bool {
        self.sends && self.credit > 0
    }

    pub(super) fn wants_to_write(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(super) fn add_credit(&mut self, bytes: u64) {
        self.credit = self.credit.saturating_add(bytes).min(TUNNEL_WINDOW_BYTES);
    }

    /// Takes data, the end or the reset of the server.
    pub(super) fn take(&mut self, frame: &Frame, outgoing: &mut Outgoing) -> Fate {
        if frame.payload.is_empty() {
            if frame.sequence == TUNNEL_END {
                self.receives = false;
                return Fate::Lives;
            }
            if !self.receives {
                // The command gets what waits for it, and then the end.
                self.sends = false;
                return Fate::Lives;
            }
            system::abort_connection(self.socket.as_fd());
            return Fate::Over;
        }
        let under_way = self.waiting.len() as u64 + self.taken + frame.payload.len() as u64;
        if !self.receives || under_way > TUNNEL_WINDOW_BYTES {
            return self.reset(frame.stream, outgoing);
        }
        self.waiting.extend(&frame.payload);
        Fate::Lives
    }

    /// Moves what can be moved now, in both directions.
    pub(super) fn advance(&mut self, stream: u32, buffer: &mut [u8], outgoing: &mut Outgoing) -> Fate {
        let moved = self.read(stream, buffer, outgoing).and_then(|()| self.write());
        if moved.is_err() {
            return self.reset(stream, outgoing);
        }
        // Half a window at a time: the server never waits for less, and small reads cost no frame each.
        if self.taken >= TUNNEL_WINDOW_BYTES / 2 {
            outgoing.push(kind::TUNNEL_CREDIT, stream, self.taken, &[]);
            self.taken = 0;
        }
        if self.writes && !self.receives && self.waiting.is_empty() {
            // Not by closing: inits of running commands hold copies of the descriptor.
            let _ = self.socket.shutdown(Shutdown::Write);
            self.writes = false;
        }
        if self.sends || self.writes {
            Fate::Lives
        } else {
            Fate::Over
        }
    }

    fn read(&mut self, stream: u32, buffer: &mut [u8], outgoing: &mut Outgoing) -> io::Result<()> {
        for _ in 0..ROUNDS {
            if !self.wants_to_read() || outgoing.is_full() {
                return Ok(());
            }
            let room = usize::try_from(self.credit).unwrap_or(usize::MAX).min(buffer.len());
            match self.socket.read(buffer.get_mut(..room).unwrap_or_default()) {
                Ok(0) => {
                    self.sends = false;
                    outgoing.push(kind::TUNNEL_DATA_UP, stream, TUNNEL_END, &[]);
                }
                Ok(count) => {
                    self.credit -= count as u64;
                    let bytes = buffer.get(..count).unwrap_or_default();
                    outgoing.push(kind::TUNNEL_DATA_UP, stream, 0, bytes);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        while !self.waiting.is_empty() {
            match self.socket.write(self.waiting.as_slices().0) {
                Ok(count) => {
                    self.waiting.drain(..count);
                    self.taken += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn reset(&self, stream: u32, outgoing: &mut Outgoing) -> Fate {
        outgoing.push(kind::TUNNEL_DATA_UP, stream, TUNNEL_RESET, &[]);
        system::abort_connection(self.socket.as_fd());
        Fate::Over
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // A tunnel that is shut must not leave connections open in the inits of running commands.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}
