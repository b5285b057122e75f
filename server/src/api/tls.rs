//! TLS of the port: certificate, key, and the authorities whose client certificates are taken.
//!
//! All three files are read again when they change; connections that are open go on as they were. A
//! client is known by the DNS and URI names in its certificate and never by its common name, which no
//! authority promises to have checked. Lists of what an authority has revoked stand in the file of the
//! authorities, so that there is no second file to forget; an authority without a list revokes nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConnection};
use serde::Deserialize;

use crate::api::reloaded::Reloaded;

/// Settings of TLS.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM file with the certificate chain, leaf first.
    pub certificate: PathBuf,
    /// PEM file with its key.
    pub key: PathBuf,
    /// Client certificates; none are asked for by default.
    #[serde(default)]
    pub clients: ClientCertificates,
}

/// Whether clients show a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ClientCertificates {
    /// None is asked for.
    #[default]
    NotAsked,
    /// One is taken of these authorities (a PEM file, with their revocation lists); who has none needs a token.
    Optional(PathBuf),
    /// Without one of these authorities no connection is made.
    Required(PathBuf),
}

/// The names in a client's certificate, which an authority of ours has signed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CertificateNames(pub(crate) Vec<String>);

/// The authorities of clients, and what they have revoked.
struct Trusted {
    roots: RootCertStore,
    revoked: Vec<CertificateRevocationListDer<'static>>,
}

/// What new connections are made with.
pub(crate) struct TlsSource(Reloaded<ServerConfig>);

impl TlsConfig {
    /// Reads the files; every fault is returned at once.
    pub(crate) fn open(&self) -> Result<TlsSource, Vec<String>> {
        let config = self.clone();
        let mut files = vec![self.certificate.clone(), self.key.clone()];
        files.extend(self.clients.authorities().map(Path::to_path_buf));
        Reloaded::open("the certificate of this server", files, move || config.read()).map(TlsSource)
    }

    fn read(&self) -> Result<ServerConfig, Vec<String>> {
        let chain = certificates(&self.certificate);
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| format!("{}: no private key in PEM: {error}", self.key.display()));
        let trusted = self.clients.authorities().map(Trusted::read).transpose();
        match (chain, key, trusted) {
            (Ok(chain), Ok(key), Ok(trusted)) => self.build(chain, key, trusted).map_err(|error| {
                let (certificate, key) = (self.certificate.display(), self.key.display());
                vec![format!("{certificate} with {key}: {error}")]
            }),
            (chain, key, trusted) => Err([chain.err(), key.err(), trusted.err()].into_iter().flatten().collect()),
        }
    }

    fn build(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        trusted: Option<Trusted>,
    ) -> Result<ServerConfig, rustls::Error> {
        let provider = Arc::new(default_provider());
        let builder =
            ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
        let builder = match trusted {
            None => builder.with_no_client_auth(),
            Some(Trusted { roots, revoked }) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .with_crls(revoked)
                    .allow_unknown_revocation_status();
                let verifier = match self.clients {
                    ClientCertificates::Required(_) => verifier,
                    ClientCertificates::Optional(_) | ClientCertificates::NotAsked => verifier.allow_unauthenticated(),
                };
                let verifier = verifier
                    .build()
                    .map_err(|error| rustls::Error::General(error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

impl ClientCertificates {
    /// Returns the file of authorities.
    pub(crate) fn authorities(&self) -> Option<&Path> {
        match self {
            Self::NotAsked => None,
            Self::Optional(path) | Self::Required(path) => Some(path),
        }
    }
}

impl TlsSource {
    /// Returns the configuration for a new connection.
    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        self.0.value()
    }
}

impl CertificateNames {
    /// Returns the names of a connection's client, `None` when it showed no certificate.
    pub(crate) fn of(connection: &ServerConnection) -> Option<Self> {
        Self::of_leaf(connection.peer_certificates()?.first()?)
    }

    fn of_leaf(leaf: &CertificateDer<'_>) -> Option<Self> {
        let leaf = webpki::EndEntityCert::try_from(leaf).ok()?;
        let names = leaf.valid_dns_names().chain(leaf.valid_uri_names());
        Some(Self(names.map(str::to_owned).collect()))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let unreadable = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let text = fs::read(path).map_err(|error| unreadable(&error))?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err(unreadable(&"no certificate in PEM")),
        Ok(chain) => Ok(chain),
        Err(error) => Err(unreadable(&error)),
    }
}

impl Trusted {
    fn read(path: &Path) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(path)? {
            let added = roots.add(certificate);
            added.map_err(|error| format!("{}: not an authority's certificate: {error}", path.display()))?;
        }
        let unreadable = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let text = fs::read(path).map_err(|error| unreadable(&error))?;
        let revoked: Result<_, _> = CertificateRevocationListDer::pem_slice_iter(&text).collect();
        let revoked = revoked.map_err(|error| unreadable(&error))?;
        Ok(Self { roots, revoked })
    }
}

#[cfg(test)]
mod tests;
