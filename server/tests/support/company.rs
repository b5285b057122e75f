//! A company's network: TLS by an authority of its own before a plain server, and a proxy on the way there.

#![allow(dead_code, reason = "each test program uses its own part of this support")]

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use backspace_server::jobs::Jobs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Returns the file with the certificate of the company's authority.
pub(crate) fn authority() -> PathBuf {
    data("ca.pem")
}

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/tls")
        .join(name)
}

/// Speaks TLS before a server on loopback.
pub(crate) struct TlsFront {
    pub(crate) port: u16,
    /// Connections whose handshake went well.
    trusted: Arc<Mutex<usize>>,
    _jobs: Jobs,
}

impl TlsFront {
    pub(crate) async fn start(behind: u16) -> Self {
        let certificate = CertificateDer::from_pem_file(data("server.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(data("server.key")).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let trusted = Arc::new(Mutex::new(0));
        let jobs = Jobs::new();
        let (accepting, count) = (jobs.clone(), Arc::clone(&trusted));
        jobs.spawn("TLS", async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, count) = (acceptor.clone(), Arc::clone(&count));
                accepting.spawn("connection over TLS", async move {
                    // A client that does not trust the certificate ends the handshake.
                    let Ok(mut stream) = acceptor.accept(socket).await else {
                        return;
                    };
                    *count.lock().unwrap() += 1;
                    let mut server = TcpStream::connect(("127.0.0.1", behind)).await.unwrap();
                    let _ended = tokio::io::copy_bidirectional(&mut stream, &mut server).await;
                });
            }
        });
        Self {
            port,
            trusted,
            _jobs: jobs,
        }
    }

    pub(crate) fn trusted(&self) -> usize {
        *self.trusted.lock().unwrap()
    }
}

/// A proxy that connects for whoever asks, and keeps what it was shown.
pub(crate) struct ConnectProxy {
    port: u16,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
    _jobs: Jobs,
}

impl ConnectProxy {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let jobs = Jobs::new();
        let (accepting, kept) = (jobs.clone(), Arc::clone(&seen));
        jobs.spawn("proxy", async move {
            while let Ok((socket, _)) = listener.accept().await {
                accepting.spawn("proxied connection", pass(socket, Arc::clone(&kept)));
            }
        });
        Self {
            port,
            seen,
            _jobs: jobs,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Returns all that each connection sent, the request to connect first.
    pub(crate) fn seen(&self) -> Vec<Vec<u8>> {
        self.seen.lock().unwrap().clone()
    }
}

async fn pass(mut client: TcpStream, kept: Arc<Mutex<Vec<Vec<u8>>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = client.read_u8().await else { return };
        head.push(byte);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let index = {
        let mut kept = kept.lock().unwrap();
        kept.push(head);
        kept.len() - 1
    };
    let target = text.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next());
    let Some(target) = target else { return };
    let mut server = TcpStream::connect(target).await.unwrap();
    client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await.unwrap();
    let (mut from_server, mut to_server) = server.split();
    let (mut from_client, mut to_client) = client.split();
    let up = async {
        let mut bytes = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = from_client.read(&mut bytes).await {
            kept.lock().unwrap()[index].extend_from_slice(&bytes[..count]);
            if to_server.write_all(&bytes[..count]).await.is_err() {
                break;
            }
        }
        let _closed = to_server.shutdown().await;
    };
    let down = async {
        let _ended = tokio::io::copy(&mut from_server, &mut to_client).await;
        let _closed = to_client.shutdown().await;
    };
    tokio::join!(up, down);
}
