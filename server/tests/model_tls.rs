//! Certificates of a company's own: a provider whose authority only this machine knows.
//!
//! The system's trust store is read once for a process, so each case runs in a process of its own.

#![cfg(test)]

mod support {
    pub(crate) mod asking;
    pub(crate) mod fake_model;
}

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use backspace_server::jobs::Jobs;
use backspace_server::model::ModelError;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use support::asking::{ask_once, model};
use support::fake_model::Reply;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const ADDRESS: &str = "BACKSPACE_TEST_TLS_ADDRESS";
const EXPECTED: &str = "BACKSPACE_TEST_TLS_EXPECTED";

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/tls")
        .join(name)
}

/// Serves one answer over TLS to each connection; returns the address.
async fn serve(jobs: &Jobs) -> String {
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
    let address = listener.local_addr().unwrap();
    jobs.spawn("provider over TLS", async move {
        while let Ok((socket, _)) = listener.accept().await {
            // A client that does not trust the certificate ends the handshake.
            let Ok(mut stream) = acceptor.accept(socket).await else {
                continue;
            };
            let mut request = vec![0; 64 * 1024];
            let _bytes = stream.read(&mut request).await;
            let body = Reply::anthropic_text("over TLS").bytes();
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            let _sent = stream.write_all(&[head.as_bytes(), &body].concat()).await;
            let _closed = stream.shutdown().await;
        }
    });
    format!("https://{address}")
}

/// Runs in a process of its own, started by the tests below.
#[tokio::test]
async fn child_with_a_trust_store() {
    let (Ok(address), Ok(expected)) = (std::env::var(ADDRESS), std::env::var(EXPECTED)) else {
        return;
    };
    match ask_once(&model("anthropic", &address, "")).await {
        Ok(answer) => assert_eq!(answer.text, expected),
        Err(error) => {
            assert!(matches!(error, ModelError::Transport { .. }), "{error:?}");
            assert!(error.to_string().contains(&expected), "{error}");
        }
    }
}

async fn ask_in_a_process(address: &str, expected: &str, variables: &[(&str, PathBuf)]) {
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
    child
        .args(["--exact", "child_with_a_trust_store"])
        .env(ADDRESS, address)
        .env(EXPECTED, expected)
        .env_remove("SSL_CERT_FILE")
        .env_remove("SSL_CERT_DIR")
        .envs(variables.iter().map(|(name, value)| (*name, value)))
        .stdout(Stdio::piped());
    let output = child.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
async fn an_authority_of_ssl_cert_file_is_trusted_and_others_are_not() {
    let jobs = Jobs::new();
    let address = serve(&jobs).await;
    ask_in_a_process(&address, "over TLS", &[("SSL_CERT_FILE", data("ca.pem"))]).await;
    ask_in_a_process(&address, "certificate", &[]).await;
}
