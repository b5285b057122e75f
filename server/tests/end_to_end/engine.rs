//! What becomes of a Task whose container is ended at the engine, and what is left there: tests/parts/docker.sh.

use std::process::Command;

use backspace_sdk::v1::failure::Reason;
use backspace_sdk::v1::task_event::Payload;
use serde_json::json;

use crate::event_log::Follower;
use crate::own_engine::{OwnEngine, SMALL};
use crate::script::{bash, finish, good, turn, write};
use crate::site::{Site, spec};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Docker engine: sh tests/parts/docker.sh"]
async fn a_killed_container_costs_no_saved_work() {
    let site = Site::new();
    let repository = site.red_repository();
    site.script(
        "fix",
        json!([
            turn(&[write("out.txt", "good\n")]),
            // The work of the first turn is saved beside this.
            turn(&[bash("sleep 3; echo begun; sleep 600")]),
            turn(&[finish("It is good now.")]),
        ]),
    );
    let server = site.serve().start().await;
    let mut follower = Follower::run(&server.client(), spec(&repository, "fix"));
    follower.until_output("begun").await;
    let killed = Command::new("docker")
        .arg("kill")
        .args(site.sandboxes())
        .output()
        .unwrap();
    assert!(killed.status.success(), "{killed:?}");
    follower.success().await;
    let resumed = follower.events.iter().filter_map(|event| match &event.payload {
        Some(Payload::RunResumed(resumed)) => Some(resumed.cause.clone()),
        _ => None,
    });
    let resumed: Vec<_> = resumed.collect();
    assert!(
        matches!(resumed.as_slice(), [cause] if cause.starts_with("the sandbox was lost")),
        "{resumed:?}"
    );
    assert_eq!(repository.changes(&repository.only_branch()), ["M\tout.txt"]);
    server.terminate().await;
    assert_eq!(site.sandboxes(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Docker engine: sh tests/parts/docker.sh"]
async fn an_engine_that_stops_fails_its_task_for_now_with_the_work_kept() {
    let (mut engine, site) = (OwnEngine::start(), Site::new());
    let repository = site.red_repository();
    site.script(
        "long",
        json!([
            turn(&[write("out.txt", "good\n")]),
            // The work of the first turn is saved beside this.
            turn(&[bash("sleep 3; echo begun; sleep 600")]),
        ]),
    );
    site.script("fix", good());
    let server = site
        .serve()
        .env("DOCKER_HOST", &engine.host())
        .flag("--image", SMALL)
        .start()
        .await;
    let mut follower = Follower::run(&server.client(), spec(&repository, "long"));
    follower.until_output("begun").await;
    tokio::task::block_in_place(|| engine.stop());
    let (failure, kept) = follower.failure().await;
    assert_eq!(failure.reason(), Reason::SandboxUnavailable, "{failure:?}");
    assert!(failure.retryable, "{failure:?}");
    assert!(kept.patch.contains("+++ b/out.txt"), "{kept:?}");

    tokio::task::block_in_place(|| engine.begin());
    Follower::run(&server.client(), spec(&repository, "fix"))
        .success()
        .await;
    server.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Docker engine: sh tests/parts/docker.sh"]
async fn the_doctor_leaves_nothing_there() {
    let site = Site::new();
    let examined = Command::new(env!("CARGO_BIN_EXE_backspace-server"))
        .arg("doctor")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", site.path("home"))
        .env("BACKSPACE_IMAGE", std::env::var_os("BACKSPACE_IMAGE").unwrap())
        .env("BACKSPACE_SANDBOX", "docker")
        .env("BACKSPACE_DATA_FOLDER", site.path("data"))
        .env("BACKSPACE_POOL_SIZE", "2")
        .current_dir(site.root())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&examined.stdout);
    assert!(examined.status.success(), "{said}");
    assert!(said.contains("docker: every layer was tried and holds"), "{said}");
    assert_eq!(site.sandboxes(), Vec::<String>::new());
}
