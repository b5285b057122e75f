//! A supervisor that says what a test tells it to, and the client over it.

use std::sync::atomic::{AtomicUsize, Ordering};

use sandbox_supervisor::frame::{self, Decoder, Frame};
use sandbox_supervisor::protocol::{Attach, ExecDone, Hello, VERSION};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf};

use super::super::*;
use crate::sandbox::OutputMode;
use crate::sandbox::egress::EgressConfig;

#[derive(Default)]
pub(super) struct CountingLifecycle {
    pub(super) destroyed: AtomicUsize,
    pub(super) detached: AtomicUsize,
}

#[async_trait]
impl Lifecycle for CountingLifecycle {
    async fn detach(&self) {
        self.detached.fetch_add(1, Ordering::SeqCst);
    }

    async fn destroy(&self) -> Result<(), SandboxError> {
        self.destroyed.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

/// The supervisor's end of the stream.
pub(super) struct Peer {
    pub(super) stream: DuplexStream,
    decoder: Decoder,
}

impl Peer {
    /// Returns the next frame, `None` at the end of the stream.
    pub(super) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.next_frame() {
                return Some(frame);
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer).await.unwrap() {
                0 => return None,
                count => self.decoder.extend(&buffer[..count]),
            }
        }
    }

    pub(super) async fn expect<T: DeserializeOwned>(&mut self, kind: u8) -> (u32, T) {
        let frame = self.next().await.unwrap();
        assert_eq!(frame.kind, kind);
        (frame.stream, serde_json::from_slice(&frame.payload).unwrap())
    }

    pub(super) async fn expect_signal(&mut self, kind: u8, stream: u32, sequence: u64) {
        let payload = Vec::new();
        assert_eq!(
            self.next().await.unwrap(),
            Frame {
                kind,
                stream,
                sequence,
                payload
            }
        );
    }

    pub(super) async fn send(&mut self, kind: u8, stream: u32, message: &impl Serialize) {
        self.send_bytes(kind, stream, 0, &serde_json::to_vec(message).unwrap())
            .await;
    }

    pub(super) async fn send_bytes(&mut self, kind: u8, stream: u32, sequence: u64, payload: &[u8]) {
        let mut bytes = Vec::new();
        frame::encode(kind, stream, sequence, payload, &mut bytes);
        self.stream.write_all(&bytes).await.unwrap();
    }

    pub(super) async fn send_hello(&mut self, epoch: u64, execs: Vec<u32>) {
        let layers = vec!["seccomp".into()];
        self.send(
            kind::HELLO,
            0,
            &Hello {
                version: VERSION,
                epoch,
                execs,
                layers,
            },
        )
        .await;
    }
}

pub(super) fn streams() -> (Peer, ReadHalf<DuplexStream>, WriteHalf<DuplexStream>) {
    let (ours, theirs) = tokio::io::duplex(64 << 10);
    let (reader, writer) = tokio::io::split(ours);
    let decoder = Decoder::default();
    (
        Peer {
            stream: theirs,
            decoder,
        },
        reader,
        writer,
    )
}

pub(super) fn session(entry: Entry) -> Session {
    Session {
        id: SandboxId::random(),
        epoch: Epoch(3),
        deadline: Duration::from_secs(3600),
        environment: vec![("A".into(), "b".into())],
        egress: EgressPolicy::new(EgressConfig {
            private_ranges: vec!["127.0.0.1/32".parse().unwrap()],
            ..EgressConfig::default()
        }),
        entry,
    }
}

pub(super) async fn entered() -> (Arc<SupervisedSandbox>, Peer, Arc<CountingLifecycle>) {
    let (mut peer, reader, writer) = streams();
    let lifecycle = Arc::new(CountingLifecycle::default());
    let jobs = Jobs::new();
    let ((), sandbox) = tokio::join!(
        async {
            peer.send_hello(0, Vec::new()).await;
            let (_, attach) = peer.expect::<Attach>(kind::ATTACH).await;
            let expected = Attach {
                version: VERSION,
                epoch: 3,
                deadline_seconds: 3600,
                environment: vec![("A".into(), "b".into())],
            };
            assert_eq!(attach, expected);
        },
        SupervisedSandbox::enter(
            &jobs,
            session(Entry::Fresh),
            reader,
            writer,
            Arc::clone(&lifecycle) as _
        )
    );
    (sandbox.unwrap(), peer, lifecycle)
}

pub(super) fn shell(output: OutputMode) -> ExecSpec {
    ExecSpec {
        output,
        ..ExecSpec::shell("true", Duration::from_secs(5))
    }
}

pub(super) fn done() -> ExecDone {
    ExecDone {
        exit_code: Some(0),
        ..ExecDone::default()
    }
}
