//! A GitHub on loopback, as an Enterprise Server answers: its API below `/api`, its git beside it.
//!
//! It has state (repositories, refs, tokens, pull requests, issues) and refuses what GitHub refuses; the
//! answers are the examples of GitHub's own description, with what the state says put in. Branches are
//! those of real bare repositories, which real git fetches from and pushes to. It can fail at any
//! call, before or after the call took effect. What was exchanged is kept, and written to the folder in
//! `BACKSPACE_GITHUB_TRANSCRIPTS`, where it is compared with the description.

#![allow(dead_code, reason = "each test program uses its own part of this support")]

#[path = "fake_github/answers.rs"]
mod answers;
#[path = "fake_github/apps.rs"]
mod apps;
#[path = "fake_github/dispatch.rs"]
mod dispatch;
#[path = "fake_github/forks.rs"]
mod forks;
#[path = "fake_github/issues.rs"]
mod issues;
#[path = "fake_github/pulls.rs"]
mod pulls;
#[path = "fake_github/state.rs"]
pub(crate) mod state;
#[path = "fake_github/trouble.rs"]
mod trouble;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

use backspace_server::jobs::Jobs;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::sync::watch;

pub(crate) use self::answers::Answer;
pub(crate) use self::state::{Comment, Issue, Rights, State, Thread};
pub(crate) use self::trouble::{Manner, Trouble};

/// A call of the API as it came, and what was answered.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) method: String,
    /// With its query, below the API's root.
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    pub(crate) body: Value,
    pub(crate) status: u16,
    pub(crate) answer: Value,
    pub(crate) at: std::time::Instant,
}

impl Exchange {
    /// Returns method and path, without the query.
    pub(crate) fn what(&self) -> String {
        format!("{} {}", self.method, self.path.split('?').next().unwrap())
    }
}

/// A running GitHub.
pub(crate) struct FakeGitHub {
    pub(crate) port: u16,
    pub(crate) shared: Arc<Shared>,
    jobs: Jobs,
}

pub(crate) struct Shared {
    /// Folder of the bare repositories, `owner/name.git` each.
    pub(crate) root: PathBuf,
    /// How it is called from outside, where not by its own address.
    pub(crate) origin: OnceLock<String>,
    pub(crate) port: u16,
    pub(crate) state: Mutex<State>,
    pub(crate) troubles: Mutex<Vec<Trouble>>,
    pub(crate) exchanges: Mutex<Vec<Exchange>>,
    /// Headers `authorization` that came with requests for git.
    pub(crate) git_authorizations: Mutex<Vec<(String, Option<String>)>>,
    /// Headers `user-agent`, of the API's requests and of git's.
    pub(crate) user_agents: Mutex<Vec<Option<String>>>,
    pub(crate) count: watch::Sender<usize>,
}

impl FakeGitHub {
    pub(crate) async fn start(root: PathBuf) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            root,
            origin: OnceLock::new(),
            port,
            state: Mutex::default(),
            troubles: Mutex::default(),
            exchanges: Mutex::default(),
            git_authorizations: Mutex::default(),
            user_agents: Mutex::default(),
            count: watch::channel(0).0,
        });
        let jobs = Jobs::new();
        let (accepting, state) = (jobs.clone(), Arc::clone(&shared));
        jobs.spawn("accept", async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&state);
                accepting.spawn("connection", async move {
                    let service = service_fn(move |request| answer(Arc::clone(&state), request));
                    let connection = hyper::server::conn::http1::Builder::new();
                    let _ = connection.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { port, shared, jobs }
    }

    /// Returns the address of its pages and its git.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Returns the address of a repository as callers write it.
    pub(crate) fn address(&self, name: &str) -> String {
        format!("https://127.0.0.1:{}/{name}", self.port)
    }

    /// Lets the addresses of its pages begin so.
    pub(crate) fn known_as(&self, origin: &str) {
        self.shared.origin.set(origin.into()).unwrap();
    }

    /// Changes the state.
    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.shared.state.lock().unwrap())
    }

    /// Lets calls to come fail.
    pub(crate) fn trouble(&self, trouble: Trouble) {
        self.shared.troubles.lock().unwrap().push(trouble);
    }

    pub(crate) fn exchanges(&self) -> Vec<Exchange> {
        self.shared.exchanges.lock().unwrap().clone()
    }

    /// Returns how often something was called, as `POST /repos/o/n/pulls`.
    pub(crate) fn count(&self, what: &str) -> usize {
        let exchanges = self.shared.exchanges.lock().unwrap();
        exchanges.iter().filter(|exchange| exchange.what() == what).count()
    }

    /// Waits until something was called so often.
    pub(crate) async fn called(&self, what: &str, times: usize) {
        let mut count = self.shared.count.subscribe();
        while self.count(what) < times {
            count.changed().await.unwrap();
        }
    }

    /// Returns the pull requests of a repository, as the API shows them.
    pub(crate) fn pulls(&self, name: &str) -> Vec<Value> {
        self.with(|state| state.repository(name).unwrap().pulls.clone())
    }
}

