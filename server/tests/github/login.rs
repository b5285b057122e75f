//! A GitHub App: a token for one repository and what is done with it, asked for anew in time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use backspace_server::forge::github::{GitHubCredentials, GitHubForge};
use backspace_server::forge::{Access, Forge as _, ForgeError};
use backspace_server::secret::Secret;
use backspace_server::task::id::TaskId;
use backspace_server::task::spec::Revision;
use serde_json::json;

use crate::fake_github::state::App;
use crate::fake_github::{Issue, Manner, Trouble};
use crate::fixture::main_branch;
use crate::site::Site;

/// The key of no App: made for these tests.
pub(crate) const KEY: &str = include_str!("../support/fake_github/app_key.pem");

fn install(site: &Site, permissions: &[(&str, &str)]) {
    let permissions = permissions
        .iter()
        .map(|&(name, level)| (name.to_owned(), level.to_owned()));
    let permissions: BTreeMap<_, _> = permissions.collect();
    site.hub.with(|state| {
        state.app = Some(App {
            id: 42,
            installation: 4242,
            repositories: vec!["octo/hello".into()],
            permissions,
            token_life: Duration::from_secs(3600),
        });
    });
}

fn forge(site: &Site) -> GitHubForge {
    let credentials = GitHubCredentials::App {
        id: 42,
        key: Secret::new(KEY),
    };
    GitHubForge::open(site.config(credentials)).unwrap()
}

/// Ends every token, which the forge is not told.
fn revoke(site: &Site) {
    site.hub.with(|state| {
        for token in state.tokens.values_mut() {
            token.expires = Some(SystemTime::now());
        }
    });
}

const ALL: &[(&str, &str)] = &[
    ("contents", "write"),
    ("pull_requests", "write"),
    ("issues", "write"),
    ("metadata", "read"),
];

#[tokio::test]
async fn an_apps_token_is_for_one_repository_and_for_what_is_needed() {
    let site = Site::new().await;
    install(&site, ALL);
    let forge = forge(&site);
    let repository = site.repository(&forge).await;
    assert!(repository.can_push);
    let opened = forge
        .open_pull_request(&repository, site.new_pull_request(TaskId::random()))
        .await;
    assert_eq!(opened.unwrap().pull_request.number, 1);
    let remote = forge.remote(&repository, Access::Push).await.unwrap();
    assert!(
        site.fixture
            .store
            .fetch_mirror(&remote, &main_branch(), None)
            .await
            .is_ok()
    );

    let exchanges = site.hub.exchanges();
    let asked: Vec<_> = exchanges
        .iter()
        .filter(|exchange| exchange.path.ends_with("/access_tokens"))
        .collect();
    assert_eq!(asked.len(), 1, "one token serves until it is old");
    let expected = json!({
        "repositories": ["hello"],
        "permissions": { "contents": "write", "pull_requests": "write", "issues": "read", "metadata": "read" },
    });
    assert_eq!(asked[0].body, expected);
}

#[tokio::test]
async fn a_token_that_would_end_in_the_middle_of_a_step_is_replaced_before() {
    let site = Site::new().await;
    install(&site, ALL);
    let forge = forge(&site);
    // Long enough for calls, too short for a push.
    site.hub
        .with(|state| state.app.as_mut().unwrap().token_life = Duration::from_secs(600));
    let repository = site.repository(&forge).await;
    assert_eq!(site.hub.with(|state| state.issued_tokens), 1);
    site.hub
        .with(|state| state.app.as_mut().unwrap().token_life = Duration::from_secs(3600));
    let first = forge.remote(&repository, Access::Push).await.unwrap();
    let second = forge.remote(&repository, Access::Push).await.unwrap();
    assert_eq!(site.hub.with(|state| state.issued_tokens), 2);
    // The mirror is the App's, not the token's.
    assert_eq!(first.mirror_key, second.mirror_key);
}

