//! What is read of certificates and what is refused at start.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};

use super::*;

/// A folder with an authority, and a chain and key made by it.
struct Files {
    folder: tempfile::TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Files {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let files = Self {
            folder: tempfile::tempdir().unwrap(),
            authority,
        };
        fs::write(files.path("ca.pem"), files.authority.pem()).unwrap();
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn issue(&self, name: &str) -> TlsConfig {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        let [pem, key_file] = ["pem", "key"].map(|kind| self.path(&format!("{name}.{kind}")));
        fs::write(&pem, certificate.pem()).unwrap();
        fs::write(&key_file, key.serialize_pem()).unwrap();
        TlsConfig {
            certificate: pem,
            key: key_file,
            clients: ClientCertificates::NotAsked,
        }
    }
}

#[test]
fn a_chain_with_its_key_is_taken_and_every_fault_of_others_is_told() {
    let files = Files::new();
    let good = files.issue("a.test");
    assert!(good.open().is_ok());
    let with_clients = TlsConfig {
        clients: ClientCertificates::Required(files.path("ca.pem")),
        ..good.clone()
    };
    assert!(with_clients.open().is_ok());

    let other = files.issue("b.test");
    let mixed = TlsConfig {
        key: other.key.clone(),
        ..good.clone()
    };
    assert_eq!(mixed.open().err().map(|faults| faults.len()), Some(1));
    fs::write(files.path("empty"), "").unwrap();
    let nothing = TlsConfig {
        certificate: files.path("empty"),
        key: files.path("missing"),
        clients: ClientCertificates::Optional(files.path("missing")),
    };
    assert_eq!(nothing.open().err().map(|faults| faults.len()), Some(3));
}

#[test]
fn names_are_dns_and_uri_names_and_not_the_common_name() {
    let files = Files::new();
    let mut params = CertificateParams::new(vec!["ci.test".to_owned()]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, "admin");
    params
        .subject_alt_names
        .push(SanType::URI("spiffe://corp/ci".try_into().unwrap()));
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &files.authority).unwrap();
    let expected = CertificateNames(vec!["ci.test".into(), "spiffe://corp/ci".into()]);
    assert_eq!(CertificateNames::of_leaf(certificate.der()), Some(expected));
}
