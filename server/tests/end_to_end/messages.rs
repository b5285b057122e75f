//! Messages into a Task: read by its next turn, or the start of a Task that goes on from it.

use backspace_sdk::v1;
use backspace_sdk::v1::task_event::Payload;
use serde_json::json;

use crate::event_log::Follower;
use crate::script::{bash, finish, good, turn, write};
use crate::site::{Site, spec};

fn message(task: &str, text: &str) -> v1::SendMessageRequest {
    v1::SendMessageRequest {
        name: task.into(),
        text: text.into(),
        ..v1::SendMessageRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_task_reads_a_message_before_its_next_turn() {
    let site = Site::new();
    let repository = site.red_repository();
    site.script(
        "fix",
        json!([
            turn(&[bash("echo begun; sleep 5")]),
            { "expect": "very good, please", "call": [write("out.txt", "very good\n"), finish("Very good.")] },
        ]),
    );
    let server = site.serve().start().await;
    let client = server.client();
    let mut follower = Follower::run(&client, spec(&repository, "fix"));
    follower.until_output("begun").await;
    let sent = client
        .send_message(message(&follower.task(), "very good, please"))
        .await
        .unwrap();
    assert_eq!(sent.name, follower.task());
    follower.success().await;
    assert_eq!(follower.count("message very good, please"), 1);
    assert_eq!(repository.file(&repository.only_branch(), "out.txt"), "very good");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_to_a_finished_task_goes_on_from_it_on_the_same_branch() {
    let site = Site::new();
    let repository = site.red_repository();
    site.script("fix", good());
    let server = site.serve().start().await;
    let client = server.client();
    let mut first = Follower::run(&client, spec(&repository, "fix"));
    let before = first.success().await.pull_request.unwrap();

    site.script(
        "fix",
        json!([
            { "expect": ["Also say so in a file", "It is good now."], "call": [bash("cat out.txt")] },
            { "expect": "good", "call": [write("note.txt", "It is good.\n"), finish("Said so.")] },
        ]),
    );
    let request = v1::SendMessageRequest {
        request_id: uuid::Uuid::new_v4().to_string(),
        ..message(&first.task(), "Also say so in a file")
    };
    let next = client.send_message(request.clone()).await.unwrap();
    assert_ne!(next.name, first.task());
    assert_eq!(next.continues, first.task());
    assert_eq!(client.send_message(request).await.unwrap().name, next.name);
    let mut second = Follower::of(client.watch(&next.name, 0));
    let after = second.success().await.pull_request.unwrap();

    let branch = repository.only_branch();
    let expected = v1::PullRequest {
        head_commit: repository.git(&["rev-parse", &branch]),
        ..before.clone()
    };
    assert_eq!(after, expected);
    assert_eq!(
        repository.git(&["rev-parse", &format!("{branch}^")]),
        before.head_commit
    );
    assert_eq!(repository.changes(&branch), ["A\tnote.txt", "M\tout.txt"]);
    assert_eq!(site.pull_requests().len(), 1);
}

/// The message comes while the change is looked through for secrets, which takes a moment for 7 MB.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_comes_after_the_checks_is_read_if_it_was_accepted() {
    let site = Site::new();
    let repository = site.red_repository();
    site.script(
        "fix",
        json!([
            turn(&[bash("seq -f 'line %.0f of a long list of numbers' 1 190000 >numbers.txt; echo good >out.txt")]),
            turn(&[finish("It is good now.")]),
            { "expect": "One more thing", "call": [write("note.txt", "more\n"), finish("Did one more thing.")] },
        ]),
    );
    let server = site.serve().start().await;
    let client = server.client();
    let mut follower = Follower::run(&client, spec(&repository, "fix"));
    let mut checks = 0;
    follower
        .until("the end of the checks", |payload| {
            checks += usize::from(matches!(payload, Payload::VerificationFinished(_)));
            checks == 2
        })
        .await;
    let sent = client
        .send_message(message(&follower.task(), "One more thing"))
        .await
        .unwrap();
    assert_eq!(sent.name, follower.task(), "the window was missed");
    follower.success().await;
    assert_eq!(repository.file(&repository.only_branch(), "note.txt"), "more");
}
