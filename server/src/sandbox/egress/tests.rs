//! The proxy end to end over an in-memory stream, with destinations on loopback that the configuration allows.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::net::TcpListener;

use super::*;
use crate::jobs::Jobs;

/// A sandbox's way out with these hosts allowed, and loopback reachable or not.
fn egress(hosts: &[&str], ranges: &[&str], limits: EgressLimits) -> Arc<Egress> {
    let policy = EgressPolicy::new(EgressConfig {
        private_ranges: ranges.iter().map(|range| range.parse().unwrap()).collect(),
        limits,
    });
    let egress = Egress::new(policy);
    egress.allow(HostRules::parse(hosts).unwrap());
    egress
}

fn open(hosts: &[&str]) -> Arc<Egress> {
    egress(hosts, &["127.0.0.0/8"], EgressLimits::default())
}

/// Connects a command to the proxy.
fn command(egress: &Arc<Egress>) -> DuplexStream {
    let (ours, theirs) = tokio::io::duplex(16 << 10);
    let egress = Arc::clone(egress);
    Jobs::new().spawn("proxy", async move { egress.serve(theirs).await });
    ours
}

/// Sends a request whole and returns all that comes back.
async fn ask(egress: &Arc<Egress>, request: &str) -> String {
    let mut command = command(egress);
    command.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    drop(command.read_to_end(&mut answer).await);
    String::from_utf8(answer).unwrap()
}

fn denial(subject: impl Into<String>, message: impl Into<String>) -> Denial {
    let (subject, message) = (subject.into(), message.into());
    Denial { subject, message }
}

/// A destination that takes one connection, reads as much as it is told, and answers.
async fn destination(reads: usize, answer: &'static str) -> (u16, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = Jobs::new().spawn("destination", async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut read = vec![0; reads];
        stream.read_exact(&mut read).await.unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        drop(stream.read_to_end(&mut rest).await);
        read.extend(rest);
        String::from_utf8(read).unwrap()
    });
    (port, served)
}

#[tokio::test]
async fn an_allowed_tunnel_carries_bytes_and_both_ends() {
    let (port, served) = destination(4, "pong").await;
    let egress = open(&[&format!("127.0.0.1:{port}")]);
    let mut command = command(&egress);
    let head = format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\nping");
    command.write_all(head.as_bytes()).await.unwrap();
    command.shutdown().await.unwrap();
    let mut answer = String::new();
    command.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "HTTP/1.1 200 Connection established\r\n\r\npong");
    assert_eq!(served.await.unwrap(), "ping");
    assert_eq!(egress.take_denials(), []);
}

#[tokio::test]
async fn a_plain_request_goes_on_alone() {
    let sent = "POST /x HTTP/1.1\r\nHost: localhost:PORT\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody";
    let (port, served) = destination(sent.len() + 1, "HTTP/1.1 200 OK\r\n\r\nanswer").await;
    let expected = sent.replace("PORT", &port.to_string());
    let egress = open(&[&format!("localhost:{port}")]);
    let request = format!(
        "POST http://localhost:{port}/x HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Length: 4\r\n\r\nbody\
         GET http://localhost:{port}/second HTTP/1.1\r\nHost: elsewhere\r\n\r\n"
    );
    assert_eq!(ask(&egress, &request).await, "HTTP/1.1 200 OK\r\n\r\nanswer");
    // Nothing of the second request has left.
    assert_eq!(served.await.unwrap(), expected);
}

#[tokio::test]
async fn a_host_that_is_not_allowed_is_refused_in_words_and_recorded() {
    let (port, _served) = destination(1, "").await;
    let egress = open(&["a.example.com"]);
    for request in [
        format!("CONNECT localhost:{port} HTTP/1.1\r\n\r\n"),
        format!("GET http://localhost:{port}/ HTTP/1.1\r\n\r\n"),
    ] {
        let text = format!("backspace: localhost:{port}: is not an allowed host; allowed: a.example.com\n");
        let head = format!(
            "HTTP/1.1 403 Forbidden by the network policy of the sandbox\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            text.len()
        );
        assert_eq!(ask(&egress, &request).await, head + &text);
    }
    let message = "is not an allowed host; allowed: a.example.com";
    assert_eq!(egress.take_denials(), [denial(format!("localhost:{port}"), message)]);
    assert_eq!(egress.take_denials(), []);
}

