//! SIGTERM: runs reach a durable point, callers are told to come back, and the next server goes on.

use std::time::{Duration, Instant};

use backspace_sdk::v1;
use backspace_sdk::v1::task::State;
use serde_json::json;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::event_log::Follower;
use crate::script::{bash, finish, good, turn, write};
use crate::site::{Site, spec};

const DEADLINE: Duration = Duration::from_secs(25);

#[tokio::test(flavor = "multi_thread")]
async fn a_task_in_a_tool_call_is_left_at_a_durable_point_and_goes_on() {
    let site = Site::new();
    let repository = site.red_repository();
    site.script(
        "fix",
        json!([
            turn(&[write("out.txt", "good\n"), bash("echo ran >>.git/ran; echo begun; sleep 600")]),
            turn(&[bash("echo ran $(grep -c ran .git/ran) time")]),
            { "expect": "ran 1 time", "call": [finish("Done.")] },
        ]),
    );
    let server = site.serve().start().await;
    let mut follower = Follower::run(&server.client(), spec(&repository, "fix"));
    follower.until_output("begun").await;
    let begun = Instant::now();
    server.begin_to_stop();
    assert_eq!(server.ended().await.code(), Some(0));
    assert!(begun.elapsed() < DEADLINE, "{:?}", begun.elapsed());
    assert_eq!(site.sandboxes().len(), 1, "the work tree is left for the next run");

    let server = site.serve().start().await;
    let mut follower = follower.go_on(&server.client());
    follower.success().await;
    assert_eq!(follower.count("resumed run 2"), 1);
    assert_eq!(follower.count("ended t1.1 OK"), 1);
    assert_eq!(follower.count("call t1.2 bash"), 1);
    assert_eq!(repository.changes(&repository.only_branch()), ["M\tout.txt"]);
    server.terminate().await;
    assert_eq!(site.sandboxes(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_during_the_drain_is_told_to_come_back() {
    let site = Site::new();
    let repository = site.red_repository();
    let mut gate = site.gate(&repository);
    site.script("fix", good());
    let mut server = site.serve().start().await;
    let client = server.client();
    let mut follower = Follower::run(&client, spec(&repository, "fix"));
    follower.until_state(State::Publishing).await;
    // A push is not cut off, so the drain lasts as long as the gate is closed.
    gate.reached().await;
    let begun = Instant::now();
    server.begin_to_stop();
    server.log_line("draining").await;
    let request = v1::RunTaskRequest {
        spec: Some(spec(&repository, "fix")),
        request_id: String::new(),
    };
    let status = client
        .raw()
        .run_task(request)
        .await
        .expect_err("a start was accepted during the drain");
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let details = status.get_error_details();
    assert_eq!(details.error_info().unwrap().reason, "DRAINING");
    assert!(details.retry_info().unwrap().retry_delay.unwrap() > Duration::ZERO);
    // Reading goes on.
    assert_eq!(
        client.get_task(&follower.task()).await.unwrap().state(),
        State::Publishing
    );
    gate.open();
    assert_eq!(server.ended().await.code(), Some(0));
    assert!(begun.elapsed() < DEADLINE, "{:?}", begun.elapsed());

    let server = site.serve().start().await;
    let mut follower = follower.go_on(&server.client());
    assert_eq!(follower.success().await.branch, repository.only_branch());
    assert_eq!(site.pull_requests().len(), 1);
}
