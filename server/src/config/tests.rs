//! Which settings make a configuration, and that every fault is found at once.

use super::*;
use crate::api::tls::{ClientCertificates, TlsConfig};
use std::collections::BTreeMap;

fn config(pairs: &[(&str, &str)]) -> Result<Config, ConfigFaults> {
    let environment: BTreeMap<_, _> = pairs
        .iter()
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let flags = settings::command().get_matches_from(["backspace-server"]);
    Config::new(
        &Values::gather(&flags, &environment, &BTreeMap::new()),
        Some("/home/x/.local/share".into()),
    )
}

#[test]
fn defaults_are_complete() {
    let config = config(&[]).unwrap();
    assert_eq!(config.api.listen.to_string(), "127.0.0.1:8000");
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.command_timeout, Duration::from_secs(300));
    assert_eq!(
        config.data_folder,
        PathBuf::from("/home/x/.local/share/backspace-server")
    );
    assert_eq!(config.publication, PublicationMode::DraftPullRequest);
}

#[test]
fn all_faults_are_reported_together() {
    let faults = config(&[
        ("BACKSPACE_LISTEN", "nonsense"),
        ("MAX_CONCURRENT_JOBS", "0"),
        ("BACKSPACE_SANDBOX", "vm"),
        ("BACKSPACE_MAX_DURATION", "10"),
        ("BACKSPACE_ALLOW_LOCAL", "/no/such/folder"),
    ])
    .unwrap_err();
    assert_eq!(faults.0.len(), 5, "{faults}");
}

#[test]
fn a_public_address_needs_authentication() {
    let public = ("BACKSPACE_LISTEN", "0.0.0.0:8000");
    assert!(config(&[public]).unwrap_err().0[0].contains("BACKSPACE_TOKENS_FILE"));
    assert!(config(&[public, ("BACKSPACE_INSECURE_NO_AUTH", "1")]).is_ok());
    assert!(config(&[public, ("BACKSPACE_TOKENS_FILE", "/etc/backspace/tokens.toml")]).is_ok());
    let issuer = ("BACKSPACE_OIDC_ISSUER", "https://accounts.test");
    assert!(config(&[public, issuer, ("BACKSPACE_OIDC_AUDIENCE", "backspace")]).is_ok());
    assert_eq!(config(&[public, issuer]).unwrap_err().0.len(), 2);
}

#[test]
fn settings_of_tls_belong_together() {
    let [certificate, key] = [("BACKSPACE_TLS_CERTIFICATE", "a.pem"), ("BACKSPACE_TLS_KEY", "a.key")];
    let clients = ("BACKSPACE_TLS_CLIENT_CA", "ca.pem");
    let required = ("BACKSPACE_TLS_REQUIRE_CLIENT", "1");
    let tls = config(&[certificate, key, clients, required]).unwrap().api.tls;
    let expected = TlsConfig {
        certificate: "a.pem".into(),
        key: "a.key".into(),
        clients: ClientCertificates::Required("ca.pem".into()),
    };
    assert_eq!(tls, Some(expected));
    assert_eq!(config(&[]).unwrap().api.tls, None);
    for (wrong, faults) in [
        (&[certificate][..], 1),
        (&[clients], 1),
        (&[certificate, key, required], 1),
    ] {
        assert_eq!(config(wrong).unwrap_err().0.len(), faults, "{wrong:?}");
    }
}

#[test]
fn debug_means_debug_level_and_text() {
    let config = config(&[("DEBUG", "true"), ("BACKSPACE_LOG_FORMAT", "json")]).unwrap();
    assert_eq!(
        config.log,
        LogConfig {
            level: "debug".into(),
            format: LogFormat::Text
        }
    );
}
