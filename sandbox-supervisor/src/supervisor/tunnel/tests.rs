//! The tunnel against real sockets, with the server's side played by the test.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use super::*;
use crate::frame::Decoder;
use crate::protocol::{TUNNEL_END, TUNNEL_RESET, TUNNEL_WINDOW_BYTES};
use crate::supervisor::system;

const WINDOW: usize = TUNNEL_WINDOW_BYTES as usize;

struct Fixture {
    tunnel: Tunnel,
    outgoing: Outgoing,
    server: UnixStream,
    decoder: Decoder,
    port: u16,
}

impl Fixture {
    fn new() -> Self {
        let (ours, server) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        server.set_nonblocking(true).unwrap();
        let mut tunnel = Tunnel::default();
        let port = tunnel.open().unwrap();
        Self {
            tunnel,
            outgoing: Outgoing::new(ours.into()),
            server,
            decoder: Decoder::default(),
            port,
        }
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).unwrap()
    }

    /// Turns the loop once it has something to do, and returns what went to the server.
    fn turn(&mut self) -> Vec<Frame> {
        let mut entries = Vec::new();
        self.tunnel.add_entries(&mut entries, &self.outgoing);
        system::poll(&mut entries, 10_000).unwrap();
        self.turn_now()
    }

    fn turn_now(&mut self) -> Vec<Frame> {
        self.tunnel.advance(&mut vec![0; WINDOW], &mut self.outgoing);
        let mut frames = Vec::new();
        let mut buffer = vec![0; 1 << 20];
        loop {
            self.outgoing.flush().unwrap();
            let count = self.server.read(&mut buffer).unwrap_or(0);
            self.decoder.extend(&buffer[..count]);
            frames.extend(std::iter::from_fn(|| self.decoder.next_frame()));
            if count == 0 && self.outgoing.is_empty() {
                return frames;
            }
        }
    }

    /// Turns until a frame of this kind came.
    fn until(&mut self, kind: u8) -> Frame {
        loop {
            if let Some(frame) = self.turn().into_iter().find(|frame| frame.kind == kind) {
                return frame;
            }
        }
    }

    fn send(&mut self, stream: u32, sequence: u64, payload: &[u8]) {
        let frame = frame(kind::TUNNEL_DATA_DOWN, stream, sequence, payload);
        self.tunnel.take(frame, &mut self.outgoing);
    }
}

fn frame(kind: u8, stream: u32, sequence: u64, payload: &[u8]) -> Frame {
    Frame {
        kind,
        stream,
        sequence,
        payload: payload.to_vec(),
    }
}

const FIRST: u32 = FIRST_TUNNEL_STREAM;

#[test]
fn a_shut_tunnel_is_nothing() {
    let tunnel = Tunnel::default();
    assert_eq!(tunnel.environment().count(), 0);
    let fixture = Fixture::new();
    let mut entries = Vec::new();
    tunnel.add_entries(&mut entries, &fixture.outgoing);
    assert_eq!(entries.len(), 0);
}

#[test]
fn commands_are_told_of_an_open_one_in_both_cases() {
    let fixture = Fixture::new();
    let proxy = format!("http://127.0.0.1:{}", fixture.port);
    let expected: Vec<_> = [
        ("HTTP_PROXY", proxy.as_str()),
        ("http_proxy", &proxy),
        ("HTTPS_PROXY", &proxy),
        ("https_proxy", &proxy),
        ("ALL_PROXY", &proxy),
        ("all_proxy", &proxy),
        ("NO_PROXY", NO_PROXY),
        ("no_proxy", NO_PROXY),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    assert_eq!(fixture.tunnel.environment().collect::<Vec<_>>(), expected);
}

#[test]
fn bytes_and_both_ends_cross() {
    let mut fixture = Fixture::new();
    let mut client = fixture.connect();
    assert_eq!(
        fixture.until(kind::TUNNEL_OPEN),
        frame(kind::TUNNEL_OPEN, FIRST, 0, b"")
    );
    client.write_all(b"question").unwrap();
    assert_eq!(fixture.turn(), [frame(kind::TUNNEL_DATA_UP, FIRST, 0, b"question")]);
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(fixture.turn(), [frame(kind::TUNNEL_DATA_UP, FIRST, TUNNEL_END, b"")]);
    fixture.send(FIRST, 0, b"answer");
    fixture.send(FIRST, TUNNEL_END, b"");
    assert_eq!(fixture.turn_now(), []);
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "answer");
    assert!(fixture.tunnel.entrance.as_ref().unwrap().connections.is_empty());
}

