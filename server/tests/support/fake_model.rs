//! A fake model provider over HTTP: it speaks all three protocols, checks each request against their
//! real rules, and answers as told, also slowly, brokenly or not at all.
//!
//! It is written on a bare socket, because a web framework would not let it cut a body, omit its end
//! or hang. A request that breaks a rule gets the 400 that the provider would give, and is kept in
//! `violations`.

#![allow(dead_code, reason = "each test program uses its own part of this support")]

mod answers;
mod rules;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use backspace_server::jobs::Jobs;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// What was asked for, with its query; absolute when it came as to a proxy.
    pub(crate) target: String,
    /// Names in lower case, in order.
    pub(crate) headers: Vec<(String, String)>,
    /// The body, byte for byte.
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A part of a response's body.
#[derive(Clone, Debug)]
enum Step {
    Bytes(Vec<u8>),
    Wait(Duration),
    /// Nothing more comes, and the connection stays open until the client leaves.
    Hang,
    /// The connection ends in the middle.
    Cut,
}

/// What to answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    before_headers: Vec<Step>,
    steps: Vec<Step>,
}

impl Reply {
    /// A response with this status and a body of JSON.
    pub(crate) fn json(status: u16, body: impl Into<String>) -> Self {
        Self::raw(status, "application/json", body.into())
    }

    /// A response of any type.
    pub(crate) fn raw(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: vec![("content-type".into(), content_type.into())],
            before_headers: vec![],
            steps: vec![Step::Bytes(body.into())],
        }
    }

    /// A stream of these bytes.
    pub(crate) fn stream(body: impl Into<Vec<u8>>) -> Self {
        Self::raw(200, "text/event-stream; charset=utf-8", body)
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn without_header(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    /// Waits before anything is sent.
    pub(crate) fn delayed(mut self, delay: Duration) -> Self {
        self.before_headers.push(Step::Wait(delay));
        self
    }

    /// Never sends headers.
    pub(crate) fn without_response(mut self) -> Self {
        self.before_headers.push(Step::Hang);
        self
    }

    /// Sends only the first `bytes` of the body, then waits for ever.
    pub(crate) fn hanging_after(self, bytes: usize) -> Self {
        self.ending_after(bytes, Step::Hang)
    }

    /// Sends only the first `bytes` of the body, then closes the connection.
    pub(crate) fn cut_after(self, bytes: usize) -> Self {
        self.ending_after(bytes, Step::Cut)
    }

    /// All bytes of the body.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let bytes = self.steps.iter().map(|step| match step {
            Step::Bytes(bytes) => bytes.as_slice(),
            _ => &[],
        });
        bytes.collect::<Vec<_>>().concat()
    }

    fn ending_after(mut self, bytes: usize, end: Step) -> Self {
        let body = self.bytes();
        self.steps = vec![Step::Bytes(body[..bytes.min(body.len())].to_vec()), end];
        self
    }

    /// Adds bytes after a wait.
    pub(crate) fn then(mut self, delay: Duration, bytes: impl Into<Vec<u8>>) -> Self {
        self.steps.push(Step::Wait(delay));
        self.steps.push(Step::Bytes(bytes.into()));
        self
    }

    /// Adds these bytes again and again, as keep-alives.
    pub(crate) fn then_repeatedly(mut self, times: usize, delay: Duration, bytes: &str) -> Self {
        for _ in 0..times {
            self = self.then(delay, bytes);
        }
        self
    }

    /// Ends in silence.
    pub(crate) fn then_hang(mut self) -> Self {
        self.steps.push(Step::Hang);
        self
    }
}

#[derive(Default)]
struct State {
    replies: Mutex<VecDeque<Reply>>,
    requests: Mutex<Vec<Request>>,
    violations: Mutex<Vec<String>>,
    connections: Mutex<usize>,
    client_left: Notify,
    request_came: Notify,
}

/// The server; it ends with the test.
pub(crate) struct FakeModel {
    address: SocketAddr,
    state: Arc<State>,
    _jobs: Jobs,
}

