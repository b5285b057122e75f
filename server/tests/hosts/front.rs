//! The listener: TLS, and the host that was asked for decides who answers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use backspace_server::jobs::Jobs;
use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Who answers.
pub struct Front {
    pub hub: String,
    pub model: String,
    pub pages: PathBuf,
}

type Answer = Response<Either<Incoming, Full<Bytes>>>;

/// Returns the settings of TLS: HTTP/1.1 only, as the servers behind it speak.
pub fn settings(certificate: &Path, key: &Path) -> std::io::Result<TlsAcceptor> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(certificate)
        .map_err(std::io::Error::other)?
        .collect();
    let key = PrivateKeyDer::from_pem_file(key).map_err(std::io::Error::other)?;
    let settings = rustls::ServerConfig::builder().with_no_client_auth();
    let mut settings = settings
        .with_single_cert(chain.map_err(std::io::Error::other)?, key)
        .map_err(std::io::Error::other)?;
    settings.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(settings)))
}

impl Front {
    /// Serves until the process ends.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, tls: TlsAcceptor) -> std::io::Result<()> {
        let jobs = Jobs::new();
        loop {
            let (stream, _) = listener.accept().await?;
            let (front, tls) = (Arc::clone(&self), tls.clone());
            jobs.spawn("connection", async move {
                let Ok(stream) = tls.accept(stream).await else {
                    return;
                };
                let service = service_fn(move |request| {
                    let front = Arc::clone(&front);
                    async move { front.answer(request).await }
                });
                let connection = hyper::server::conn::http1::Builder::new();
                let _ended = connection.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    }

    async fn answer(&self, mut request: Request<Incoming>) -> std::io::Result<Answer> {
        let host = request.headers().get("host").and_then(|host| host.to_str().ok());
        let host = host.unwrap_or_default().to_owned();
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str())
            .to_owned();
        eprintln!("{} https://{host}{path}", request.method());
        let to = match host.as_str() {
            "github.com" => format!("{}{path}", self.hub),
            // As an Enterprise Server has them, which is what answers.
            "api.github.com" if path == "/graphql" => format!("{}/api/graphql", self.hub),
            "api.github.com" => format!("{}/api/v3{path}", self.hub),
            "api.anthropic.com" => format!("{}{path}", self.model),
            other => return Ok(self.page(other)),
        };
        *request.uri_mut() = to.parse().map_err(std::io::Error::other)?;
        let client = Client::builder(TokioExecutor::new()).build_http::<Incoming>();
        let response = client.request(request).await.map_err(std::io::Error::other)?;
        Ok(response.map(Either::Left))
    }

    fn page(&self, host: &str) -> Answer {
        // A host is a name; no path can be in it.
        let page = host.split('/').next().map(|name| std::fs::read(self.pages.join(name)));
        let (status, body) = match page {
            Some(Ok(body)) => (200, body),
            _ => (404, b"no such host here\n".to_vec()),
        };
        let mut response = Response::new(Either::Right(Full::new(Bytes::from(body))));
        *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
        response
    }
}
