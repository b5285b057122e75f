//! Every way a Task can end, and what is kept then.

use backspace_sdk::v1;
use backspace_sdk::v1::failure::Reason;
use serde_json::{Value, json};

use crate::event_log::Follower;
use crate::repository::Repository;
use crate::script::{bash, finish, turn, write};
use crate::site::{Site, spec};

/// Makes a repository whose check is green as long as `out.txt` says so.
fn green_repository(site: &Site) -> Repository {
    site.repository("project", "grep -q good out.txt", &[("out.txt", "good\n")])
}

/// Runs one Task to its end, stops the server, and returns the Task's log.
async fn run(site: &Site, repository: &Repository, turns: Value, limits: Option<v1::Limits>) -> Follower {
    site.script("model", turns);
    let server = site.serve().start().await;
    let asked = v1::TaskSpec {
        limits,
        ..spec(repository, "model")
    };
    let mut follower = Follower::run(&server.client(), asked);
    follower.end().await;
    server.terminate().await;
    assert_eq!(site.sandboxes(), Vec::<String>::new());
    follower
}

/// Asserts that the work of a failed Task is on one branch, with one draft pull request.
async fn assert_kept(site: &Site, repository: &Repository, follower: &mut Follower, reason: Reason) {
    let (failure, kept) = follower.failure().await;
    assert_eq!(failure.reason(), reason, "{}", failure.message);
    let branch = repository.only_branch();
    let pull_request = kept.pull_request.unwrap();
    assert_eq!((kept.branch.as_str(), pull_request.draft), (branch.as_str(), true));
    assert_eq!(pull_request.head_commit, repository.git(&["rev-parse", &branch]));
    assert_eq!(repository.changes(&branch), ["M\tout.txt"]);
    assert!(kept.patch.contains("+++ b/out.txt"), "{}", kept.patch);
    assert_eq!(site.pull_requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_to_change_is_a_success_with_its_reason() {
    let site = Site::new();
    let repository = green_repository(&site);
    let mut follower = run(
        &site,
        &repository,
        json!([turn(&[finish("It is good already.")])]),
        None,
    )
    .await;
    let result = follower.success().await;
    assert_eq!(result.kind(), v1::task_result::Kind::NoChange);
    assert_eq!(
        (result.summary.as_str(), result.branch.as_str(), result.patch.as_str()),
        ("It is good already.", "", "")
    );
    assert_eq!(repository.branches(), Vec::<String>::new());
    assert_eq!(site.pull_requests(), Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reached_limit_keeps_the_work_as_a_draft() {
    let site = Site::new();
    let repository = site.red_repository();
    let turns = json!([
        turn(&[write("out.txt", "half good\n")]),
        { "repeat": 5, "call": [bash("echo step {n}")] },
    ]);
    let limits = v1::Limits {
        max_turns: 2,
        ..v1::Limits::default()
    };
    let mut follower = run(&site, &repository, turns, Some(limits)).await;
    assert_kept(&site, &repository, &mut follower, Reason::LimitReached).await;
    assert_eq!(follower.count("call "), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_refuses_for_good_keeps_the_work_as_a_draft() {
    let site = Site::new();
    let repository = site.red_repository();
    let turns = json!([turn(&[write("out.txt", "half good\n")]), { "fail": "auth" }]);
    let mut follower = run(&site, &repository, turns, None).await;
    assert_kept(&site, &repository, &mut follower, Reason::ModelRefused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_that_stay_red_end_the_work_and_keep_it() {
    let site = Site::new();
    let repository = green_repository(&site);
    let turns = json!([
        turn(&[write("out.txt", "bad\n"), finish("Done.")]),
        { "repeat": 9, "call": [finish("Still done.")] },
    ]);
    let mut follower = run(&site, &repository, turns, None).await;
    assert_kept(&site, &repository, &mut follower, Reason::AgentGaveUp).await;
    // Three rounds back to the model, and the last one.
    assert_eq!(follower.count("checked change exit 1 NEWLY_RED"), 4);
    assert_eq!(follower.count("state RUNNING"), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_red_check_goes_back_to_the_model_once_and_what_checks_leave_stays_out() {
    let site = Site::new();
    let check = "echo left >left-by-the-check.txt; echo the words of the check; grep -q good out.txt";
    let repository = site.repository("project", check, &[("out.txt", "good\n")]);
    let turns = json!([
        turn(&[write("out.txt", "bad\n"), finish("Done.")]),
        { "expect": "the words of the check", "call": [write("out.txt", "very good\n"), finish("Done now.")] },
    ]);
    let mut follower = run(&site, &repository, turns, None).await;
    let result = follower.success().await;
    assert_eq!(result.summary, "Done now.");
    assert_eq!(follower.count("state RUNNING"), 2);
    assert_eq!(follower.count("checked change exit 1 NEWLY_RED"), 1);
    assert_eq!(follower.count("checked change exit 0 PASSED"), 1);
    assert_eq!(repository.changes(&repository.only_branch()), ["M\tout.txt"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_is_never_pushed_and_its_patch_is_kept() {
    let site = Site::new();
    let repository = green_repository(&site);
    let path = ".github/workflows/x.yml";
    let turns = json!([turn(&[write(path, "on: push\n"), finish("Added a workflow.")])]);
    let mut follower = run(&site, &repository, turns, None).await;
    let (failure, kept) = follower.failure().await;
    assert_eq!(failure.reason(), Reason::PolicyDenied, "{}", failure.message);
    assert!(kept.patch.contains("+on: push"), "{}", kept.patch);
    assert_eq!((kept.branch.as_str(), kept.pull_request), ("", None));
    let denied = follower
        .visible()
        .into_iter()
        .filter(|line| line.starts_with("denied"))
        .count();
    assert_eq!(denied, 1);
    assert_eq!(repository.branches(), Vec::<String>::new());
    assert_eq!(site.pull_requests(), Vec::<Value>::new());
}
