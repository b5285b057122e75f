//! Which settings make a configuration, and that every fault is found at once.

use super::*;
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
    assert_eq!(config.listen.to_string(), "127.0.0.1:8000");
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
