//! What others push while a Task works: its change ends on top of theirs, or says why it does not.

use backspace_sdk::v1;
use serde_json::{Value, json};

use crate::event_log::Follower;
use crate::repository::Repository;
use crate::script::{bash, finish, good, turn, write};
use crate::server::TestServer;
use crate::site::{Site, spec};

/// The usual change, with time for others before it.
fn slow_good() -> Value {
    json!([
        turn(&[bash("echo begun; sleep 3")]),
        turn(&[write("out.txt", "good\n")]),
        turn(&[finish("It is good now.")]),
    ])
}

/// Runs the usual Task and lets `others` act while it works.
async fn while_working(site: &Site, repository: &Repository, others: impl FnOnce()) -> (TestServer, Follower) {
    let server = site.serve().start().await;
    let mut follower = Follower::run(&server.client(), spec(repository, "fix"));
    follower.until_output("begun").await;
    others();
    follower.success().await;
    (server, follower)
}

/// Returns the only pull request's text.
fn body(site: &Site) -> String {
    let all = site.pull_requests();
    assert_eq!(all.len(), 1, "{all:?}");
    all[0].to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_goes_on_top_of_a_base_that_moved_and_is_proved_there() {
    let site = Site::new();
    let template = (".github/pull_request_template.md", "## How was it tested\n");
    let repository = site.repository("project", "grep -q good out.txt", &[("out.txt", "bad\n"), template]);
    site.script("fix", slow_good());
    let (_server, follower) = while_working(&site, &repository, || {
        repository.others_commit("main", &[("theirs.txt", "1\n")]);
    })
    .await;
    let branch = repository.only_branch();
    assert_eq!(
        repository.git(&["rev-parse", &format!("{branch}^")]),
        repository.git(&["rev-parse", "main"])
    );
    assert_eq!(repository.changes(&branch), ["M\tout.txt"]);
    let checks: Vec<_> = follower
        .visible()
        .into_iter()
        .filter(|line| line.contains("checked"))
        .collect();
    assert_eq!(
        checks,
        [
            "checked base exit 1 FAILED_ON_BASE_TOO",
            "checked change exit 0 PASSED",
            "checked base exit 1 FAILED_ON_BASE_TOO",
            "checked change exit 0 PASSED",
        ]
    );
    let text = body(&site);
    let tree = repository.git(&["rev-parse", &format!("{branch}^{{tree}}")]);
    assert!(text.contains(&tree), "{text}");
    assert!(
        text.contains("the change was put on top of it and verified again there"),
        "{text}"
    );
    assert!(text.contains("## How was it tested"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_contradicts_the_moved_base_stays_where_it_was_proved_and_says_so() {
    let site = Site::new();
    let repository = site.red_repository();
    site.script("fix", slow_good());
    let before = repository.git(&["rev-parse", "main"]);
    let (_server, _) = while_working(&site, &repository, || {
        repository.others_commit("main", &[("out.txt", "theirs\n")]);
    })
    .await;
    let branch = repository.only_branch();
    assert_eq!(repository.git(&["rev-parse", &format!("{branch}^")]), before);
    assert_eq!(repository.file(&branch, "out.txt"), "good");
    let text = body(&site);
    assert!(text.contains("the two contradict each other in out.txt"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_only_the_new_base_makes_red_goes_back_to_the_agent() {
    let site = Site::new();
    let repository = site.repository(
        "project",
        "sh check.sh",
        &[("out.txt", "bad\n"), ("check.sh", "test -f out.txt\n")],
    );
    site.script(
        "fix",
        json!([
            turn(&[bash("echo begun; sleep 3")]),
            turn(&[write("out.txt", "good\n"), finish("It is good now.")]),
            { "expect": "sh check.sh", "call": [write("more.txt", "more\n"), finish("It is good on the new base.")] },
        ]),
    );
    let (_server, _) = while_working(&site, &repository, || {
        let check = "grep -q bad out.txt || test -f more.txt\n";
        repository.others_commit("main", &[("check.sh", check)]);
    })
    .await;
    let branch = repository.only_branch();
    assert_eq!(
        repository.git(&["rev-parse", &format!("{branch}^")]),
        repository.git(&["rev-parse", "main"])
    );
    assert_eq!(repository.changes(&branch), ["A\tmore.txt", "M\tout.txt"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_the_caller_named_is_the_base_whatever_the_branch_does() {
    let site = Site::new();
    let repository = site.red_repository();
    site.script("fix", slow_good());
    let named = repository.git(&["rev-parse", "main"]);
    let server = site.serve().start().await;
    let mut spec = spec(&repository, "fix");
    spec.repository.as_mut().unwrap().revision = Some(v1::repository::Revision::Commit(named.clone()));
    let mut follower = Follower::run(&server.client(), spec);
    follower.until_output("begun").await;
    repository.others_commit("main", &[("theirs.txt", "1\n")]);
    follower.success().await;
    let branch = repository.only_branch();
    assert_eq!(repository.git(&["rev-parse", &format!("{branch}^")]), named);
}

/// Sends a message to a finished Task and follows the one that goes on from it.
async fn go_on(server: &TestServer, first: &Follower) -> Follower {
    let request = v1::SendMessageRequest {
        name: first.task(),
        text: "One more thing".into(),
        request_id: uuid::Uuid::new_v4().to_string(),
        ..v1::SendMessageRequest::default()
    };
    let next = server.client().send_message(request).await.unwrap();
    Follower::of(server.client().watch(&next.name, 0))
}

/// Runs the usual Task to its end; others go on from it.
async fn after_a_task(site: &Site) -> (Repository, TestServer, Follower) {
    let repository = site.red_repository();
    site.script("fix", good());
    let server = site.serve().start().await;
    let mut first = Follower::run(&server.client(), spec(&repository, "fix"));
    first.success().await;
    (repository, server, first)
}

fn more() -> Value {
    json!([
        turn(&[bash("echo begun; sleep 3")]),
        turn(&[write("note.txt", "more\n"), finish("Did one more thing.")]),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_continues_keeps_what_people_added_to_its_branch() {
    let site = Site::new();
    let (repository, server, first) = after_a_task(&site).await;
    let branch = repository.only_branch();

    // Before it begins, and while it works.
    repository.others_commit(&branch, &[("before.txt", "1\n")]);
    site.script("fix", more());
    let mut second = go_on(&server, &first).await;
    second.until_output("begun").await;
    let theirs = repository.others_commit(&branch, &[("meanwhile.txt", "2\n")]);
    second.success().await;
    assert_eq!(repository.only_branch(), branch);
    assert_eq!(repository.git(&["rev-parse", &format!("{branch}^")]), theirs);
    assert_eq!(
        repository.changes(&branch),
        ["A\tbefore.txt", "A\tmeanwhile.txt", "A\tnote.txt", "M\tout.txt"]
    );
    assert_eq!(site.pull_requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_moves_under_the_push_is_followed() {
    let site = Site::new();
    let (repository, server, first) = after_a_task(&site).await;
    let branch = repository.only_branch();

    let mut gate = site.gate(&repository);
    site.script("fix", more());
    let mut second = go_on(&server, &first).await;
    gate.reached().await;
    let theirs = repository.others_commit(&branch, &[("theirs.txt", "1\n")]);
    gate.open();
    second.success().await;
    assert_eq!(repository.only_branch(), branch);
    assert_eq!(repository.git(&["rev-parse", &format!("{branch}^")]), theirs);
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_contradicts_what_people_added_goes_beside_their_branch() {
    let site = Site::new();
    let (repository, server, first) = after_a_task(&site).await;
    let branch = repository.only_branch();

    site.script("fix", more());
    let mut second = go_on(&server, &first).await;
    second.until_output("begun").await;
    let theirs = repository.others_commit(&branch, &[("note.txt", "theirs\n")]);
    let result = second.success().await;
    assert_eq!(repository.git(&["rev-parse", &branch]), theirs);
    assert_ne!(result.branch, branch);
    assert_eq!(repository.file(&result.branch, "note.txt"), "more");
    let pull_requests = site.pull_requests();
    assert_eq!(pull_requests.len(), 2);
    let text = serde_json::to_string(&pull_requests).unwrap();
    assert!(text.contains("the two contradict each other in note.txt"), "{text}");
    assert!(text.contains("has commits of others"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_while_the_new_base_is_proved_loses_nothing() {
    let site = Site::new();
    let slow = "test ! -f theirs.txt || sleep 4; grep -q good out.txt";
    let repository = site.repository("project", slow, &[("out.txt", "bad\n")]);
    site.script("fix", slow_good());
    let server = site.serve().start().await;
    let mut follower = Follower::run(&server.client(), spec(&repository, "fix"));
    follower.until_output("begun").await;
    let theirs = repository.others_commit("main", &[("theirs.txt", "1\n")]);
    follower
        .until(
            "the checks of the new base",
            |payload| matches!(payload, v1::task_event::Payload::VerificationStarted(it) if it.baseline),
        )
        .await;
    server.kill9().await;

    let server = site.serve().start().await;
    let mut follower = follower.go_on(&server.client());
    follower.success().await;
    let branch = repository.only_branch();
    assert_eq!(repository.git(&["rev-parse", &format!("{branch}^")]), theirs);
    assert_eq!(repository.changes(&branch), ["M\tout.txt"]);
}