#[tokio::test]
async fn an_allowed_name_with_a_private_address_is_refused() {
    let (port, _served) = destination(1, "").await;
    let host = format!("localhost:{port}");
    let literal = format!("127.0.0.1:{port}");
    let shut = egress(&[&host, &literal], &["10.0.0.0/8"], EgressLimits::default());
    for subject in [&host, &literal] {
        let answer = ask(&shut, &format!("CONNECT {subject} HTTP/1.1\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
        let denials = shut.take_denials();
        assert_eq!(denials.len(), 1);
        assert_eq!(denials[0].subject, *subject);
        assert!(denials[0].message.ends_with(" is not a public address"), "{denials:?}");
    }
    // The control: with the range allowed the same destination is reached.
    let answer = ask(&open(&[&host]), &format!("CONNECT {host} HTTP/1.1\r\n\r\nx")).await;
    assert_eq!(answer, "HTTP/1.1 200 Connection established\r\n\r\n");
}

#[tokio::test]
async fn an_address_is_not_allowed_by_a_pattern_for_names() {
    let egress = open(&["*", "localhost"]);
    let answer = ask(&egress, "CONNECT 127.0.0.1:443 HTTP/1.1\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert_eq!(
        egress.take_denials(),
        [denial("127.0.0.1:443", "is not an allowed host; allowed: *, localhost")]
    );
}

#[tokio::test]
async fn nothing_is_allowed_at_first_and_after_it_was_taken_back() {
    let (port, _served) = destination(1, "").await;
    let host = format!("127.0.0.1:{port}");
    let egress = open(&[&host]);
    egress.allow(HostRules::default());
    let answer = ask(&egress, &format!("CONNECT {host} HTTP/1.1\r\n\r\n")).await;
    assert!(
        answer.ends_with(": is not an allowed host; allowed: no host\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn two_hosts_in_one_request_are_a_refusal() {
    let egress = open(&["a.example.com", "b.example.com"]);
    let answer = ask(
        &egress,
        "GET http://a.example.com/ HTTP/1.1\r\nHost: b.example.com\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert_eq!(
        egress.take_denials(),
        [denial("a.example.com:80", "its Host field names another host")]
    );
}

#[tokio::test]
async fn what_is_wrong_gets_an_answer_and_is_no_denial() {
    let egress = open(&["*"]);
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: a.org\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"),
        ("\u{16}\u{3}\u{1}\u{2}", "HTTP/1.1 400 Bad Request\r\n"),
        (
            "POST http://a.org/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 411 Length Required\r\n",
        ),
        (&"x".repeat(40 << 10), "HTTP/1.1 431 "),
        (
            "CONNECT no-such-name.invalid:443 HTTP/1.1\r\n\r\n",
            "HTTP/1.1 502 Bad Gateway\r\n",
        ),
    ] {
        let answer = ask(&egress, request).await;
        assert!(answer.starts_with(status), "{answer}");
    }
    assert_eq!(egress.take_denials(), []);
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_no_denial() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    drop(listener);
    let egress = open(&[&host]);
    let answer = ask(&egress, &format!("CONNECT {host} HTTP/1.1\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{answer}");
    assert_eq!(egress.take_denials(), []);
}

#[tokio::test]
async fn a_sandbox_that_has_moved_its_share_is_cut_and_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let limits = EgressLimits {
        bytes: 1 << 20,
        ..EgressLimits::default()
    };
    let egress = egress(&[&host], &["127.0.0.1/32"], limits);
    let endless = Jobs::new().spawn("destination", async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        while stream.write_all(&[7; 4096]).await.is_ok() {}
    });
    let mut command = command(&egress);
    command
        .write_all(format!("CONNECT {host} HTTP/1.1\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut got = Vec::new();
    drop(command.read_to_end(&mut got).await);
    endless.await.unwrap();
    assert!((1 << 19..=(1 << 20) + 100).contains(&got.len()), "{}", got.len());
    let message = "the sandbox has moved 1 MiB over its network, the most that is allowed";
    assert_eq!(egress.take_denials(), [denial(host, message)]);
}

#[tokio::test]
async fn a_connection_that_carries_nothing_is_cut() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let limits = EgressLimits {
        idle: Duration::from_millis(20),
        ..EgressLimits::default()
    };
    let egress = egress(&[&host], &["127.0.0.1/32"], limits);
    let mut command = command(&egress);
    command
        .write_all(format!("CONNECT {host} HTTP/1.1\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let (mut silent, _) = listener.accept().await.unwrap();
    let mut got = Vec::new();
    drop(command.read_to_end(&mut got).await);
    assert_eq!(got, b"HTTP/1.1 200 Connection established\r\n\r\n");
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap_or(0), 0);
}

#[tokio::test(start_paused = true)]
async fn a_command_that_says_nothing_is_not_waited_for() {
    let egress = open(&["*"]);
    let mut command = command(&egress);
    command.write_all(b"CONNECT ").await.unwrap();
    assert_eq!(command.read(&mut [0; 1]).await.unwrap(), 0);
}
