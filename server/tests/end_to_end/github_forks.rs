//! Whole Tasks whose token may not push: one fork, one branch in it, one pull request, whatever fails.

use backspace_sdk::v1;
use backspace_sdk::v1::task::State;

use crate::event_log::Follower;
use crate::fake_github::{Manner, Rights, Trouble};
use crate::hub::{Hub, NAME, TOKEN};
use crate::repository::Repository;
use crate::script::{bash, finish, good, turn, write};
use crate::server::TestServer;
use crate::site::Site;

const FORK: &str = "the-server/hello";
const MAKE: &str = "POST /repos/octo/hello/forks";
const OPEN: &str = "POST /repos/octo/hello/pulls";

async fn hub(site: &Site) -> Hub {
    let hub = Hub::start(site).await;
    hub.hub.with(|state| {
        state.token(TOKEN, Rights::READ);
    });
    hub
}

async fn serve(hub: &Hub, site: &Site) -> TestServer {
    hub.launch(site).flag("--github-forks", "when-needed").start().await
}

fn fork(hub: &Hub) -> Repository {
    Repository::of(hub.hub.shared.root.join(format!("{FORK}.git")))
}

/// Asserts that there is one fork with one branch of ours, and one pull request from it.
fn only_pull_of_the_fork(hub: &Hub) -> serde_json::Value {
    assert_eq!(hub.hub.with(|state| state.repositories.len()), 2);
    assert_eq!(hub.repository.branches(), Vec::<String>::new());
    let pulls = hub.hub.pulls(NAME);
    assert_eq!(pulls.len(), 1, "{pulls:?}");
    let branch = fork(hub).only_branch();
    assert_eq!(pulls[0]["head"]["label"], format!("the-server:{branch}"));
    pulls[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_published_from_a_fork_and_followed_up_there() {
    let site = Site::new();
    let hub = hub(&site).await;
    site.script("fix", good());
    let server = serve(&hub, &site).await;
    let client = server.client();
    let mut first = Follower::run(&client, hub.spec("fix"));
    let before = first.success().await;
    let pull = only_pull_of_the_fork(&hub);
    let opened = before.pull_request.unwrap();
    assert_eq!((opened.number, opened.head_repository.as_str()), (1, FORK));
    assert_eq!(pull["base"]["label"], "octo:main");
    assert_eq!(fork(&hub).changes(&before.branch), ["M\tout.txt"]);

    // Somebody goes on with the branch, and the fork stays behind the repository.
    let of_a_person = fork(&hub).others_commit(&before.branch, &[("by_hand.txt", "mine\n")]);
    hub.repository.others_commit("main", &[("theirs.txt", "1\n")]);
    site.script(
        "fix",
        serde_json::json!([
            turn(&[bash("cat by_hand.txt")]),
            { "expect": "mine", "call": [write("out.txt", "GOOD, good\n"), finish("Louder now.")] },
        ]),
    );
    let next = client
        .send_message(v1::SendMessageRequest {
            name: first.task(),
            text: "Say it louder".into(),
            ..v1::SendMessageRequest::default()
        })
        .await
        .unwrap();
    let after = Follower::of(client.watch(&next.name, 0)).success().await;
    assert_eq!(after.branch, before.branch);
    let pull = only_pull_of_the_fork(&hub);
    assert_eq!(pull["number"], after.pull_request.unwrap().number);
    assert_eq!(
        fork(&hub).git(&["rev-parse", &format!("{}^", after.branch)]),
        of_a_person
    );

    // A new Task stands on what the fork does not have yet.
    site.script("new", good());
    let third = Follower::run(&client, hub.spec("new")).success().await;
    let theirs = hub.repository.git(&["rev-parse", "main"]);
    assert_eq!(fork(&hub).git(&["rev-parse", &format!("{}^", third.branch)]), theirs);
    assert_eq!((hub.hub.pulls(NAME).len(), hub.hub.count(MAKE)), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_the_fork_is_made() {
    for manner in [Manner::CutAfter, Manner::Hang] {
        let site = Site::new();
        let hub = hub(&site).await;
        site.script("fix", good());
        hub.hub.trouble(Trouble::at("POST", "/forks", manner));
        let server = serve(&hub, &site).await;
        let mut follower = Follower::run(&server.client(), hub.spec("fix"));
        follower.until_state(State::Preparing).await;
        hub.hub.called(MAKE, 1).await;
        server.kill9().await;
        let server = serve(&hub, &site).await;
        let mut follower = follower.go_on(&server.client());
        follower.success().await;
        only_pull_of_the_fork(&hub);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_the_pull_request_of_a_fork_is_opened() {
    for manner in [Manner::CutAfter, Manner::Hang] {
        let site = Site::new();
        let hub = hub(&site).await;
        site.script("fix", good());
        hub.hub.trouble(Trouble::at("POST", "/pulls", manner));
        let server = serve(&hub, &site).await;
        let mut follower = Follower::run(&server.client(), hub.spec("fix"));
        follower.until_state(State::Publishing).await;
        hub.hub.called(OPEN, 1).await;
        server.kill9().await;
        let server = serve(&hub, &site).await;
        let mut follower = follower.go_on(&server.client());
        follower.success().await;
        only_pull_of_the_fork(&hub);
        assert_eq!(follower.count("pull request"), 1);
    }
}
