//! The client against a scripted peer over an in-memory stream.

use std::sync::atomic::Ordering;

use proptest::prelude::*;
use sandbox_supervisor::frame::{self, Decoder, Frame};
use sandbox_supervisor::protocol::{
    Attach, ExecDone, ExecRequest, FatalError, Hello, INITIAL_CREDIT_BYTES, Output, VERSION,
};
use serde::Serialize;
use tokio::io::AsyncWriteExt as _;

use self::peer::{CountingLifecycle, Peer, done, entered, session, shell, streams};
use super::*;
use crate::sandbox::egress::EgressConfig;
use crate::sandbox::{OutputMode, Spill};
use crate::task::event::OutputStream;

#[path = "tests/peer.rs"]
mod peer;
#[path = "tests/tunnel.rs"]
mod tunnel_tests;

#[tokio::test]
async fn a_report_joins_head_and_tail_around_what_is_left_out() {
    let (sandbox, mut peer, _) = entered().await;
    assert_eq!(sandbox.layers(), ["seccomp"]);
    let (report, ()) = tokio::join!(sandbox.exec(shell(OutputMode::Captured), None), async {
        let (stream, request) = peer.expect::<ExecRequest>(kind::EXEC).await;
        let expected = ExecRequest {
            argv: ["/bin/sh", "-c", "true"].map(String::from).to_vec(),
            folder: "/workspace".into(),
            environment: Vec::new(),
            timeout_ms: 5000,
            output: Output::Captured,
        };
        assert_eq!(request, expected);
        let done = ExecDone {
            exit_code: Some(7),
            duration_us: 1500,
            head: b"first".to_vec(),
            tail: b"last".to_vec(),
            omitted_bytes: 90,
            stdout_bytes: 59,
            stderr_bytes: 40,
            spill_path: Some("/spill/1".into()),
            spill_bytes: 80,
            ..ExecDone::default()
        };
        peer.send(kind::EXEC_DONE, stream, &done).await;
        peer.expect_signal(kind::FORGET, stream, 0).await;
    });
    let expected = ExecReport {
        exit_code: Some(7),
        signal: None,
        timed_out: false,
        out_of_memory: false,
        disk_exceeded: false,
        duration: Duration::from_micros(1500),
        output: b"first\n[... 90 bytes left out ...]\nlast".to_vec(),
        total_bytes: 99,
        spill: Some(Spill {
            path: "/spill/1".into(),
            bytes: 80,
            dropped_bytes: 19,
        }),
    };
    assert_eq!(report.unwrap(), expected);
}

#[tokio::test]
async fn a_dropped_call_kills_its_command_and_forgets_the_report() {
    let (sandbox, mut peer, _) = entered().await;
    let call = sandbox.exec(shell(OutputMode::Captured), None);
    let stream = tokio::select! {
        _ = call => panic!("nothing answered"),
        (stream, _) = peer.expect::<ExecRequest>(kind::EXEC) => stream,
    };
    peer.expect_signal(kind::KILL, stream, 0).await;
    peer.send(kind::EXEC_DONE, stream, &done()).await;
    peer.expect_signal(kind::FORGET, stream, 0).await;
}

