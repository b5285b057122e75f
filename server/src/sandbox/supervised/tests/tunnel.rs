//! The tunnel against a scripted supervisor: what it carries, and that a hostile one ends only its own sandbox.

use sandbox_supervisor::protocol::{
    FIRST_TUNNEL_STREAM, MAX_TUNNEL_STREAMS, TUNNEL_END, TUNNEL_RESET, TUNNEL_WINDOW_BYTES, TunnelOutcome,
};
use tokio::net::TcpListener;

use super::*;
use crate::sandbox::supervised::tunnel::Tunnels;

const FIRST: u32 = FIRST_TUNNEL_STREAM;
const WINDOW: usize = TUNNEL_WINDOW_BYTES as usize;

/// A sandbox whose tunnel is open to these hosts.
async fn opened(hosts: &[&str]) -> (Arc<SupervisedSandbox>, Peer) {
    let (sandbox, mut peer, _) = entered().await;
    let rules = HostRules::parse(hosts).unwrap();
    let (allowed, ()) = tokio::join!(sandbox.allow_hosts(rules), async {
        let frame = peer.next().await.unwrap();
        assert_eq!((frame.kind, frame.payload.len()), (kind::TUNNEL, 0));
        peer.send(kind::TUNNEL_DONE, frame.stream, &TunnelOutcome::Ok(3128))
            .await;
    });
    allowed.unwrap();
    (sandbox, peer)
}

impl Peer {
    /// Collects what comes down a stream until it ends; returns it, and the sequence of the end.
    async fn down(&mut self, stream: u32) -> (Vec<u8>, u64) {
        let mut bytes = Vec::new();
        loop {
            let frame = self.next().await.unwrap();
            if frame.kind == kind::TUNNEL_DATA_DOWN && frame.stream == stream {
                if frame.payload.is_empty() {
                    return (bytes, frame.sequence);
                }
                bytes.extend(frame.payload);
            }
        }
    }
}

#[tokio::test]
async fn a_connection_of_a_command_gets_the_proxys_answer() {
    let (sandbox, mut peer) = opened(&["a.example.com"]).await;
    peer.send_bytes(kind::TUNNEL_OPEN, FIRST, 0, b"").await;
    peer.send_bytes(kind::TUNNEL_DATA_UP, FIRST, 0, b"CONNECT b.example.com:443 HT")
        .await;
    peer.send_bytes(kind::TUNNEL_DATA_UP, FIRST, 0, b"TP/1.1\r\n\r\n").await;
    let (answer, end) = peer.down(FIRST).await;
    assert!(answer.starts_with(b"HTTP/1.1 403 "));
    assert_eq!(end, TUNNEL_END);
    let denial = Denial {
        subject: "b.example.com:443".into(),
        message: "is not an allowed host; allowed: a.example.com".into(),
    };
    assert_eq!(sandbox.take_denials(), [denial]);
    // The stream ends with the command's side; its number is not taken again.
    peer.send_bytes(kind::TUNNEL_DATA_UP, FIRST, TUNNEL_END, b"").await;
    peer.send_bytes(kind::TUNNEL_OPEN, FIRST, 0, b"").await;
    assert_eq!(peer.next().await, None);
}

#[tokio::test]
async fn no_hosts_cost_no_question() {
    let (sandbox, mut peer, _) = entered().await;
    sandbox.allow_hosts(HostRules::default()).await.unwrap();
    sandbox.destroy().await.unwrap();
    assert_eq!(peer.next().await, None);
}

#[tokio::test]
async fn a_supervisor_that_can_not_open_the_tunnel_is_an_error() {
    let (sandbox, mut peer, _) = entered().await;
    let rules = HostRules::parse(&["a.org"]).unwrap();
    let (allowed, ()) = tokio::join!(sandbox.allow_hosts(rules), async {
        let stream = peer.next().await.unwrap().stream;
        peer.send(kind::TUNNEL_DONE, stream, &TunnelOutcome::Err("no loopback".into()))
            .await;
    });
    let message = "the sandbox backend failed: the sandbox has no way to its proxy: no loopback";
    assert_eq!(allowed.unwrap_err().to_string(), message);
}

#[tokio::test]
async fn no_more_is_sent_than_the_command_reads() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let (_sandbox, mut peer) = opened(&[&host]).await;
    peer.send_bytes(kind::TUNNEL_OPEN, FIRST, 0, b"").await;
    let head = format!("CONNECT {host} HTTP/1.1\r\n\r\n");
    peer.send_bytes(kind::TUNNEL_DATA_UP, FIRST, 0, head.as_bytes()).await;
    let (mut stream, _) = listener.accept().await.unwrap();
    Jobs::new().spawn(
        "destination",
        async move { stream.write_all(&vec![7; 3 * WINDOW]).await },
    );
    let mut got = 0;
    while got < WINDOW {
        let frame = peer.next().await.unwrap();
        assert_eq!(frame.kind, kind::TUNNEL_DATA_DOWN);
        got += frame.payload.len();
    }
    assert_eq!(got, WINDOW);
    // Credit for five bytes brings five bytes.
    peer.send_bytes(kind::TUNNEL_CREDIT, FIRST, 5, b"").await;
    let frame = peer.next().await.unwrap();
    assert_eq!((frame.kind, frame.payload.len()), (kind::TUNNEL_DATA_DOWN, 5));
    // A command that breaks the connection is not answered any more.
    peer.send_bytes(kind::TUNNEL_DATA_UP, FIRST, TUNNEL_RESET, b"").await;
    peer.send_bytes(kind::TUNNEL_OPEN, FIRST + 1, 0, b"").await;
    peer.send_bytes(kind::TUNNEL_DATA_UP, FIRST + 1, 0, b"nonsense\r\n\r\n")
        .await;
    let frame = peer.next().await.unwrap();
    assert_eq!((frame.kind, frame.stream), (kind::TUNNEL_DATA_DOWN, FIRST + 1));
}

