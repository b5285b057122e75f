//! A certificate authority of a test, and what it signs.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};

/// Signs certificates; its own is the trust of whoever has it.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A chain and its key, as PEM.
#[derive(Clone)]
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Signs for a DNS name or an address, and any URIs.
    pub fn sign(&self, name: &str, uris: &[&str]) -> Identity {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let uris = uris.iter().map(|&uri| SanType::URI(uri.try_into().unwrap()));
        params.subject_alt_names.extend(uris);
        let key = KeyPair::generate().unwrap();
        Identity {
            certificate: params.signed_by(&key, &self.0).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }
}

impl Identity {
    /// Writes `server.pem` and `server.key`, each in one step.
    pub fn write(&self, folder: &Path) -> [PathBuf; 2] {
        [("server.pem", &self.certificate), ("server.key", &self.key)].map(|(name, text)| {
            let (new, path) = (folder.join("new"), folder.join(name));
            std::fs::write(&new, text).unwrap();
            std::fs::rename(new, &path).unwrap();
            path
        })
    }
}
