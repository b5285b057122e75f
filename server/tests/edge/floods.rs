//! Clients that break HTTP/2's rules on purpose, frame by frame. Beside each stands one that keeps them.

use std::time::Duration;

use backspace_sdk::{Client, v1};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{memory::resident_mib, principals};
use crate::event_log::PATIENCE;
use crate::server::TestServer;
use crate::site::Site;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The head of a gRPC call by a principal, without tables or Huffman codes.
fn head(path: &str, token: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    let mut literal = |prefix: &[u8], text: &str| {
        block.extend(prefix);
        block.push(text.len() as u8);
        block.extend(text.as_bytes());
    };
    literal(&[0x04], path);
    literal(&[0x01], "localhost");
    literal(&[0x0f, 0x10], "application/grpc");
    literal(&[0x0f, 0x08], &format!("Bearer {token}"));
    block
}

const INFO: &str = "/backspace.v1.AgentService/GetServerInfo";

/// A connection on which anything can be said.
struct Wire(TcpStream);

impl Wire {
    async fn open(server: &TestServer) -> Self {
        let mut stream = TcpStream::connect(server.authority()).await.unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
        Self(stream)
    }

    /// Sends pieces until the server has closed or all are sent; returns how many were sent.
    async fn flood(&mut self, pieces: usize, mut piece: impl FnMut(usize) -> Vec<u8>) -> usize {
        for index in 0..pieces {
            if self.0.write_all(&piece(index)).await.is_err() {
                return index;
            }
        }
        pieces
    }

    /// Reads what comes until the server closes; returns the kinds of frames.
    async fn until_closed(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut bytes)).await;
        let _ = read.expect("the server should have closed the connection");
        let (mut kinds, mut rest) = (Vec::new(), bytes.as_slice());
        while let Some((header, payload)) = rest.split_at_checked(9) {
            let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
            kinds.push(header[3]);
            rest = payload.get(length..).unwrap_or_default();
        }
        kinds
    }

    /// Reads frames until one of a kind comes for a stream; returns the kinds of those before it.
    async fn until(&mut self, kind: u8, stream: u32) -> Vec<u8> {
        let found = async {
            let mut kinds = Vec::new();
            loop {
                let mut header = [0; 9];
                self.0.read_exact(&mut header).await.unwrap();
                let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
                let id = u32::from_be_bytes([header[5], header[6], header[7], header[8]]);
                self.0.read_exact(&mut vec![0; length]).await.unwrap();
                if (header[3], id) == (kind, stream) {
                    return kinds;
                }
                kinds.push(header[3]);
            }
        };
        tokio::time::timeout(PATIENCE, found)
            .await
            .expect("the frame should have come")
    }
}