#[test]
fn no_more_is_read_than_the_server_wants() {
    let mut fixture = Fixture::new();
    let client = fixture.connect();
    let stream = fixture.until(kind::TUNNEL_OPEN).stream;
    client.set_nonblocking(true).unwrap();
    let mut sent = 0;
    let mut got = 0;
    // Until the socket is full and nothing more is taken from it.
    loop {
        let written = (&client).write(&[7; 65_536]).unwrap_or(0);
        sent += written;
        let frames = fixture.turn_now();
        got += frames.iter().map(|frame| frame.payload.len()).sum::<usize>();
        if written == 0 && frames.is_empty() {
            break;
        }
    }
    assert!(sent > WINDOW);
    assert_eq!(got, WINDOW);
    fixture.tunnel.add_credit(stream, 10);
    let frames = fixture.turn();
    assert_eq!(frames, [frame(kind::TUNNEL_DATA_UP, stream, 0, &[7; 10])]);
    // More credit than a window is no more than a window.
    fixture.tunnel.add_credit(stream, u64::MAX);
    let more: usize = fixture.turn().iter().map(|frame| frame.payload.len()).sum();
    assert_eq!(more, WINDOW);
}

#[test]
fn the_server_gets_credit_as_the_command_reads_and_no_more() {
    let mut fixture = Fixture::new();
    let mut client = fixture.connect();
    let stream = fixture.until(kind::TUNNEL_OPEN).stream;
    fixture.send(stream, 0, &vec![1; WINDOW / 2 - 1]);
    assert_eq!(fixture.turn_now(), []);
    fixture.send(stream, 0, &vec![1; WINDOW / 2 + 1]);
    let credit = fixture.until(kind::TUNNEL_CREDIT);
    assert_eq!((credit.stream, credit.sequence), (stream, WINDOW as u64));
    client.read_exact(&mut vec![0; WINDOW]).unwrap();
    // One byte over the window breaks the connection.
    fixture.send(stream, 0, &vec![1; WINDOW + 1]);
    let frames = fixture.turn_now();
    assert_eq!(frames, [frame(kind::TUNNEL_DATA_UP, stream, TUNNEL_RESET, b"")]);
    assert!(client.read(&mut [0; 8]).is_err());
}

#[test]
fn a_reset_reaches_the_other_side() {
    let mut fixture = Fixture::new();
    let mut client = fixture.connect();
    let stream = fixture.until(kind::TUNNEL_OPEN).stream;
    fixture.send(stream, TUNNEL_RESET, b"");
    let error = client.read(&mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(fixture.turn_now(), []);
    // What comes for a stream that is over, or never was, is dropped.
    fixture.send(stream, 0, b"late");
    fixture.send(7, 0, b"nobody's");
    fixture.tunnel.add_credit(stream, 1);
    assert_eq!(fixture.turn_now(), []);
}

#[test]
fn a_reset_behind_the_end_takes_nothing_away() {
    let mut fixture = Fixture::new();
    let mut client = fixture.connect();
    let stream = fixture.until(kind::TUNNEL_OPEN).stream;
    fixture.send(stream, 0, &vec![1; WINDOW]);
    fixture.send(stream, TUNNEL_END, b"");
    fixture.send(stream, TUNNEL_RESET, b"");
    client.write_all(b"nobody wants it").unwrap();
    fixture.turn();
    let mut got = Vec::new();
    client.read_to_end(&mut got).unwrap();
    assert_eq!(got.len(), WINDOW);
    assert!(fixture.tunnel.entrance.as_ref().unwrap().connections.is_empty());
}

#[test]
fn connections_beyond_the_most_wait() {
    let mut fixture = Fixture::new();
    let clients: Vec<_> = (0..MAX_TUNNEL_STREAMS + 3).map(|_| fixture.connect()).collect();
    let opened = |frames: &[Frame]| frames.iter().filter(|frame| frame.kind == kind::TUNNEL_OPEN).count();
    let frames = fixture.turn_now();
    assert_eq!(opened(&frames), MAX_TUNNEL_STREAMS);
    fixture.send(FIRST, TUNNEL_RESET, b"");
    let last = fixture.until(kind::TUNNEL_OPEN);
    assert_eq!(last.stream, FIRST + MAX_TUNNEL_STREAMS as u32);
    drop(clients);
}

#[test]
fn a_tunnel_that_is_shut_ends_its_connections() {
    let mut fixture = Fixture::new();
    let mut client = fixture.connect();
    fixture.until(kind::TUNNEL_OPEN);
    let port = fixture.port;
    fixture.tunnel = Tunnel::default();
    assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}
