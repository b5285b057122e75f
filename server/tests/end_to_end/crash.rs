//! SIGKILL at the worst moment of each phase: the next server goes on, nothing is lost and nothing is doubled.

use backspace_sdk::v1::task::State;
use backspace_sdk::v1::{self, task_event::Payload};
use prost::Message as _;
use serde_json::json;

use crate::event_log::Follower;
use crate::repository::Repository;
use crate::script::{bash, finish, good, turn, write};
use crate::server::TestServer;
use crate::site::{Site, spec};

/// Kills the server and starts another one on the same data.
async fn crash(site: &Site, server: TestServer, follower: Follower) -> (TestServer, Follower) {
    server.kill9().await;
    let server = site.serve().start().await;
    let follower = follower.go_on(&server.client());
    (server, follower)
}

/// Asserts that a Task succeeded with one branch of one commit and one pull request, and that the log which
/// both servers wrote is the one that was seen while it was written.
async fn assert_done_once(site: &Site, repository: &Repository, server: TestServer, mut follower: Follower) {
    let result = follower.success().await;
    let branch = repository.only_branch();
    assert_eq!(result.branch, branch);
    assert_eq!(
        repository.git(&["rev-list", "--count", &format!("main..{branch}")]),
        "1"
    );
    assert_eq!(
        result.pull_request.unwrap().head_commit,
        repository.git(&["rev-parse", &branch])
    );
    assert_eq!(site.pull_requests().len(), 1);
    assert_eq!(follower.count("pull request"), 1);
    let mut whole = Follower::of(server.client().watch(&follower.task(), 0));
    whole.end().await;
    let bytes = |events: &[v1::TaskEvent]| events.iter().map(v1::TaskEvent::encode_to_vec).collect::<Vec<_>>();
    assert_eq!(bytes(&whole.events), bytes(&follower.events));
    server.terminate().await;
    assert_eq!(site.sandboxes(), Vec::<String>::new());
}

