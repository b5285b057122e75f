//! What a model was asked and answered: recorded without a secret, and replayed.

use backspace_sdk::{Client, REPLAY_DIVERGES, v1};
use serde_json::{Value, json};

use crate::event_log::Follower;
use crate::repository::Repository;
use crate::script::{bash, finish, good, turn, write};
use crate::site::{Site, spec};

const CANARY: &str = "canary-Zq8/\"x\\7-not-a-real-key";

async fn artifact(client: &Client, task: &str, name: &str) -> String {
    let bytes = client
        .read_artifact(&format!("{task}/artifacts/{name}"))
        .read_to_end(1 << 20)
        .await;
    String::from_utf8(bytes.unwrap()).unwrap()
}

/// Asks for the same as before, answered by the recording of a Task.
fn replay_of(task: &str, repository: &Repository) -> v1::TaskSpec {
    v1::TaskSpec {
        model: task.replace("tasks/", "replay/"),
        publication: Some(v1::Publication {
            mode: v1::publication::Mode::PatchOnly.into(),
            ..v1::Publication::default()
        }),
        ..spec(repository, "unused")
    }
}

fn divergences(follower: &Follower) -> Vec<String> {
    let start = format!("warning {REPLAY_DIVERGES}");
    follower
        .visible()
        .into_iter()
        .filter(|line| line.starts_with(&start))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_has_every_exchange_once_and_no_secret() {
    let site = Site::new();
    let repository = site.red_repository();
    std::fs::write(site.path(".env"), format!("OPENAI_API_KEY='{CANARY}'\n")).unwrap();
    let print = format!("printf %s '{CANARY}'; printf ghp_%s 0123456789abcdefABCDEF0123456789abcd");
    site.script(
        "fix",
        json!([
            { "say": format!("I found {CANARY}."), "call": [bash(&print)] },
            turn(&[write("out.txt", "good\n")]),
            turn(&[finish("Done.")]),
        ]),
    );
    let server = site.serve().start().await;
    let mut follower = Follower::run(&server.client(), spec(&repository, "fix"));
    follower.success().await;
    let recording = artifact(&server.client(), &follower.task(), "exchanges").await;
    for hidden in [CANARY, "canary-Zq8", "ghp_0123456789"] {
        assert!(!recording.contains(hidden), "{hidden} is in {recording}");
    }
    let exchanges: Vec<Value> = recording
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let new_items: Vec<usize> = exchanges
        .iter()
        .map(|it| it["new_items"].as_array().unwrap().len())
        .collect();
    assert_eq!(new_items, [1, 1, 1]);
    assert_eq!(exchanges[0]["outcome"]["answer"]["text"], "I found [redacted].");
    // What was printed is there, so that its absence above means something.
    let printed = exchanges[1]["new_items"][0]["tool_results"]["results"][0]["content"]
        .as_str()
        .unwrap();
    assert!(printed.contains("[redacted]"), "{printed}");
    server.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_does_the_same_again_and_asks_no_model() {
    let site = Site::new();
    let repository = site.red_repository();
    site.script("fix", good());
    let server = site.serve().start().await;
    let mut first = Follower::run(&server.client(), spec(&repository, "fix"));
    let recorded = first.success().await;
    // The model that answered is not there any more.
    std::fs::remove_file(site.path("scripts").join("fix.toml")).unwrap();
    let mut again = Follower::run(&server.client(), replay_of(&first.task(), &repository));
    let replayed = again.success().await;
    assert_eq!(divergences(&again), Vec::<String>::new());
    assert_eq!((replayed.patch, replayed.summary), (recorded.patch, recorded.summary));
    // A replay is recorded too, and so can be replayed.
    let mut third = Follower::run(&server.client(), replay_of(&again.task(), &repository));
    third.success().await;
    assert_eq!(divergences(&third), Vec::<String>::new());
    server.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_tells_the_turn_and_the_item_that_differ_first() {
    let site = Site::new();
    let repository = site.red_repository();
    site.script(
        "fix",
        json!([
            turn(&[bash("echo steady")]),
            turn(&[bash("head -c 9 /dev/urandom | od -An -tx1")]),
            turn(&[write("out.txt", "good\n")]),
            turn(&[finish("Done.")]),
        ]),
    );
    let server = site.serve().start().await;
    let mut first = Follower::run(&server.client(), spec(&repository, "fix"));
    first.success().await;
    let mut again = Follower::run(&server.client(), replay_of(&first.task(), &repository));
    again.success().await;
    let told = divergences(&again);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("in turn 3: exchange 3 has another item 5; recorded `"),
        "{told:?}"
    );
    server.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_is_killed_goes_on_with_the_next_answer() {
    let site = Site::new();
    let repository = site.red_repository();
    let slow = "test -e go || { echo begun; sleep 2; }";
    site.script(
        "fix",
        json!([
            turn(&[write("out.txt", "good\n")]),
            turn(&[bash(slow)]),
            turn(&[finish("Done.")])
        ]),
    );
    let server = site.serve().start().await;
    let mut first = Follower::run(&server.client(), spec(&repository, "fix"));
    first.success().await;
    let mut again = Follower::run(&server.client(), replay_of(&first.task(), &repository));
    again.until_output("begun").await;
    server.kill9().await;
    let server = site.serve().start().await;
    let mut again = again.go_on(&server.client());
    assert_eq!(again.success().await.summary, "Done.");
    // The call that was cut off is another result than the recorded one.
    assert_eq!(divergences(&again).len(), 1, "{:?}", again.visible());
    server.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_recorded_is_refused_at_once() {
    let site = Site::new();
    let repository = site.red_repository();
    let server = site.serve().start().await;
    let unknown = replay_of("tasks/00000000000000000000000000000000", &repository);
    let error = server.client().create_task(unknown).await.unwrap_err();
    assert!(
        error.to_string().contains("no task `00000000000000000000000000000000`"),
        "{error}"
    );
    server.terminate().await;
}