async fn is_served(client: Client) {
    let asked = client.raw();
    let answer = tokio::time::timeout(Duration::from_secs(10), async move {
        let mut client = asked;
        client.get_server_info(v1::GetServerInfoRequest {}).await
    });
    answer.await.expect("others are served in time").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_opens_and_resets_streams_without_end_is_cut_off() {
    let site = Site::new();
    let server = site.serve().start().await;
    let reset = |index: usize| {
        let stream = index as u32 * 2 + 1;
        let mut both = frame(HEADERS, END_HEADERS, stream, &head(INFO, "nobody"));
        both.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        both
    };
    // A few are what a person does who changes their mind.
    let mut few = Wire::open(&server).await;
    assert_eq!(few.flood(5, reset).await, 5);
    let mut call = frame(HEADERS, END_HEADERS, 11, &head(INFO, "nobody"));
    call.extend(frame(DATA, END_STREAM, 11, &[0; 5]));
    few.0.write_all(&call).await.unwrap();
    few.until(DATA, 11).await;

    let before = resident_mib(&server);
    let mut many = Wire::open(&server).await;
    let all: Vec<u8> = (0..20_000).flat_map(reset).collect();
    let _ = many.0.write_all(&all).await;
    let kinds = many.until_closed().await;
    assert!(kinds.is_empty() || kinds.contains(&GOAWAY), "{kinds:?}");
    is_served(server.client()).await;
    assert!(
        resident_mib(&server) < before + 32,
        "{} after {before}",
        resident_mib(&server)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_continued_without_end_is_cut_off() {
    let site = Site::new();
    let server = site.serve().start().await;
    let mut fair = Wire::open(&server).await;
    let block = head(INFO, "nobody");
    let (one, other) = block.split_at(block.len() / 2);
    let mut call = frame(HEADERS, 0, 1, one);
    call.extend(frame(CONTINUATION, END_HEADERS, 1, other));
    call.extend(frame(DATA, END_STREAM, 1, &[0; 5]));
    fair.0.write_all(&call).await.unwrap();
    fair.until(DATA, 1).await;

    let before = resident_mib(&server);
    let mut endless = Wire::open(&server).await;
    endless
        .0
        .write_all(&frame(HEADERS, 0, 1, &head(INFO, "nobody")))
        .await
        .unwrap();
    // A field of 8 KiB that is never indexed, over and over: 80 MiB if it were all taken.
    let mut field = vec![0x10, 1, b'x', 0x7f];
    field.extend([0x81, 0x3f]);
    field.extend(vec![b'y'; 8192]);
    let sent = endless.flood(10_000, |_| frame(CONTINUATION, 0, 1, &field)).await;
    assert!(sent < 10_000, "all of it was taken");
    endless.until_closed().await;
    is_served(server.client()).await;
    assert!(
        resident_mib(&server) < before + 32,
        "{} after {before}",
        resident_mib(&server)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_messages_that_are_announced_and_never_come_cost_next_to_nothing() {
    let site = Site::new();
    let repository = site.red_repository();
    // Each of them may make 600 calls a minute.
    let loud = ["ada", "bob"];
    let silent = ["cyd", "dan"];
    let tokens = principals::write(&site, &[&loud[..], &silent[..], &["eve"]].concat(), &repository);
    let launch = site.serve().flag("--tokens-file", tokens.to_str().unwrap());
    let server = launch.start().await;
    is_served(server.client_of("eve")).await;
    let before = resident_mib(&server);
    let mut held = Vec::new();
    // More than is taken (4 MiB), which is refused at once, and less (255 KiB), which is waited for: four connections of
    // each caller, 125 streams on each, so 1,000 that were refused and 1,000 that are silent, all at the same time.
    let [large, small] = [4_u32 << 20, 255 << 10];
    let loud = loud.map(|token| (token, large));
    let silent = silent.map(|token| (token, small));
    for (token, announced) in loud.into_iter().chain(silent) {
        for _ in 0..4 {
            let mut wire = Wire::open(&server).await;
            let mut all = Vec::new();
            for stream in (1..=249).step_by(2) {
                all.extend(frame(HEADERS, END_HEADERS, stream, &head(INFO, token)));
                let mut message = vec![0];
                message.extend(announced.to_be_bytes());
                all.extend(frame(DATA, 0, stream, &message));
            }
            // What is answered after all of it.
            all.extend(frame(PING, 0, 0, &[7; 8]));
            wire.0.write_all(&all).await.unwrap();
            if announced == large {
                wire.until(HEADERS, 249).await;
            } else {
                let answered = wire.until(PING, 0).await;
                assert!(
                    !answered.iter().any(|kind| [HEADERS, RST_STREAM, GOAWAY].contains(kind)),
                    "{answered:?}"
                );
            }
            held.push(wire);
        }
    }
    is_served(server.client_of("eve")).await;
    let after = resident_mib(&server);
    assert!(after < before + 64, "{after} MiB after {before}");
    drop(held);
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_ask_for_answers_which_nobody_reads_do_not_pile_up() {
    let site = Site::new();
    let server = site.serve().start().await;
    is_served(server.client()).await;
    let before = resident_mib(&server);
    for (kind, payload) in [(PING, vec![7; 8]), (SETTINGS, vec![0, 4, 0, 0, 0xff, 0xff])] {
        let mut wire = Wire::open(&server).await;
        let pieces = frame(kind, 0, 0, &payload).repeat(1000);
        let flood = async { wire.flood(2_000, |_| pieces.clone()).await };
        // The server stops reading when it can't answer, or closes; either is fine.
        let _ = tokio::time::timeout(Duration::from_secs(5), flood).await;
    }
    is_served(server.client()).await;
    let after = resident_mib(&server);
    assert!(after < before + 32, "{after} MiB after {before}");
}