impl FakeModel {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let jobs = Jobs::new();
        let (accepting, spawning) = (state.clone(), jobs.clone());
        jobs.spawn("fake model", async move {
            while let Ok((socket, _)) = listener.accept().await {
                *accepting.connections.lock().unwrap() += 1;
                let state = accepting.clone();
                spawning.spawn("fake model connection", async move {
                    let _closed = serve(socket, &state).await;
                });
            }
        });
        Self {
            address,
            state,
            _jobs: jobs,
        }
    }

    /// Starts with these replies.
    pub(crate) async fn with(replies: impl IntoIterator<Item = Reply>) -> Self {
        let server = Self::start().await;
        server.state.replies.lock().unwrap().extend(replies);
        server
    }

    pub(crate) fn push(&self, reply: Reply) {
        self.state.replies.lock().unwrap().push_back(reply);
    }

    /// `http://127.0.0.1:port`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().unwrap().clone()
    }

    /// What was wrong with requests, as the provider would say it.
    pub(crate) fn violations(&self) -> Vec<String> {
        self.state.violations.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        *self.state.connections.lock().unwrap()
    }

    /// Waits until a client closed its connection while an answer was under way.
    pub(crate) async fn client_left(&self) {
        self.state.client_left.notified().await;
    }

    /// Waits until a request has come.
    pub(crate) async fn request_came(&self) {
        self.state.request_came.notified().await;
    }
}

async fn serve(mut socket: TcpStream, state: &State) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let mut buffer = Vec::new();
    while let Some(request) = read_request(&mut socket, &mut buffer).await? {
        let checked = rules::check(&request);
        state.requests.lock().unwrap().push(request);
        state.request_came.notify_one();
        let reply = match checked {
            Err(violation) => {
                state.violations.lock().unwrap().push(violation.clone());
                let error = serde_json::json!({ "type": "error", "error": { "type": "invalid_request_error", "message": violation } });
                Reply::json(400, error.to_string())
            }
            Ok(()) => match state.replies.lock().unwrap().pop_front() {
                Some(reply) => reply,
                None => Reply::json(400, r#"{"error":{"message":"the test has no reply for this request"}}"#),
            },
        };
        if !send(&mut socket, reply, state).await? {
            break;
        }
    }
    Ok(())
}

async fn read_request(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<Option<Request>> {
    let head_end = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if socket.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&buffer[..head_end]).into_owned();
    let mut lines = head.split("\r\n");
    let target = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(':').unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.map_or(0, |(_, value)| value.parse().unwrap());
    let total = head_end + 4 + length;
    while buffer.len() < total {
        if socket.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
    let body = String::from_utf8(buffer[head_end + 4..total].to_vec()).unwrap();
    buffer.drain(..total);
    Ok(Some(Request { target, headers, body }))
}

/// Sends a reply and returns whether the connection can take another request.
async fn send(socket: &mut TcpStream, reply: Reply, state: &State) -> std::io::Result<bool> {
    for step in &reply.before_headers {
        if !wait(socket, step, state).await? {
            return Ok(false);
        }
    }
    let mut head = format!("HTTP/1.1 {} Status\r\ntransfer-encoding: chunked\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    socket.write_all(head.as_bytes()).await?;
    for step in &reply.steps {
        match step {
            Step::Bytes(bytes) if bytes.is_empty() => {}
            Step::Bytes(bytes) => {
                socket.write_all(format!("{:x}\r\n", bytes.len()).as_bytes()).await?;
                socket.write_all(bytes).await?;
                socket.write_all(b"\r\n").await?;
            }
            other => {
                if !wait(socket, other, state).await? {
                    return Ok(false);
                }
            }
        }
    }
    socket.write_all(b"0\r\n\r\n").await?;
    Ok(true)
}

/// Waits as a step says; returns false when the connection is over.
async fn wait(socket: &mut TcpStream, step: &Step, state: &State) -> std::io::Result<bool> {
    let mut byte = [0];
    match step {
        Step::Bytes(_) => Ok(true),
        Step::Cut => Ok(false),
        Step::Wait(delay) => {
            let left = tokio::time::timeout(*delay, socket.read(&mut byte)).await;
            if left.is_ok() {
                state.client_left.notify_one();
            }
            Ok(left.is_err())
        }
        Step::Hang => {
            let _end = socket.read(&mut byte).await;
            state.client_left.notify_one();
            Ok(false)
        }
    }
}
