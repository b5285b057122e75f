//! The forge against what GitHub itself says of its API: a server made of its description, which refuses what
//! is not described, and answers that were recorded. `tests/parts/github.sh` runs these.

use backspace_server::forge::github::{GitHubConfig, GitHubCredentials, GitHubForge, GitHubHost};
use backspace_server::forge::{Access, Forge as _, ForgeError, NewPullRequest};
use backspace_server::secret::Secret;
use backspace_server::task::id::TaskId;
use backspace_server::task::spec::Revision;
use serde_json::Value;

use crate::fake_github::{Answer, Manner, Trouble};
use crate::fixture::branch;
use crate::login::KEY;
use crate::site::{Site, TOKEN};

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run tests/parts/github.sh"))
}

fn described(site: &Site, credentials: GitHubCredentials) -> GitHubForge {
    let api = variable("BACKSPACE_PRISM_URL");
    let config = GitHubConfig {
        host: GitHubHost::parse(&site.hub.url(), Some(&api)).unwrap(),
        ..site.config(credentials)
    };
    GitHubForge::open(config).unwrap()
}

#[tokio::test]
#[ignore = "needs a server made of GitHub's description: tests/parts/github.sh"]
async fn every_call_is_one_that_github_describes() {
    let site = Site::new().await;
    let forge = described(&site, GitHubCredentials::Token(Secret::new(TOKEN)));
    let address = site.address("octocat", "Hello-World");
    let look = async |revision| forge.repository(&address, &revision, Access::Read).await;
    let repository = look(Revision::DefaultBranch).await.unwrap();
    // The example's own words.
    assert_eq!(repository.address, address);
    assert_eq!(
        look(Revision::Branch(branch("a/b")))
            .await
            .unwrap()
            .base_branch
            .as_str(),
        "main"
    );
    let commit = look(Revision::Commit(site.head.clone())).await;
    assert!(matches!(commit, Err(ForgeError::NotFound { .. })), "{commit:?}");

    let strings = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let new = NewPullRequest {
        labels: strings(&["one", "two"]),
        reviewers: strings(&["ada", "octo/reviewers"]),
        assignees: strings(&["grace"]),
        ..site.new_pull_request(TaskId::random())
    };
    let opened = forge.open_pull_request(&repository, new).await.unwrap();
    assert_eq!((opened.pull_request.number, opened.remarks), (1347, Vec::new()));
    // The server puts this example into one object more than is described: that it was asked for rightly is
    // all that can be seen.
    let issue = forge.issue(&repository, "1347").await;
    assert!(
        matches!(issue, Ok(_) | Err(ForgeError::Unavailable { .. })),
        "{issue:?}"
    );

    let key = Secret::new(KEY);
    let app = described(&site, GitHubCredentials::App { id: 1, key });
    assert!(
        app.repository(&address, &Revision::DefaultBranch, Access::Read)
            .await
            .is_ok()
    );
}

/// Plays what was recorded of a scenario at the GitHub on loopback, once for each call.
fn play(site: &Site, scenario: &str, methods: &[&'static str]) {
    let file = format!(
        "{}/{scenario}/normalized-fixture.json",
        variable("BACKSPACE_GITHUB_FIXTURES")
    );
    let recorded: Vec<Value> = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    for call in &recorded {
        let Some(method) = methods
            .iter()
            .find(|method| call["method"].as_str().unwrap().eq_ignore_ascii_case(method))
        else {
            continue;
        };
        let status = call["status"].as_u64().unwrap().try_into().unwrap();
        let mut answer = Answer::json(status, call["response"].clone());
        for (name, value) in call["headers"].as_object().unwrap() {
            let here = format!("{}/api/v3", site.hub.url());
            let value = value.as_str().map(|text| text.replace("https://api.github.com", &here));
            if let (Some(value), false) = (
                value,
                matches!(name.as_str(), "content-length" | "content-type" | "connection" | "date"),
            ) {
                answer = answer.header(name, &value);
            }
        }
        let path = call["path"].as_str().unwrap();
        site.hub.trouble(Trouble::at(method, path, Manner::Answer(answer)));
    }
}

#[tokio::test]
#[ignore = "needs recorded answers of GitHub: tests/parts/github.sh"]
async fn recorded_answers_are_understood() {
    let site = Site::new().await;
    let forge = site.forge();
    let find = async |name: &str| {
        let address = site.address("octokit-fixture-org", name);
        forge.repository(&address, &Revision::DefaultBranch, Access::Read).await
    };
    play(&site, "get-repository", &["GET"]);
    let found = find("hello-world").await.unwrap();
    assert_eq!(found.address, site.address("octokit-fixture-org", "hello-world"));

    play(&site, "rename-repository", &["GET"]);
    let found = find("rename-repository").await.unwrap();
    assert_eq!(
        found.address,
        site.address("octokit-fixture-org", "rename-repository-newname")
    );

    // A refusal that was recorded, told in a pull request's warning.
    let repository = site.repository(&forge).await;
    let file = format!(
        "{}/errors/normalized-fixture.json",
        variable("BACKSPACE_GITHUB_FIXTURES")
    );
    let recorded: Vec<Value> = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let refusal = Answer::json(422, recorded[0]["response"].clone());
    site.hub
        .trouble(Trouble::at("POST", "/labels", Manner::Answer(refusal)));
    let new = NewPullRequest {
        labels: vec!["foo".into()],
        ..site.new_pull_request(TaskId::random())
    };
    let opened = forge.open_pull_request(&repository, new).await.unwrap();
    let words = "the labels of the pull request could not be set: 127.0.0.1 refused the request: \
                 Validation Failed: color is invalid";
    assert_eq!(opened.remarks, [words]);
}
