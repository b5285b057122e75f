//! The loop with tiny routes over real sockets: every limit, each with a client that stays within it.

use std::net::SocketAddr;

use axum::Router;
use axum::routing::{get, post};
use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

/// What ends a test that would otherwise hang.
const PATIENCE: Duration = Duration::from_secs(20);

struct Server {
    address: SocketAddr,
    drain: CancellationToken,
    jobs: Jobs,
    serving: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn start(limits: ConnectionLimits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let endless = || async {
            let chunk = Bytes::from_static(&[b'x'; 8192]);
            Body::from_stream(futures_util::stream::repeat(Ok::<_, Infallible>(chunk)))
        };
        let routes = Router::new()
            .route("/hello", get(|| async { "hello" }))
            .route("/endless", get(endless))
            .route(
                "/silent",
                get(|| async { Body::from_stream(futures_util::stream::pending::<Result<Bytes, Infallible>>()) }),
            )
            .route("/echo", post(|body: Bytes| async move { body }));
        let (drain, jobs) = (CancellationToken::new(), Jobs::new());
        let (token, job) = (drain.clone(), jobs.clone());
        let serving = jobs.spawn("accept", async move {
            let accepting = Accepting {
                listener,
                tls: None,
                limits,
                grace: Duration::from_millis(200),
            };
            accept(accepting, Adapter(routes), &job, token).await;
        });
        Self {
            address,
            drain,
            jobs,
            serving,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends text over HTTP/1.1 and returns what comes back until the server closes.
    async fn talk(&self, text: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(text.as_bytes()).await.unwrap();
        read_to_close(&mut stream).await
    }

    async fn is_served(&self) -> bool {
        self.talk("GET /hello HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            .await
            .ends_with("hello")
    }

    async fn http2(&self) -> Client {
        let stream = self.connect().await;
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(65_535);
        let (sender, connection) = builder.handshake::<_, Bytes>(stream).await.unwrap();
        let ended = self.jobs.spawn("client", async move { connection.await.err() });
        Client { sender, ended }
    }
}

struct Client {
    sender: h2::client::SendRequest<Bytes>,
    ended: tokio::task::JoinHandle<Option<h2::Error>>,
}

impl Client {
    async fn get(&mut self, path: &str) -> Result<http::Response<h2::RecvStream>, h2::Error> {
        let request = http::Request::get(format!("http://a{path}")).body(()).unwrap();
        let mut sender = self.sender.clone().ready().await?;
        let (response, _) = sender.send_request(request, true)?;
        response.await
    }
}

/// `Router` answers requests of any body; the loop wants one that says which.
#[derive(Clone)]
struct Adapter(Router);

impl Service<Request<Body>> for Adapter {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = <Router as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        Service::<Request<Body>>::poll_ready(&mut self.0, cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.0.call(request)
    }
}

async fn read_to_close(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut text)).await;
    // A reset is a close too.
    let _ = read.expect("the server should have closed the connection");
    String::from_utf8_lossy(&text).into_owned()
}

fn short() -> ConnectionLimits {
    ConnectionLimits {
        handshake: Duration::from_millis(100),
        header_read: Duration::from_millis(200),
        request_body: Duration::from_millis(200),
        write_stall: Duration::from_millis(300),
        ..ConnectionLimits::default()
    }
}

#[tokio::test]
async fn one_port_speaks_http1_and_http2_by_its_first_bytes() {
    let server = Server::start(ConnectionLimits::default()).await;
    assert!(server.is_served().await);
    let mut client = server.http2().await;
    let mut body = client.get("/hello").await.unwrap().into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "hello");
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_dropped_and_a_quiet_http2_client_is_not() {
    let server = Server::start(short()).await;
    let mut client = server.http2().await;
    let mut silent = server.connect().await;
    let mut slow = server.connect().await;
    slow.write_all(b"PRI * HTTP/2.0").await.unwrap();
    assert_eq!(read_to_close(&mut silent).await, "");
    assert_eq!(read_to_close(&mut slow).await, "");
    assert!(client.get("/hello").await.is_ok());
}

#[tokio::test]
async fn a_head_that_never_ends_or_is_too_long_is_refused() {
    let server = Server::start(short()).await;
    let unfinished = server.talk("GET /hello HTTP/1.1\r\nhost: a\r\nx: 1").await;
    assert!(!unfinished.contains("200 OK"), "{unfinished}");
    let head = |bytes| {
        format!(
            "GET /hello HTTP/1.1\r\nconnection: close\r\nhost: a\r\nx: {}\r\n\r\n",
            "y".repeat(bytes)
        )
    };
    assert!(server.talk(&head(12 * 1024)).await.contains("200 OK"));
    let long = server.talk(&head(20 * 1024)).await;
    assert!(!long.contains("200 OK"), "{long}");

    let mut client = server.http2().await;
    let request = |bytes| {
        let request = http::Request::get("http://a/hello").header("x", "y".repeat(bytes));
        request.body(()).unwrap()
    };
    let mut sender = client.sender.clone().ready().await.unwrap();
    let (response, _) = sender.send_request(request(12 * 1024), true).unwrap();
    assert_eq!(response.await.unwrap().status(), 200);
    let refused = match sender.ready().await.unwrap().send_request(request(20 * 1024), true) {
        Ok((response, _)) => response.await.map_or(true, |response| response.status() == 431),
        Err(_) => true,
    };
    assert!(refused);
    client.sender = server.http2().await.sender;
    assert!(client.get("/hello").await.is_ok());
}

#[tokio::test]
async fn a_message_that_does_not_arrive_is_given_up() {
    let server = Server::start(short()).await;
    let head = "POST /echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 5\r\n\r\n";
    assert!(server.talk(&format!("{head}hello")).await.ends_with("hello"));
    let answer = server.talk(&format!("{head}he")).await;
    assert!(!answer.contains("200 OK"), "{answer}");
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_and_places_come_back() {
    let limits = ConnectionLimits {
        max_connections_per_address: 2,
        ..ConnectionLimits::default()
    };
    let server = Server::start(limits).await;
    let (mut first, mut second) = (server.http2().await, server.http2().await);
    assert!(first.get("/hello").await.is_ok() && second.get("/hello").await.is_ok());
    assert!(!server.is_served().await);
    drop(first.sender);
    first.ended.await.unwrap();
    while !server.is_served().await {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_reader_that_stops_is_dropped_and_the_others_are_not() {
    let server = Server::start(short()).await;
    let mut stalled = server.http2().await;
    let mut reading = server.http2().await;
    let mut waiting = server.http2().await;
    let unread = stalled.get("/endless").await.unwrap();
    let mut read = reading.get("/endless").await.unwrap().into_body();
    // It waits for an event that does not come, which is not a stall.
    let _quiet = waiting.get("/silent").await.unwrap();

    let drive = async {
        loop {
            let data = read.data().await.unwrap().unwrap();
            read.flow_control().release_capacity(data.len()).unwrap();
        }
    };
    let dropped = tokio::time::timeout(PATIENCE, &mut stalled.ended);
    tokio::select! {
        ended = dropped => drop(ended.expect("it should be dropped")),
        () = drive => unreachable!(),
    }
    let mut unread = unread.into_body();
    while let Some(Ok(_)) = unread.data().await {}
    assert!(!unread.is_end_stream(), "it was cut, not ended");
    assert!(reading.get("/hello").await.is_ok());
    assert!(waiting.get("/hello").await.is_ok());
}

#[tokio::test]
async fn a_peer_whose_socket_is_full_is_dropped_on_http1_too() {
    let server = Server::start(short()).await;
    let mut stalled = server.connect().await;
    stalled
        .write_all(b"GET /endless HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    assert!(server.is_served().await);
    // The server does not read either while it writes, so these writes wait until it closes.
    let dropped = async { while stalled.write_all(&[b'x'; 65_536]).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, dropped)
        .await
        .expect("it should be dropped");
}

#[tokio::test]
async fn streams_beyond_the_limit_are_not_opened() {
    let limits = ConnectionLimits {
        max_streams: 2,
        ..ConnectionLimits::default()
    };
    let server = Server::start(limits).await;
    let mut client = server.http2().await;
    client.get("/hello").await.unwrap();
    assert_eq!(client.sender.current_max_send_streams(), 2);
}

#[tokio::test]
async fn a_client_that_does_not_say_that_it_is_there_is_dropped_and_one_that_does_stays() {
    let limits = ConnectionLimits {
        keep_alive_interval: Duration::from_millis(100),
        keep_alive_timeout: Duration::from_millis(100),
        ..ConnectionLimits::default()
    };
    let server = Server::start(limits).await;
    let mut there = server.http2().await;
    let _quiet = there.get("/silent").await.unwrap();
    // It opens HTTP/2 and a stream that stays silent, and answers no ping.
    let mut gone = server.connect().await;
    let settings = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let request = b"\0\0\x0e\x01\x05\0\0\0\x01\x82\x86\x04\x07/silent\x01\x01a";
    gone.write_all(&[&settings[..], request].concat()).await.unwrap();
    let told = read_to_close(&mut gone).await;
    assert!(told.len() > 9, "it was served before: {told:?}");
    assert!(there.get("/hello").await.is_ok());
}

#[tokio::test]
async fn an_old_connection_is_asked_to_end_and_its_streams_with_it() {
    let limits = ConnectionLimits {
        max_age: Duration::from_millis(200),
        age_grace: Duration::from_millis(100),
        ..ConnectionLimits::default()
    };
    let server = Server::start(limits).await;
    let mut client = server.http2().await;
    let _open = client.get("/silent").await.unwrap();
    tokio::time::timeout(PATIENCE, client.ended)
        .await
        .expect("it should end")
        .unwrap();
    assert!(server.is_served().await);
}

#[tokio::test]
async fn a_drain_lets_idle_connections_go_and_drops_the_rest_after_its_grace() {
    let server = Server::start(ConnectionLimits::default()).await;
    let mut idle = server.http2().await;
    idle.get("/hello").await.unwrap();
    let mut busy = server.http2().await;
    let mut open = busy.get("/silent").await.unwrap().into_body();
    server.drain.cancel();
    tokio::time::timeout(PATIENCE, server.serving)
        .await
        .expect("the loop should end")
        .unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
    assert!(idle.ended.await.unwrap().is_none(), "an idle connection ends cleanly");
    assert!(!matches!(open.data().await, Some(Ok(_))));
}