#[tokio::test]
async fn a_token_that_is_refused_early_is_replaced_once() {
    let site = Site::new().await;
    install(&site, ALL);
    let forge = forge(&site);
    let repository = site.repository(&forge).await;
    revoke(&site);
    let opened = forge
        .open_pull_request(&repository, site.new_pull_request(TaskId::random()))
        .await;
    assert_eq!(opened.unwrap().pull_request.number, 1);
    assert_eq!(site.hub.with(|state| state.issued_tokens), 2);

    // Where every token is refused the end is told, and nothing goes round in a circle.
    site.hub
        .with(|state| state.app.as_mut().unwrap().token_life = Duration::ZERO);
    revoke(&site);
    let error = forge.issue(&repository, "1").await.unwrap_err();
    assert!(matches!(error, ForgeError::Unauthenticated { .. }), "{error:?}");
    assert!(site.hub.with(|state| state.issued_tokens) <= 4);
}

#[tokio::test]
async fn a_token_that_two_calls_find_refused_is_replaced_once_for_both() {
    let site = Site::new().await;
    install(&site, ALL);
    let forge = forge(&site);
    let repository = site.repository(&forge).await;
    site.hub.with(|state| {
        state
            .repository_mut("octo/hello")
            .unwrap()
            .issues
            .insert(7, Issue::default());
    });
    revoke(&site);
    let (one, other) = tokio::join!(forge.issue(&repository, "7"), forge.issue(&repository, "7"));
    assert_eq!(one.unwrap(), other.unwrap());
    assert_eq!(site.hub.with(|state| state.issued_tokens), 2);
}

#[tokio::test]
async fn an_app_that_was_given_less_is_told_so_and_may_read() {
    let site = Site::new().await;
    install(&site, &[("contents", "read"), ("metadata", "read")]);
    let forge = forge(&site);
    let address = site.address("octo", "hello");
    let look = async |access| forge.repository(&address, &Revision::DefaultBranch, access).await;
    let error = look(Access::Push).await.unwrap_err();
    assert!(matches!(error, ForgeError::Forbidden { .. }), "{error:?}");
    assert!(!look(Access::Read).await.unwrap().can_push);

    let elsewhere = site.address("octo", "elsewhere");
    let error = forge
        .repository(&elsewhere, &Revision::DefaultBranch, Access::Read)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "repository octo/elsewhere was not found at 127.0.0.1"
    );
}

#[tokio::test]
async fn a_key_that_is_none_is_told_at_the_start() {
    let site = Site::new().await;
    let credentials = GitHubCredentials::App {
        id: 42,
        key: Secret::new("no key"),
    };
    assert!(GitHubForge::open(site.config(credentials)).is_err());
}

#[tokio::test]
async fn a_session_has_a_token_of_its_own_for_what_it_does_and_ends_it() {
    let site = Site::new().await;
    install(&site, ALL);
    let forge = Arc::new(forge(&site));
    let address = site.address("octo", "hello");
    let read = json!({ "contents": "read", "pull_requests": "read", "issues": "read", "metadata": "read" });
    let write = json!({ "contents": "write", "pull_requests": "write", "issues": "read", "metadata": "read" });
    let mut tokens = Vec::new();
    for (number, (access, permissions)) in [(Access::Read, read), (Access::Push, write)].into_iter().enumerate() {
        let session = Arc::clone(&forge).session(access);
        let found = session.repository(&address, &Revision::DefaultBranch, access).await;
        let remote = session.remote(&found.unwrap(), access).await.unwrap();
        let token = remote.credential.unwrap().secret.expose().to_owned();
        let works = || site.hub.with(|state| state.rights(&token, "octo/hello").is_some());
        assert!(works(), "the control");
        session.close().await;
        assert!(!works());
        tokens.push(token);
        assert_eq!(site.hub.with(|state| state.issued_tokens), number + 1);
        let exchanges = site.hub.exchanges();
        let asked = exchanges
            .iter()
            .rfind(|exchange| exchange.path.ends_with("/access_tokens"));
        assert_eq!(asked.unwrap().body["permissions"], permissions);
    }
    assert_ne!(tokens[0], tokens[1]);
    assert_eq!(site.hub.count("DELETE /installation/token"), 2);

    // The end of a token that can't be told is no failure.
    let session = Arc::clone(&forge).session(Access::Push);
    let found = session
        .repository(&address, &Revision::DefaultBranch, Access::Push)
        .await;
    assert!(found.is_ok());
    site.hub
        .trouble(Trouble::at("DELETE", "/installation/token", Manner::CutBefore));
    session.close().await;
}
