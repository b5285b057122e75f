//! The tunnel: a listener on loopback whose connections are streams to the server's proxy.
//!
//! Nothing is judged or read here: every byte goes to the server, which decides what may be reached. A
//! connection is bounded by its window in both directions, and connections by their number; more wait in the
//! listener's queue. While the tunnel is shut there is no socket, and commands find no proxy in their environment.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsRawFd as _;

use crate::frame::Frame;
use crate::protocol::{FIRST_TUNNEL_STREAM, MAX_TUNNEL_STREAMS, TunnelOutcome, kind};
use crate::supervisor::outgoing::Outgoing;
use crate::supervisor::tunnel::connection::{Connection, Fate};

mod connection;

/// What commands must not ask the proxy for: each other's servers.
const NO_PROXY: &str = "localhost,127.0.0.1,::1";

/// The tunnel, shut or open.
#[derive(Default)]
pub(super) struct Tunnel {
    entrance: Option<Entrance>,
}

struct Entrance {
    listener: TcpListener,
    port: u16,
    next_stream: u32,
    connections: BTreeMap<u32, Connection>,
}

impl Tunnel {
    /// Opens it, unless it is open, and says where.
    pub(super) fn open(&mut self) -> TunnelOutcome {
        if self.entrance.is_none() {
            let entrance = Entrance::new().map_err(|error| format!("listen on loopback: {error}"))?;
            self.entrance = Some(entrance);
        }
        self.entrance
            .as_ref()
            .map(|entrance| entrance.port)
            .ok_or_else(|| "the listener is gone".to_owned())
    }

    /// Returns what tells commands of it.
    pub(super) fn environment(&self) -> impl Iterator<Item = (String, String)> {
        let proxy = self
            .entrance
            .as_ref()
            .map(|entrance| format!("http://127.0.0.1:{}", entrance.port));
        proxy.into_iter().flat_map(|proxy| {
            let proxies = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"].map(|name| (name, proxy.clone()));
            let all = proxies.into_iter().chain([("NO_PROXY", NO_PROXY.to_owned())]);
            all.flat_map(|(name, value)| [(name.to_owned(), value.clone()), (name.to_ascii_lowercase(), value)])
                .collect::<Vec<_>>()
        })
    }

    /// Adds what is to be waited for; nothing is read while the way to the server is full.
    pub(super) fn add_entries(&self, entries: &mut Vec<libc::pollfd>, outgoing: &Outgoing) {
        let Some(entrance) = &self.entrance else { return };
        let mut add = |fd, events: libc::c_short| {
            // An entry without events would still be told of errors, again and again.
            if events != 0 {
                entries.push(libc::pollfd { fd, events, revents: 0 });
            }
        };
        let may_read = !outgoing.is_full();
        if may_read && entrance.has_room() {
            add(entrance.listener.as_raw_fd(), libc::POLLIN);
        }
        for connection in entrance.connections.values() {
            let reads = if may_read && connection.wants_to_read() {
                libc::POLLIN
            } else {
                0
            };
            let writes = if connection.wants_to_write() { libc::POLLOUT } else { 0 };
            add(connection.descriptor(), reads | writes);
        }
    }

    /// Moves what can be moved now.
    pub(super) fn advance(&mut self, buffer: &mut [u8], outgoing: &mut Outgoing) {
        let Some(entrance) = &mut self.entrance else { return };
        entrance.accept(outgoing);
        entrance
            .connections
            .retain(|stream, connection| connection.advance(*stream, buffer, outgoing) == Fate::Lives);
    }

    /// Takes tunnel data of the server.
    pub(super) fn take(&mut self, frame: Frame, outgoing: &mut Outgoing) {
        let Some(entrance) = &mut self.entrance else { return };
        if let Some(connection) = entrance.connections.get_mut(&frame.stream)
            && connection.take(&frame, outgoing) == Fate::Over
        {
            entrance.connections.remove(&frame.stream);
        }
    }

    /// Lets a connection send so many bytes more.
    pub(super) fn add_credit(&mut self, stream: u32, bytes: u64) {
        let connections = self.entrance.as_mut().map(|entrance| &mut entrance.connections);
        if let Some(connection) = connections.and_then(|connections| connections.get_mut(&stream)) {
            connection.add_credit(bytes);
        }
    }
}

impl Entrance {
    fn new() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            port: listener.local_addr()?.port(),
            listener,
            next_stream: FIRST_TUNNEL_STREAM,
            connections: BTreeMap::new(),
        })
    }

    /// The last number is never given, so that none is given twice.
    fn has_room(&self) -> bool {
        self.connections.len() < MAX_TUNNEL_STREAMS && self.next_stream < u32::MAX
    }

    fn accept(&mut self, outgoing: &mut Outgoing) {
        while self.has_room() && !outgoing.is_full() {
            // What fails here is the connection's own fault, or there is none.
            let Ok((socket, _)) = self.listener.accept() else {
                return;
            };
            let Ok(connection) = Connection::new(socket) else {
                continue;
            };
            outgoing.push(kind::TUNNEL_OPEN, self.next_stream, 0, &[]);
            self.connections.insert(self.next_stream, connection);
            self.next_stream += 1;
        }
    }
}

#[cfg(test)]
mod tests;