#[tokio::test]
async fn the_end_of_the_stream_fails_every_call_at_once() {
    let (sandbox, mut peer, lifecycle) = entered().await;
    let request = FileRequest::Remove { path: "a".into() };
    let (exec, file, changes, ()) = tokio::join!(
        sandbox.exec(shell(OutputMode::Captured), None),
        sandbox.file(request),
        sandbox.changes(),
        async {
            for _ in 0..3 {
                peer.next().await.unwrap();
            }
            drop(peer);
        }
    );
    let lost = "the sandbox was lost: its stream ended";
    assert_eq!(exec.unwrap_err().to_string(), lost);
    assert_eq!(file.unwrap_err().to_string(), lost);
    assert_eq!(changes.unwrap_err().to_string(), lost);
    let later = sandbox.exec(shell(OutputMode::Captured), None).await;
    assert_eq!(later.unwrap_err().to_string(), lost);
    assert_eq!(lifecycle.destroyed.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_wrong_message_ends_the_sandbox() {
    let (sandbox, mut peer, lifecycle) = entered().await;
    let (report, ()) = tokio::join!(sandbox.exec(shell(OutputMode::Captured), None), async {
        let (stream, _) = peer.expect::<ExecRequest>(kind::EXEC).await;
        peer.send_bytes(kind::EXEC_DONE, stream, 0, b"{}").await;
        assert_eq!(peer.next().await, None);
    });
    assert!(matches!(report, Err(SandboxError::Protocol { .. })), "{report:?}");
    while lifecycle.destroyed.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn unknown_frames_are_dropped() {
    let (sandbox, mut peer, _) = entered().await;
    let (report, ()) = tokio::join!(sandbox.exec(shell(OutputMode::Captured), None), async {
        let (stream, _) = peer.expect::<ExecRequest>(kind::EXEC).await;
        peer.send_bytes(250, 9, 0, b"?").await;
        peer.send_bytes(kind::STDOUT, 77, 0, b"nobody's").await;
        peer.send_bytes(kind::EXEC_DONE, 77, 0, b"nobody's").await;
        peer.send_bytes(kind::FILE_DONE, 77, 0, b"nobody's").await;
        peer.stream.write_all(b"garbage").await.unwrap();
        peer.send(kind::EXEC_DONE, stream, &done()).await;
        peer.expect_signal(kind::FORGET, stream, 0).await;
    });
    assert_eq!(report.unwrap().exit_code, Some(0));
}

#[tokio::test]
async fn streamed_output_is_complete_and_gives_credit_when_it_was_taken() {
    let (sandbox, mut peer, _) = entered().await;
    let (chunks, mut received) = mpsc::channel(1);
    let (report, ()) = tokio::join!(sandbox.exec(shell(OutputMode::Streamed), Some(chunks)), async {
        let (stream, request) = peer.expect::<ExecRequest>(kind::EXEC).await;
        assert_eq!(request.output, Output::Streamed);
        for offset in 0..20_u8 {
            peer.send_bytes(kind::STDOUT, stream, offset.into(), &[offset]).await;
        }
        peer.send(kind::EXEC_DONE, stream, &done()).await;
        for offset in 0..20_u8 {
            let expected = OutputChunk {
                stream: OutputStream::Stdout,
                offset: offset.into(),
                data: Bytes::copy_from_slice(&[offset]),
            };
            assert_eq!(received.recv().await.unwrap(), expected);
        }
        assert_eq!(received.recv().await, None);
        let mut credit = 0;
        while let Some(frame) = peer.next().await {
            match frame.kind {
                kind::CREDIT => credit += frame.sequence,
                kind => assert_eq!(kind, kind::FORGET),
            }
            if credit == 20 {
                break;
            }
        }
        assert_eq!(credit, 20);
    });
    assert_eq!(report.unwrap().exit_code, Some(0));
}

#[tokio::test]
async fn output_beyond_the_credit_ends_the_sandbox() {
    let (sandbox, mut peer, _) = entered().await;
    let (chunks, _unread) = mpsc::channel(1);
    let (report, ()) = tokio::join!(sandbox.exec(shell(OutputMode::Streamed), Some(chunks)), async {
        let (stream, _) = peer.expect::<ExecRequest>(kind::EXEC).await;
        let chunk = vec![0; 64 << 10];
        // Some chunks may have been taken, by the channel and by the call that waits for it; these are more.
        for offset in 0..INITIAL_CREDIT_BYTES / chunk.len() as u64 + 16 {
            let mut bytes = Vec::new();
            frame::encode(kind::STDOUT, stream, offset, &chunk, &mut bytes);
            if peer.stream.write_all(&bytes).await.is_err() {
                return;
            }
        }
        while peer.next().await.is_some() {}
    });
    assert!(matches!(report, Err(SandboxError::Protocol { .. })), "{report:?}");
}

#[tokio::test]
async fn a_running_supervisor_is_entered_and_its_commands_are_ended() {
    let (mut peer, reader, writer) = streams();
    let jobs = Jobs::new();
    let lifecycle = Arc::new(CountingLifecycle::default());
    let ((), sandbox) = tokio::join!(
        async {
            peer.stream.write_all(b"half a frame").await.unwrap();
            peer.send_hello(2, vec![1]).await;
            let (_, attach) = peer.expect::<Attach>(kind::ATTACH).await;
            assert_eq!(attach.epoch, 3);
            peer.send_hello(3, vec![4, 5]).await;
            for stream in [4, 5] {
                peer.expect_signal(kind::KILL, stream, 0).await;
                // Else a streamed one would wait for its reader.
                peer.expect_signal(kind::CREDIT, stream, 64 << 20).await;
            }
            peer.send(kind::EXEC_DONE, 5, &done()).await;
            peer.expect_signal(kind::FORGET, 5, 0).await;
            peer.send(kind::EXEC_DONE, 4, &done()).await;
            peer.expect_signal(kind::FORGET, 4, 0).await;
        },
        SupervisedSandbox::enter(
            &jobs,
            session(Entry::Running),
            reader,
            writer,
            Arc::clone(&lifecycle) as _
        )
    );
    sandbox.unwrap().detach().await;
    assert_eq!(peer.next().await, None);
    assert_eq!(lifecycle.detached.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn greetings_that_can_not_be_obeyed_are_told_apart() {
    async fn refusal(kind: u8, message: &impl Serialize) -> String {
        let (mut peer, reader, writer) = streams();
        peer.send(kind, 0, message).await;
        let lifecycle = Arc::new(CountingLifecycle::default());
        let entered = SupervisedSandbox::enter(&Jobs::new(), session(Entry::Fresh), reader, writer, lifecycle).await;
        entered.map(|_| ()).unwrap_err().to_string()
    }
    let hello = |version, epoch| Hello {
        version,
        epoch,
        execs: Vec::new(),
        layers: Vec::new(),
    };
    assert!(
        refusal(kind::HELLO, &hello(VERSION + 1, 0))
            .await
            .contains("install both from one release")
    );
    assert!(
        refusal(kind::HELLO, &hello(VERSION, 4))
            .await
            .contains("a newer run has taken it over")
    );
    let fatal = FatalError {
        message: "no user namespaces".into(),
    };
    assert_eq!(refusal(kind::FATAL, &fatal).await, "no user namespaces");
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_that_hangs_is_given_up() {
    let (_peer, reader, writer) = streams();
    let lifecycle = Arc::new(CountingLifecycle::default());
    let greeted = SupervisedSandbox::enter(&Jobs::new(), session(Entry::Fresh), reader, writer, lifecycle).await;
    assert!(matches!(greeted, Err(SandboxError::Unavailable { .. })));

    let (sandbox, _peer, _) = entered().await;
    let report = sandbox.exec(shell(OutputMode::Captured), None).await;
    assert!(matches!(report, Err(SandboxError::Lost { .. })), "{report:?}");
}

#[tokio::test]
async fn a_file_request_over_the_frame_limit_is_refused_before_it_is_sent() {
    let (sandbox, _peer, _) = entered().await;
    let content = "x".repeat(frame::MAX_PAYLOAD_BYTES);
    let outcome = sandbox
        .file(FileRequest::Write {
            path: "big".into(),
            content,
        })
        .await
        .unwrap();
    assert!(matches!(outcome, Err(FileError::TooLarge { .. })), "{outcome:?}");
}

proptest! {
    #[test]
    fn frames_of_a_hostile_supervisor_never_panic(
        frames in proptest::collection::vec((0..30_u8, 0..4_u32, any::<u64>(), frame_payload()), 0..40)
    ) {
        let mut calls = calls::Calls::new(Epoch(1));
        let (chunks, _received) = mpsc::unbounded_channel();
        let sink = calls::Sink::Streamed { chunks, owed_bytes: Arc::default() };
        let _exec = calls.open_exec(sink);
        let _exec = calls.open_exec(calls::Sink::Unwatched);
        let _file = calls.open_request(kind::FILE_DONE);
        for (kind, stream, sequence, payload) in frames {
            if calls.take(Frame { kind, stream, sequence, payload }).is_err() {
                break;
            }
        }
    }

    #[test]
    fn bytes_of_a_hostile_supervisor_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let egress = Egress::new(EgressPolicy::new(EgressConfig::default()));
            let (connection, _queue) = Connection::new(Epoch(1), egress, Jobs::new());
            let mut decoder = Decoder::default();
            decoder.extend(&bytes);
            connection.read_frames(&bytes[..], decoder).await;
        });
    }
}

fn frame_payload() -> impl Strategy<Value = Vec<u8>> {
    let whole = serde_json::to_vec(&done()).unwrap();
    let hello = br#"{"version":2,"epoch":0,"execs":[],"layers":[]}"#.to_vec();
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..50),
        Just(whole),
        Just(hello),
        Just(b"{}".to_vec())
    ]
}
