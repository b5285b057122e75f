//! One Task from the wire to a pull request, and its stream.

use backspace_sdk::v1;
use backspace_sdk::v1::task_event::Payload;
use prost::Message as _;
use serde_json::json;

use crate::event_log::Follower;
use crate::script::{bash, call, finish, good, turn};
use crate::server::TestServer;
use crate::site::{Site, spec};

async fn replay(server: &TestServer, task: &str) -> Vec<Vec<u8>> {
    let request = v1::WatchTaskRequest {
        name: task.into(),
        after_sequence: 0,
        durable_only: true,
    };
    let mut stream = server.client().raw().watch_task(request).await.unwrap().into_inner();
    let mut all = Vec::new();
    while let Some(response) = stream.message().await.unwrap() {
        all.push(response.event.unwrap().encode_to_vec());
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_goes_from_the_wire_to_a_pull_request() {
    let site = Site::new();
    let repository = site.red_repository();
    let edit = json!({ "path": "out.txt", "old": "bad", "new": "good" });
    site.script(
        "fix",
        json!([
            { "say": "I look first.", "call": [bash("cat out.txt")] },
            { "expect": "bad", "call": [call("edit_file", edit)] },
            turn(&[finish("It is good now.")]),
        ]),
    );
    let server = site.serve().start().await;
    let mut follower = Follower::run(&server.client(), spec(&repository, "fix"));
    let task = follower.end().await;

    let expected = [
        "state QUEUED",
        "state PREPARING",
        "check base `grep -q good out.txt`",
        "checked base exit 1 FAILED_ON_BASE_TOO",
        "state RUNNING",
        "says I look first.",
        "call t1.1 bash",
        "ended t1.1 OK",
        "call t2.1 edit_file",
        "ended t2.1 OK",
        "call t3.1 finish",
        "ended t3.1 OK",
        "state VERIFYING",
        "check change `grep -q good out.txt`",
        "checked change exit 0 PASSED",
        "state PUBLISHING",
        "pull request 1",
        "end SUCCEEDED",
    ];
    assert_eq!(follower.visible(), expected);

    let branch = repository.only_branch();
    let show = |format: &str| repository.git(&["show", "-s", &format!("--format={format}"), &branch]);
    assert_eq!(
        repository.git(&["rev-list", "--count", &format!("main..{branch}")]),
        "1"
    );
    assert_eq!(show("%P"), repository.git(&["rev-parse", "main"]));
    assert_eq!(show("%an <%ae>"), "Backspace <backspace@noreply.invalid>");
    assert_eq!(repository.changes(&branch), ["M\tout.txt"]);
    assert_eq!(repository.file(&branch, "out.txt"), "good");

    let verified = follower.events.iter().find_map(|event| match &event.payload {
        Some(Payload::VerificationFinished(it)) if !it.baseline => Some(it.tree.clone()),
        _ => None,
    });
    assert_eq!(Some(show("%T")), verified);
    let pull_request = v1::PullRequest {
        number: 1,
        head_branch: branch.clone(),
        base_branch: "main".into(),
        head_commit: show("%H"),
        draft: true,
        ..v1::PullRequest::default()
    };
    let Some(v1::task::Outcome::Result(result)) = task.outcome.clone() else {
        panic!("{task:?}")
    };
    let opened = v1::PullRequest {
        url: String::new(),
        ..result.pull_request.clone().unwrap()
    };
    assert_eq!(opened, pull_request);
    assert_eq!(result.kind(), v1::task_result::Kind::PullRequest);
    assert_eq!(
        (result.branch.as_str(), result.summary.as_str()),
        (branch.as_str(), "It is good now.")
    );
    let facts: Vec<_> = result
        .evidence
        .iter()
        .map(|fact| (fact.baseline, fact.exit_code, fact.tree.clone()))
        .collect();
    let base_tree = repository.git(&["rev-parse", "main^{tree}"]);
    assert_eq!(facts, [(true, Some(1), base_tree), (false, Some(0), show("%T"))]);
    assert_eq!(
        server.client().get_task(&task.name).await.unwrap().outcome,
        task.outcome
    );

    let seen: Vec<_> = follower.events.iter().map(prost::Message::encode_to_vec).collect();
    assert_eq!(replay(&server, &task.name).await, seen);
    server.terminate().await;
    assert_eq!(site.sandboxes(), Vec::<String>::new());
    assert_eq!(site.pull_requests().len(), 1);

    let server = site.serve().start().await;
    assert_eq!(replay(&server, &task.name).await, seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_stream_does_not_stop_the_task_and_watch_goes_on_where_it_was() {
    let site = Site::new();
    let repository = site.red_repository();
    site.script("fix", good());
    let server = site.serve().start().await;
    let mut first = Follower::run(&server.client(), spec(&repository, "fix"));
    first.until_state(v1::task::State::Preparing).await;
    let before = first.events.len();
    // The connection goes with the only client that uses it.
    let mut second = first.go_on(&server.client());
    second.success().await;
    assert!(second.events.len() > before);
    let seen: Vec<_> = second.events.iter().map(prost::Message::encode_to_vec).collect();
    assert_eq!(replay(&server, &second.task()).await, seen);
    repository.only_branch();
}
