//! A cancel in each phase: the Task ends soon, its work is a patch, and nothing leaves the machine.

use std::time::{Duration, Instant};

use backspace_sdk::v1::task::State;
use serde_json::{Value, json};

use crate::event_log::Follower;
use crate::repository::Repository;
use crate::script::{bash, finish, good, turn, write};
use crate::server::TestServer;
use crate::site::{Site, spec};

/// Cancels a Task, and returns the patch that was kept.
async fn cancel(site: &Site, repository: &Repository, server: TestServer, mut follower: Follower) -> String {
    let begun = Instant::now();
    let client = server.client();
    assert!(
        client
            .cancel_task(&follower.task(), "not needed")
            .await
            .unwrap()
            .cancel_requested
    );
    let task = follower.end().await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!((task.state(), task.outcome), (State::Cancelled, None));
    assert_eq!(follower.count("cancel requested: not needed"), 1);
    let kept = task.preserved_work.unwrap_or_default();
    assert_eq!((kept.branch.as_str(), kept.pull_request), ("", None));
    assert_eq!(repository.branches(), Vec::<String>::new());
    assert_eq!(site.pull_requests(), Vec::<Value>::new());
    let again = client.cancel_task(&follower.task(), "again").await.unwrap();
    assert_eq!(again.last_sequence, task.last_sequence);
    let mut artifact = client.read_artifact(&format!("{}/artifacts/patch", follower.task()));
    let mut whole = Vec::new();
    while let Some(data) = artifact.next().await {
        whole.extend_from_slice(&data.unwrap());
    }
    assert_eq!(String::from_utf8(whole).unwrap(), kept.patch);
    server.terminate().await;
    assert_eq!(site.sandboxes(), Vec::<String>::new());
    kept.patch
}

fn assert_has_the_work(patch: &str) {
    assert!(patch.contains("-bad\n+good\n"), "{patch}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_while_queued() {
    let site = Site::new();
    let repository = site.red_repository();
    site.script("fix", good());
    site.script("busy", json!([{ "delay_ms": 600_000, "call": [finish("")] }]));
    let server = site.serve().flag("--max-concurrent-jobs", "1").start().await;
    let mut busy = Follower::run(&server.client(), spec(&repository, "busy"));
    busy.until_state(State::Running).await;
    let mut follower = Follower::run(&server.client(), spec(&repository, "fix"));
    follower.until_state(State::Queued).await;
    let begun = Instant::now();
    server
        .client()
        .cancel_task(&follower.task(), "not needed")
        .await
        .unwrap();
    assert_eq!(follower.end().await.state(), State::Cancelled);
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(
        follower.visible(),
        ["state QUEUED", "cancel requested: not needed", "end CANCELLED"]
    );
    // The other one was not touched by it.
    assert_eq!(cancel(&site, &repository, server, busy).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_while_preparing() {
    let site = Site::new();
    let repository = site.repository("project", "echo begun; sleep 600", &[("out.txt", "bad\n")]);
    site.script("fix", good());
    let server = site.serve().start().await;
    let mut follower = Follower::run(&server.client(), spec(&repository, "fix"));
    follower.until_output("begun").await;
    assert_eq!(cancel(&site, &repository, server, follower).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_while_running_between_turns() {
    let site = Site::new();
    let repository = site.red_repository();
    let first = turn(&[write("out.txt", "good\n")]);
    site.script("fix", json!([first, { "delay_ms": 600_000, "call": [finish("")] }]));
    let server = site.serve().start().await;
    let mut follower = Follower::run(&server.client(), spec(&repository, "fix"));
    follower.until_call_ended("t1.1").await;
    assert_has_the_work(&cancel(&site, &repository, server, follower).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_while_running_inside_a_tool_call() {
    let site = Site::new();
    let repository = site.red_repository();
    site.script(
        "fix",
        json!([turn(&[write("out.txt", "good\n"), bash("echo begun; sleep 600")])]),
    );
    let server = site.serve().start().await;
    let mut follower = Follower::run(&server.client(), spec(&repository, "fix"));
    follower.until_output("begun").await;
    assert_has_the_work(&cancel(&site, &repository, server, follower).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_while_verifying() {
    let site = Site::new();
    let check = "grep -q good out.txt || exit 1; echo begun; sleep 600";
    let repository = site.repository("project", check, &[("out.txt", "bad\n")]);
    site.script("fix", good());
    let server = site.serve().start().await;
    let mut follower = Follower::run(&server.client(), spec(&repository, "fix"));
    follower.until_output("begun").await;
    assert_has_the_work(&cancel(&site, &repository, server, follower).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_during_the_push_comes_too_late_and_the_log_says_so() {
    let site = Site::new();
    let repository = site.red_repository();
    let mut gate = site.gate(&repository);
    site.script("fix", good());
    let server = site.serve().start().await;
    let mut follower = Follower::run(&server.client(), spec(&repository, "fix"));
    follower.until_state(State::Publishing).await;
    gate.reached().await;
    server
        .client()
        .cancel_task(&follower.task(), "not needed")
        .await
        .unwrap();
    gate.open();
    let result = follower.success().await;
    assert_eq!(result.branch, repository.only_branch());
    assert_eq!(follower.count("cancel requested: not needed"), 1);
    server.terminate().await;
    assert_eq!(site.sandboxes(), Vec::<String>::new());
}