#[tokio::test]
async fn a_supervisor_that_breaks_the_tunnels_rules_loses_its_sandbox() {
    let open = |stream| (kind::TUNNEL_OPEN, stream, 0, Vec::new());
    let data = |bytes: usize| (kind::TUNNEL_DATA_UP, FIRST, 0, vec![b'x'; bytes]);
    let end = (kind::TUNNEL_DATA_UP, FIRST, TUNNEL_END, Vec::new());
    let too_many = (0..=MAX_TUNNEL_STREAMS as u32).map(|number| open(FIRST + number));
    for (frames, message) in [
        (vec![open(5)], "taken"),
        (vec![open(FIRST + 1), open(FIRST)], "taken"),
        (vec![open(FIRST), open(FIRST)], "taken"),
        (too_many.collect(), "more connections than it may"),
        (
            vec![open(FIRST), data(WINDOW), data(1)],
            "more to the proxy than it had credit for",
        ),
        (
            vec![open(FIRST), end, data(1)],
            "more to the proxy than it had credit for",
        ),
        (
            vec![open(FIRST), (kind::TUNNEL_CREDIT, FIRST, 1, Vec::new())],
            "more credit",
        ),
    ] {
        let (sandbox, mut peer) = opened(&["*"]).await;
        let (report, ()) = tokio::join!(sandbox.exec(shell(OutputMode::Captured), None), async {
            peer.expect::<ExecRequest>(kind::EXEC).await;
            let mut bytes = Vec::new();
            for (kind, stream, sequence, payload) in frames {
                frame::encode(kind, stream, sequence, &payload, &mut bytes);
            }
            peer.stream.write_all(&bytes).await.unwrap();
            while peer.next().await.is_some() {}
        });
        let error = report.unwrap_err();
        assert!(matches!(error, SandboxError::Protocol { .. }), "{message}: {error}");
        assert!(error.to_string().contains(message), "{message}: {error}");
    }
}

#[tokio::test]
async fn a_thousand_hostile_frames_end_only_their_own_sandbox() {
    let (hostile, mut attacker) = opened(&["*"]).await;
    let (other, mut neighbour) = opened(&["a.org"]).await;
    let (report, ()) = tokio::join!(hostile.exec(shell(OutputMode::Captured), None), async {
        attacker.expect::<ExecRequest>(kind::EXEC).await;
        for number in 0..1000_u32 {
            let kind = [
                kind::TUNNEL_OPEN,
                kind::TUNNEL_DATA_UP,
                kind::TUNNEL_CREDIT,
                kind::TUNNEL_DONE,
            ][number as usize % 4];
            let payload = vec![number as u8; number as usize * 37 % 20_000];
            let mut bytes = Vec::new();
            frame::encode(
                kind,
                FIRST.wrapping_add(number / 4),
                number.into(),
                &payload,
                &mut bytes,
            );
            if attacker.stream.write_all(&bytes).await.is_err() {
                return;
            }
        }
        while attacker.next().await.is_some() {}
    });
    assert!(matches!(report, Err(SandboxError::Protocol { .. })), "{report:?}");
    let (report, ()) = tokio::join!(other.exec(shell(OutputMode::Captured), None), async {
        let (stream, _) = neighbour.expect::<ExecRequest>(kind::EXEC).await;
        neighbour.send(kind::EXEC_DONE, stream, &done()).await;
        neighbour.expect_signal(kind::FORGET, stream, 0).await;
    });
    assert_eq!(report.unwrap().exit_code, Some(0));
}

proptest! {
    #[test]
    fn frames_of_a_hostile_tunnel_never_panic(
        frames in proptest::collection::vec((0..4_u8, 0..6_u32, 0..3_u64, 0..40_000_usize), 0..1000)
    ) {
        let mut tunnels = Tunnels::default();
        tunnels.open();
        for (which, stream, sequence, length) in frames {
            let kind = [kind::TUNNEL_OPEN, kind::TUNNEL_DATA_UP, kind::TUNNEL_CREDIT, 250][usize::from(which)];
            let payload = vec![0; length];
            // A wrong frame ends the connection; here the rest must do no harm either.
            drop(tunnels.take(&Frame { kind, stream: FIRST + stream, sequence, payload }));
            prop_assert!(tunnels.held_bytes() <= MAX_TUNNEL_STREAMS * WINDOW);
        }
    }
}
