//! Whole Tasks as a GitHub App: each has one token, for its repository alone, which ends with it.

use std::time::Duration;

use backspace_sdk::v1;

use crate::event_log::Follower;
use crate::fake_github::state::App;
use crate::hub::{Hub, NAME};
use crate::script::good;
use crate::server::TestServer;
use crate::site::Site;

const END: &str = "DELETE /installation/token";

async fn serve(hub: &Hub, site: &Site) -> TestServer {
    hub.hub.with(|state| {
        let permissions = [("contents", "write"), ("pull_requests", "write"), ("issues", "write")];
        let permissions = permissions.into_iter().chain([("metadata", "read")]);
        state.app = Some(App {
            id: 42,
            installation: 7,
            repositories: vec![NAME.into()],
            permissions: permissions.map(|(name, level)| (name.into(), level.into())).collect(),
            token_life: Duration::from_secs(3600),
        });
    });
    site.serve()
        .flag("--github-url", &hub.hub.url())
        .flag("--github-app-id", "42")
        .env(
            "BACKSPACE_GITHUB_APP_KEY",
            include_str!("../support/fake_github/app_key.pem"),
        )
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_task_has_one_token_which_ends_with_it() {
    let site = Site::new();
    let hub = Hub::start(&site).await;
    site.script("fix", good());
    let server = serve(&hub, &site).await;
    Follower::run(&server.client(), hub.spec("fix")).success().await;
    hub.only_pull();
    hub.hub.called(END, 1).await;
    let patch = v1::TaskSpec {
        publication: Some(v1::Publication {
            mode: v1::publication::Mode::PatchOnly.into(),
            ..v1::Publication::default()
        }),
        ..hub.spec("fix")
    };
    Follower::run(&server.client(), patch).success().await;
    hub.hub.called(END, 2).await;

    let exchanges = hub.hub.exchanges();
    let asked: Vec<_> = exchanges
        .iter()
        .filter(|exchange| exchange.path.ends_with("/access_tokens"))
        .map(|exchange| {
            (
                exchange.body["permissions"]["contents"].as_str().unwrap(),
                &exchange.body["repositories"],
            )
        })
        .collect();
    let hello = serde_json::json!(["hello"]);
    assert_eq!(asked, [("write", &hello), ("read", &hello)]);
    let tokens = hub.hub.with(|state| state.tokens.clone());
    let issued: Vec<_> = tokens
        .into_iter()
        .filter(|(token, _)| token.starts_with("ghs_"))
        .collect();
    assert_eq!(issued.len(), 2);
    let now = std::time::SystemTime::now();
    assert!(
        issued
            .iter()
            .all(|(_, token)| token.expires.is_some_and(|end| end <= now))
    );
}