fn resumed_runs(follower: &Follower) -> Vec<u32> {
    let run = |event: &v1::TaskEvent| match &event.payload {
        Some(Payload::RunResumed(it)) => Some(it.run),
        _ => None,
    };
    follower.events.iter().filter_map(run).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_queued() {
    let site = Site::new();
    let repository = site.red_repository();
    site.script("fix", good());
    site.script("busy", json!([{ "delay_ms": 600_000, "call": [finish("")] }]));
    let server = site.serve().flag("--max-concurrent-jobs", "1").start().await;
    let mut busy = Follower::run(&server.client(), spec(&repository, "busy"));
    busy.until_state(State::Running).await;
    let mut follower = Follower::run(&server.client(), spec(&repository, "fix"));
    follower.until_state(State::Queued).await;
    let (server, follower) = {
        let killed = crash(&site, server, follower).await;
        server_is_free_of(&killed.0, &busy).await;
        killed
    };
    assert_done_once(&site, &repository, server, follower).await;
}

/// Cancels the Task that only kept the slots busy, so that it doesn't count in what is asserted.
async fn server_is_free_of(server: &TestServer, busy: &Follower) {
    server.client().cancel_task(&busy.task(), "").await.unwrap();
    let mut busy = Follower::of(server.client().watch(&busy.task(), 0));
    assert_eq!(busy.end().await.state(), State::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_preparing() {
    let site = Site::new();
    let repository = site.repository(
        "project",
        "echo begun; sleep 2; grep -q good out.txt",
        &[("out.txt", "bad\n")],
    );
    site.script("fix", good());
    let server = site.serve().start().await;
    let mut follower = Follower::run(&server.client(), spec(&repository, "fix"));
    follower.until_output("begun").await;
    let (server, mut follower) = crash(&site, server, follower).await;
    follower.success().await;
    assert_eq!(resumed_runs(&follower), [2]);
    assert_eq!(follower.count("checked base exit 1 FAILED_ON_BASE_TOO"), 1);
    assert_done_once(&site, &repository, server, follower).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_running_between_turns() {
    let site = Site::new();
    let repository = site.red_repository();
    let first = turn(&[
        write("out.txt", "good\n"),
        write("second.txt", "2\n"),
        bash("echo kept >.git/kept"),
    ]);
    site.script(
        "fix",
        json!([first, { "delay_ms": 600_000, "call": [finish("Late.")] }]),
    );
    let server = site.serve().start().await;
    let mut follower = Follower::run(&server.client(), spec(&repository, "fix"));
    follower.until_call_ended("t1.3").await;
    site.script(
        "fix",
        json!([first, turn(&[bash("cat .git/kept")]), { "expect": "kept", "call": [finish("Done.")] }]),
    );
    let (server, mut follower) = crash(&site, server, follower).await;
    follower.success().await;
    assert_eq!(resumed_runs(&follower), [2]);
    assert_eq!(follower.count("call t1.1"), 1);
    let branch = repository.only_branch();
    assert_eq!(repository.changes(&branch), ["M\tout.txt", "A\tsecond.txt"]);
    assert_done_once(&site, &repository, server, follower).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_running_inside_a_tool_call() {
    let site = Site::new();
    let repository = site.red_repository();
    // The first call is recorded before the second begins, because it takes long.
    let calls = [
        bash("sleep 0.7; echo good >out.txt"),
        bash("echo ran >>.git/ran; echo begun; sleep 600"),
        write("never.txt", "x"),
    ];
    site.script(
        "fix",
        json!([
            turn(&calls),
            { "expect": "interrupted by a restart", "call": [bash("echo ran $(grep -c ran .git/ran) time; cat out.txt")] },
            { "expect": ["ran 1 time", "good"], "call": [finish("Done.")] },
        ]),
    );
    let server = site.serve().start().await;
    let mut follower = Follower::run(&server.client(), spec(&repository, "fix"));
    follower.until_output("begun").await;
    let (server, mut follower) = crash(&site, server, follower).await;
    follower.success().await;
    assert_eq!(resumed_runs(&follower), [2]);
    let calls: Vec<_> = follower
        .visible()
        .into_iter()
        .filter(|line| line.contains(" t1."))
        .collect();
    let expected = [
        "call t1.1 bash",
        "call t1.2 bash",
        "call t1.3 write_file",
        "ended t1.1 OK",
        "ended t1.2 INTERRUPTED",
        "ended t1.3 INTERRUPTED",
    ];
    assert_eq!(calls, expected);
    assert_eq!(repository.changes(&repository.only_branch()), ["M\tout.txt"]);
    assert_done_once(&site, &repository, server, follower).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_verifying() {
    let site = Site::new();
    // Slow once, on the change alone; what it leaves behind is no part of the change.
    let check = "grep -q good out.txt || exit 1; [ -e .git/slow ] && exit 0; \
                 touch .git/slow; echo left >left-by-the-check.txt; echo begun; sleep 600";
    let repository = site.repository("project", check, &[("out.txt", "bad\n")]);
    site.script("fix", good());
    let server = site.serve().start().await;
    let mut follower = Follower::run(&server.client(), spec(&repository, "fix"));
    follower.until_output("begun").await;
    let (server, mut follower) = crash(&site, server, follower).await;
    follower.success().await;
    assert_eq!(resumed_runs(&follower), [2]);
    assert_eq!(follower.count("checked change exit 0 PASSED"), 1);
    assert_eq!(follower.count("call t2.1 finish"), 1);
    assert_eq!(repository.changes(&repository.only_branch()), ["M\tout.txt"]);
    assert_done_once(&site, &repository, server, follower).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_publishing() {
    let site = Site::new();
    let repository = site.red_repository();
    let mut gate = site.gate(&repository);
    site.script("fix", good());
    let server = site.serve().start().await;
    let mut follower = Follower::run(&server.client(), spec(&repository, "fix"));
    // A run begins when its events are asked for, so the state comes before the gate.
    follower.until_state(State::Publishing).await;
    gate.reached().await;
    // The push of the dead server still stands before the gate, and lands beside the next one's.
    let (server, mut follower) = crash(&site, server, follower).await;
    gate.reached().await;
    gate.open();
    follower.success().await;
    assert_eq!(resumed_runs(&follower), [2]);
    assert_done_once(&site, &repository, server, follower).await;
}
