//! Git's own `http-backend` behind a small server on loopback that wants a token and can misbehave.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use backspace_server::jobs::Jobs;
use base64::Engine as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

/// How the server treats requests that carry the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Serve,
    /// Answers with a status.
    Status(u16),
    /// Sends every request, with or without token, to another server.
    Redirect(String),
    /// Never answers.
    Stall,
    /// Breaks off in the middle of the body of answers to POST.
    Cut,
}

/// A request as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) uri: String,
    pub(crate) authorization: Option<String>,
    /// Whether the token stood in the arguments of any process of the machine.
    pub(crate) token_in_arguments: bool,
    /// Whether it stood in the environment of one: the control.
    pub(crate) token_in_environment: bool,
}

/// A server of the bare repositories in a folder.
pub(crate) struct HttpServer {
    pub(crate) port: u16,
    shared: Arc<Shared>,
    _jobs: Jobs,
}

struct Shared {
    root: PathBuf,
    token: String,
    manner: Mutex<Manner>,
    seen: Mutex<Vec<Seen>>,
}

impl HttpServer {
    pub(crate) async fn start(root: PathBuf, token: &str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            root,
            token: token.into(),
            manner: Mutex::new(Manner::Serve),
            seen: Mutex::default(),
        });
        let jobs = Jobs::new();
        let (accepting, state) = (jobs.clone(), Arc::clone(&shared));
        jobs.spawn("accept", async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&state);
                accepting.spawn("connection", async move {
                    let service = service_fn(move |request| Arc::clone(&state).answer(request));
                    let connection = hyper::server::conn::http1::Builder::new();
                    let _ = connection.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self {
            port,
            shared,
            _jobs: jobs,
        }
    }

    pub(crate) fn behave(&self, manner: Manner) {
        *self.shared.manner.lock().unwrap() = manner;
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }
}

type Answer = Result<Response<http_body_util::combinators::BoxBody<Bytes, std::io::Error>>, std::io::Error>;

impl Shared {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Answer {
        let manner = self.manner.lock().unwrap().clone();
        let authorization = request
            .headers()
            .get("authorization")
            .map(|value| value.to_str().unwrap().to_owned());
        self.seen.lock().unwrap().push(Seen {
            uri: request.uri().to_string(),
            authorization: authorization.clone(),
            token_in_arguments: is_in_proc("cmdline", &self.token),
            token_in_environment: is_in_proc("environ", &format!("BACKSPACE_GIT_TOKEN={}", self.token)),
        });
        if let Manner::Redirect(to) = &manner {
            let response = Response::builder().status(302);
            return Ok(response
                .header("location", format!("{to}{}", request.uri()))
                .body(full(""))
                .unwrap());
        }
        let user = format!("x-access-token:{}", self.token);
        let wanted = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(user));
        if authorization.as_deref() != Some(&wanted) {
            let response = Response::builder().status(401);
            return Ok(response
                .header("www-authenticate", "Basic realm=\"git\"")
                .body(full("no"))
                .unwrap());
        }
        match manner {
            Manner::Status(status) => Ok(Response::builder().status(status).body(full("because")).unwrap()),
            Manner::Stall => std::future::pending().await,
            Manner::Serve => self.backend(request, false).await,
            Manner::Cut => self.backend(request, true).await,
            Manner::Redirect(_) => unreachable!(),
        }
    }

    /// Answers with git's own server.
    async fn backend(&self, request: Request<Incoming>, cut: bool) -> Answer {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
        let answer = crate::git_backend::serve(&self.root, &head, &body).await?;
        let (answer_head, content) = answer.into_parts();
        let content = content.collect().await.map_err(std::io::Error::other)?.to_bytes();
        // A large push is announced by an empty request, which is let pass.
        if cut && head.method == "POST" && body.len() > 4 {
            let half = content.slice(..content.len() / 2);
            let frames = [Ok(hyper::body::Frame::data(half)), Err(std::io::Error::other("cut"))];
            let body = http_body_util::StreamBody::new(tokio_stream::iter(frames));
            return Ok(Response::from_parts(answer_head, body.boxed()));
        }
        let body = Full::new(content).map_err(|never| match never {}).boxed();
        Ok(Response::from_parts(answer_head, body))
    }
}

fn full(text: &'static str) -> http_body_util::combinators::BoxBody<Bytes, std::io::Error> {
    Full::new(Bytes::from_static(text.as_bytes()))
        .map_err(|never| match never {})
        .boxed()
}

/// Looks for a text in a file of every process; those that end meanwhile are passed over.
fn is_in_proc(file: &str, text: &str) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|entry| std::fs::read(entry.path().join(file)).ok())
        .any(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
}
