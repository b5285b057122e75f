//! Rate limits: no call before the time that GitHub names, mutations apart, other logins unaffected.

use std::time::{Duration, SystemTime};

use backspace_server::forge::github::{GitHubConfig, GitHubCredentials, GitHubForge};
use backspace_server::forge::{Access, Forge as _, ForgeError, NewPullRequest};
use backspace_server::secret::Secret;
use backspace_server::task::id::TaskId;
use backspace_server::task::spec::Revision;

use crate::fake_github::{Answer, Manner, Rights, Trouble};
use crate::site::{Site, TOKEN};

#[tokio::test]
async fn after_a_limit_nothing_is_sent_before_its_time_also_by_the_next_server() {
    let in_a_quarter = (SystemTime::now() + Duration::from_secs(900)).duration_since(SystemTime::UNIX_EPOCH);
    let reset = in_a_quarter.unwrap().as_secs().to_string();
    let primary = Answer::error(403, "API rate limit exceeded")
        .header("x-ratelimit-remaining", "0")
        .header("x-ratelimit-reset", &reset);
    let cases = [
        (primary, 900),
        (Answer::error(429, "Slow down").header("retry-after", "120"), 120),
        (Answer::error(403, "You have exceeded a secondary rate limit"), 60),
    ];
    for (answer, seconds) in cases {
        let site = Site::new().await;
        site.hub.with(|state| {
            state.token("another-token", Rights::ALL);
        });
        let address = site.address("octo", "hello");
        site.hub
            .trouble(Trouble::at("GET", "/repos/octo/hello", Manner::Answer(answer)));
        for _server in 0..2 {
            let forge = site.forge();
            for _ in 0..2 {
                let found = forge.repository(&address, &Revision::DefaultBranch, Access::Read).await;
                let error = found.unwrap_err();
                assert!(matches!(error, ForgeError::RateLimited { .. }), "{error:?}");
                let wait = error.retry().unwrap().as_secs();
                assert!((seconds - 3..=seconds + 1).contains(&wait), "{wait} for {seconds}");
            }
        }
        assert_eq!(site.hub.exchanges().len(), 1);
        assert!(site.repository(&site.forge_of("another-token")).await.can_push);
    }
}

#[tokio::test]
async fn a_budget_that_is_spent_is_not_overdrawn() {
    let site = Site::new().await;
    let forge = site.forge();
    let repository = site.repository(&forge).await;
    let spent = Answer::json(200, serde_json::json!([]))
        .header("x-ratelimit-remaining", "0")
        .header("x-ratelimit-reset", "99999999999");
    site.hub.trouble(Trouble::at("GET", "/pulls", Manner::Answer(spent)));
    let new = site.new_pull_request(TaskId::random());
    let error = forge.open_pull_request(&repository, new).await.unwrap_err();
    assert!(matches!(error, ForgeError::RateLimited { .. }), "{error:?}");
    assert_eq!(site.hub.count("POST /repos/octo/hello/pulls"), 0);
}

#[tokio::test]
async fn mutations_are_apart_and_one_at_a_time() {
    let site = Site::new().await;
    let pace = Duration::from_millis(150);
    let config = GitHubConfig {
        pace,
        ..site.config(GitHubCredentials::Token(Secret::new(TOKEN)))
    };
    let forge = GitHubForge::open(config).unwrap();
    let repository = site.repository(&forge).await;
    let new = NewPullRequest {
        labels: vec!["a".into()],
        assignees: vec!["ada".into()],
        ..site.new_pull_request(TaskId::random())
    };
    forge.open_pull_request(&repository, new).await.unwrap();
    let exchanges = site.hub.exchanges();
    let mutations: Vec<_> = exchanges.iter().filter(|exchange| exchange.method != "GET").collect();
    assert_eq!(mutations.len(), 3);
    for pair in mutations.windows(2) {
        assert!(pair[1].at - pair[0].at >= pace);
    }
}
