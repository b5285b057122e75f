//! TLS of the port, by the SDK's client: trust, client certificates, and a certificate that is replaced.

use std::sync::Arc;

use backspace_sdk::{Client, ClientIdentity, Options, v1};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tonic::Code;

use super::authority::{Authority, Identity};
use crate::server::TestServer;
use crate::site::Site;

fn client(server: &TestServer, trusted: &Authority, identity: Option<Identity>) -> Client {
    let options = Options {
        ca_certificates_pem: Some(trusted.pem().into_bytes()),
        identity: identity.map(|Identity { certificate, key }| ClientIdentity {
            certificates_pem: certificate.into_bytes(),
            key_pem: key.into_bytes(),
        }),
        ..Options::default()
    };
    Client::connect_lazy(&format!("https://{}", server.authority()), options).unwrap()
}

async fn code(client: &Client) -> Code {
    match client.raw().get_server_info(v1::GetServerInfoRequest {}).await {
        Ok(_) => Code::Ok,
        Err(status) => status.code(),
    }
}

/// Whether a connection was made, whatever was then answered.
async fn is_reached(client: &Client) -> bool {
    matches!(code(client).await, Code::Ok | Code::Unauthenticated)
}

async fn start(site: &Site, flags: &[(&str, &str)]) -> TestServer {
    let [certificate, key] = ["server.pem", "server.key"].map(|name| site.path(name).to_str().unwrap().to_owned());
    let launch = site
        .serve()
        .flag("--tls-certificate", &certificate)
        .flag("--tls-key", &key);
    flags
        .iter()
        .fold(launch, |launch, (name, value)| launch.flag(name, value))
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_a_certificate_is_reached_by_those_who_trust_it_and_not_in_the_clear() {
    let (site, authority) = (Site::new(), Authority::new());
    authority.sign("127.0.0.1", &[]).write(site.root());
    let server = start(&site, &[]).await;
    assert_eq!(code(&client(&server, &authority, None)).await, Code::Ok);
    assert!(!is_reached(&client(&server, &Authority::new(), None)).await);
    assert!(!is_reached(&server.client()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_replaced_is_shown_to_new_connections_and_old_ones_go_on() {
    let (site, old, new) = (Site::new(), Authority::new(), Authority::new());
    old.sign("127.0.0.1", &[]).write(site.root());
    let mut server = start(&site, &[]).await;
    let before = client(&server, &old, None);
    assert_eq!(code(&before).await, Code::Ok);
    new.sign("127.0.0.1", &[]).write(site.root());
    // Files are looked at when a connection comes, so one has to.
    let seen = async { while code(&client(&server, &new, None)).await != Code::Ok {} };
    tokio::time::timeout(crate::event_log::PATIENCE, seen)
        .await
        .expect("the new certificate");
    assert_eq!(code(&before).await, Code::Ok);
    server.log_line("changed and was read again").await;

    std::fs::write(site.path("server.pem"), "no certificate").unwrap();
    let said = async {
        while !server.log().iter().any(|line| line.contains("can't be used")) {
            assert_eq!(code(&client(&server, &new, None)).await, Code::Ok);
        }
    };
    tokio::time::timeout(crate::event_log::PATIENCE, said)
        .await
        .expect("a line about the fault");
    assert_eq!(code(&client(&server, &new, None)).await, Code::Ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_names_its_principal_and_others_are_nobody() {
    let (site, authority) = (Site::new(), Authority::new());
    authority.sign("127.0.0.1", &[]).write(site.root());
    std::fs::write(site.path("ca.pem"), authority.pem()).unwrap();
    let tokens = site.path("tokens.toml");
    std::fs::write(
        &tokens,
        "[[principal]]\nname = \"ci\"\ncertificate_names = [\"spiffe://corp/ci\"]\n",
    )
    .unwrap();
    let authorities = site.path("ca.pem");
    let flags = [
        ("--tls-client-ca", authorities.to_str().unwrap()),
        ("--tokens-file", tokens.to_str().unwrap()),
    ];
    let server = start(&site, &flags).await;
    let known = authority.sign("build.test", &["spiffe://corp/ci"]);
    assert_eq!(code(&client(&server, &authority, Some(known))).await, Code::Ok);
    let other = authority.sign("other.test", &[]);
    assert_eq!(
        code(&client(&server, &authority, Some(other))).await,
        Code::Unauthenticated
    );
    assert_eq!(code(&client(&server, &authority, None)).await, Code::Unauthenticated);
    let forged = Authority::new().sign("build.test", &["spiffe://corp/ci"]);
    assert!(!is_reached(&client(&server, &authority, Some(forged))).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_required_certificate_there_is_no_connection() {
    let (site, authority) = (Site::new(), Authority::new());
    authority.sign("127.0.0.1", &[]).write(site.root());
    std::fs::write(site.path("ca.pem"), authority.pem()).unwrap();
    let tokens = site.path("tokens.toml");
    std::fs::write(
        &tokens,
        "[[principal]]\nname = \"ci\"\ncertificate_names = [\"ci.test\"]\n",
    )
    .unwrap();
    let authorities = site.path("ca.pem");
    let (certificate, key) = (site.path("server.pem"), site.path("server.key"));
    let launch = site
        .serve()
        .flag("--tls-certificate", certificate.to_str().unwrap())
        .flag("--tls-key", key.to_str().unwrap())
        .flag("--tls-client-ca", authorities.to_str().unwrap())
        .flag("--tokens-file", tokens.to_str().unwrap())
        .switch("--tls-require-client");
    let server = launch.start().await;
    let known = authority.sign("ci.test", &[]);
    assert_eq!(code(&client(&server, &authority, Some(known))).await, Code::Ok);
    assert!(!is_reached(&client(&server, &authority, None)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_protocols_are_offered_and_a_handshake_that_does_not_go_on_is_dropped() {
    let (site, authority) = (Site::new(), Authority::new());
    authority.sign("127.0.0.1", &[]).write(site.root());
    let server = start(&site, &[]).await;
    for protocol in [&b"h2"[..], b"http/1.1"] {
        let stream = TcpStream::connect(server.authority()).await.unwrap();
        let connector = connector(&authority, protocol);
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let stream = connector.connect(name, stream).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol));
    }
    // A client that begins and says no more is let go after the limit of 5 s, not before.
    let mut silent = TcpStream::connect(server.authority()).await.unwrap();
    let begun = std::time::Instant::now();
    tokio::io::AsyncWriteExt::write_all(&mut silent, &[0x16, 0x03, 0x01])
        .await
        .unwrap();
    let mut nothing = [0; 16];
    let read = tokio::io::AsyncReadExt::read(&mut silent, &mut nothing);
    let read = tokio::time::timeout(crate::event_log::PATIENCE, read)
        .await
        .expect("it is dropped");
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    assert!(begun.elapsed().as_secs() >= 4, "{:?}", begun.elapsed());
}

fn connector(authority: &Authority, protocol: &[u8]) -> tokio_rustls::TlsConnector {
    use rustls::pki_types::pem::PemObject as _;
    let mut roots = rustls::RootCertStore::empty();
    let pem = rustls::pki_types::CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap();
    roots.add(pem).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = config.unwrap().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    Arc::new(config).into()
}