impl Drop for FakeGitHub {
    fn drop(&mut self) {
        let Some(folder) = std::env::var_os("BACKSPACE_GITHUB_TRANSCRIPTS") else {
            return;
        };
        let line = |exchange: Exchange| {
            serde_json::json!({
                "method": exchange.method, "path": exchange.path, "body": exchange.body,
                "status": exchange.status, "answer": exchange.answer,
            })
            .to_string()
        };
        let lines: Vec<String> = self.exchanges().into_iter().map(line).collect();
        let name = format!("{}-{}.jsonl", std::process::id(), self.port);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(PathBuf::from(folder).join(name), lines.join("\n")).unwrap();
    }
}

type Reply = std::io::Result<Response<Full<Bytes>>>;

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Reply {
    let (head, body) = request.into_parts();
    let agent = head.headers.get("user-agent");
    let agent = agent.map(|value| value.to_str().unwrap().to_owned());
    shared.user_agents.lock().unwrap().push(agent);
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    match head.uri.path().strip_prefix("/api/") {
        Some(_) => shared.api(&head, &body).await,
        None => shared.git(&head, &body).await,
    }
}

impl Shared {
    /// Returns what the addresses of its pages begin with.
    fn origin(&self) -> String {
        let own = || format!("http://127.0.0.1:{}", self.port);
        self.origin.get().cloned().unwrap_or_else(own)
    }

    async fn git(&self, head: &http::request::Parts, body: &[u8]) -> Reply {
        let plain = |status: u16, text: &'static str| {
            let response = Response::builder().status(status);
            let response = response.header("www-authenticate", "Basic realm=\"GitHub\"");
            Ok(response.body(Full::new(Bytes::from_static(text.as_bytes()))).unwrap())
        };
        let authorization = head
            .headers
            .get("authorization")
            .map(|value| value.to_str().unwrap().to_owned());
        let path = head.uri.path().trim_start_matches('/').to_owned();
        self.git_authorizations
            .lock()
            .unwrap()
            .push((path.clone(), authorization.clone()));
        if let Some(manner) = trouble::take(&self.troubles, "GIT", &head.uri.to_string()) {
            return match manner {
                Manner::Answer(answer) => Ok(answer.response()),
                Manner::RedirectTo(to) => {
                    let response = Response::builder()
                        .status(302)
                        .header("location", format!("{to}{}", head.uri));
                    Ok(response.body(Full::default()).unwrap())
                }
                Manner::CutBefore | Manner::CutAfter => Err(std::io::Error::other("cut")),
                Manner::Hang => std::future::pending().await,
            };
        }
        let mut parts = path.splitn(3, '/');
        let (Some(owner), Some(name)) = (parts.next(), parts.next()) else {
            return plain(404, "Not Found");
        };
        let name = format!("{owner}/{}", name.trim_end_matches(".git"));
        let is_push = head.uri.to_string().contains("git-receive-pack");
        let token = authorization.as_deref().and_then(state::basic_token);
        let allowed = {
            let state = self.state.lock().unwrap();
            let rights = token.as_deref().map(|token| state.rights(token, &name));
            match (state.repository(&name), rights) {
                (_, Some(None)) => Err((401, "Invalid username or token.")),
                (None, None) => Err((401, "Authentication required")),
                (None, Some(_)) => Err((404, "Repository not found.")),
                (Some(repository), None) if repository.private || is_push => Err((401, "Authentication required")),
                (Some(_), None) => Ok(()),
                (Some(_), Some(Some(rights))) if !rights.read => Err((404, "Repository not found.")),
                (Some(_), Some(Some(rights))) if is_push && !rights.push => {
                    Err((403, "Write access to repository not granted."))
                }
                (Some(_), Some(Some(_))) => Ok(()),
            }
        };
        match allowed {
            Err((status, text)) => plain(status, text),
            Ok(()) => crate::git_backend::serve(&self.root, head, body).await,
        }
    }
}
