//! The whole edge over real sockets: what it decides before a Task is spoken of, over gRPC and HTTP.

use std::net::SocketAddr;
use std::sync::Arc;

use backspace_sdk::v1;
use backspace_sdk::v1::agent_service_client::AgentServiceClient;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::*;
use crate::api::auth::hash_token;
use crate::forge::git::{GitConfig, GitStore};
use crate::forge::policy::{Policy, PolicyConfig};
use crate::model::catalog::{Models, ModelsConfig};
use crate::orchestrator::analyse::code_map::Outliner;
use crate::orchestrator::{OrchestratorConfig, Parts, ServerInfo};
use crate::sandbox::local::{LocalConfig, LocalProvider};
use crate::secret::Redactor;
use crate::store::feed::Feed;
use crate::store::sqlite::SqliteStore;
use crate::task::id::ServerId;
use crate::task::spec::SpecPolicy;

mod fields;
mod grpc;
mod grpc_web;
mod http;

/// What ends a test that would otherwise hang.
const PATIENCE: Duration = Duration::from_secs(20);

struct Edge {
    address: SocketAddr,
    drain: CancellationToken,
    serving: JoinHandle<Result<(), ServeError>>,
    _tokens: tempfile::TempDir,
    _folder: tempfile::TempDir,
}

/// An orchestrator to which no Task is given here: real parts, no model, and a sandbox that nobody makes.
async fn orchestrator(folder: &std::path::Path, jobs: &Jobs) -> Orchestrator {
    let redactor = Arc::new(Redactor::new([]));
    let local = LocalConfig::new(folder.join("sandboxes"), folder.join("no-supervisor"));
    Orchestrator::new(Parts {
        store: Arc::new(SqliteStore::open(&folder.join("store"), jobs.clone()).unwrap()),
        feed: Feed::new(),
        sandboxes: Arc::new(LocalProvider::new(local, jobs.clone()).unwrap()),
        forges: Vec::new(),
        git: GitStore::open(GitConfig::new(folder.join("git"))).await.unwrap(),
        models: Models::new(ModelsConfig::default()).unwrap(),
        outliner: Outliner::default(),
        diff_policy: Policy::new(PolicyConfig::default(), Arc::clone(&redactor)).unwrap(),
        redactor,
        policy: SpecPolicy::default(),
        info: ServerInfo::default(),
        config: OrchestratorConfig::default(),
        server: ServerId::random(),
        jobs: jobs.clone(),
    })
}

impl Edge {
    async fn start(config: ApiConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (drain, jobs) = (CancellationToken::new(), Jobs::new());
        let folder = tempfile::tempdir().unwrap();
        let orchestrator = orchestrator(folder.path(), &jobs).await;
        let serving = jobs
            .clone()
            .spawn("edge", serve(listener, orchestrator, config, jobs, drain.clone()));
        Self {
            address,
            drain,
            serving,
            _tokens: tempfile::tempdir().unwrap(),
            _folder: folder,
        }
    }

    /// Starts a server that knows one caller, by the token `secret`.
    async fn start_with_token(mut config: ApiConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        let text = format!(
            "[[principal]]\nname = \"ann\"\ntoken_sha256 = [\"{}\"]\n",
            hash_token("secret")
        );
        std::fs::write(&path, text).unwrap();
        config.auth.token_file = Some(path);
        // The file is read before the first connection is taken, so a first answer means that it may go.
        let mut edge = Self::start(config).await;
        edge._tokens = folder;
        edge
    }

    async fn channel(&self) -> Channel {
        let uri = format!("http://{}", self.address);
        Channel::from_shared(uri).unwrap().connect().await.unwrap()
    }

    async fn client(&self) -> AgentServiceClient<Channel> {
        AgentServiceClient::new(self.channel().await)
    }

    /// Sends an HTTP/1.1 request and returns the head and the body of the answer.
    async fn http(&self, request_line: &str, headers: &str, body: &str) -> (String, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let length = body.len();
        let host = if headers.contains("host:") {
            ""
        } else {
            "host: localhost\r\n"
        };
        let request = format!(
            "{request_line} HTTP/1.1\r\nconnection: close\r\n{host}{headers}content-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        let _ = read.expect("the server should have closed the connection");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        (head.to_ascii_lowercase(), body.to_owned())
    }
}

fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    let info = details.error_info().expect("every failed call has ErrorInfo");
    assert_eq!(info.domain, "backspace");
    info.reason.clone()
}

#[tokio::test]
async fn a_drain_ends_the_server() {
    let edge = Edge::start(ApiConfig::default()).await;
    edge.client()
        .await
        .get_server_info(v1::GetServerInfoRequest {})
        .await
        .unwrap();
    edge.drain.cancel();
    tokio::time::timeout(PATIENCE, edge.serving)
        .await
        .expect("it should end")
        .unwrap()
        .unwrap();
}

#[test]
fn settings_are_read_with_defaults_and_all_their_faults_are_found() {
    let config: ApiConfig = toml::from_str(
        "listen = \"0.0.0.0:1\"\n[connections]\nmax_streams = 0\nwrite_stall_seconds = 0.5\n\
         [origin]\nallowed_origins = [\"*\"]\n",
    )
    .unwrap();
    assert_eq!(config.connections.write_stall, Duration::from_millis(500));
    assert_eq!(config.connections.max_connections, 1024);
    assert_eq!(config.validate().len(), 3);
    assert_eq!(ApiConfig::default().validate(), Vec::<String>::new());
    assert!(toml::from_str::<ApiConfig>("nope = 1").is_err());
}
