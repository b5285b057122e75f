//! Images of sandboxes, where a backend makes sandboxes of images: tests/parts/docker.sh.

use std::process::Command;

use backspace_sdk::v1::task_event::Payload;
use serde_json::json;

use crate::event_log::Follower;
use crate::registry::Registry;
use crate::script::{bash, finish, good, turn, write};
use crate::site::{Site, spec};

/// Another name of the image that the part made, which goes with the guard.
struct Tag(String);

impl Tag {
    fn new(name: &str) -> Self {
        let image = std::env::var("BACKSPACE_IMAGE").unwrap();
        let tag = Self(format!("{name}:{}", std::process::id()));
        succeed(Command::new("docker").args(["tag", &image, &tag.0]));
        tag
    }
}

/// Runs a command that must succeed, and returns what it wrote.
fn succeed(command: &mut Command) -> String {
    let run = command.output().unwrap();
    assert!(run.status.success(), "{command:?}: {run:?}");
    String::from_utf8(run.stdout).unwrap()
}

impl Drop for Tag {
    fn drop(&mut self) {
        drop(Command::new("docker").args(["rmi", &self.0]).output());
    }
}

/// Returns what is said of the image, and the warnings.
fn said(follower: &Follower) -> Vec<String> {
    let words = |payload: &Payload| match payload {
        Payload::Progress(progress) => Some(progress.step.clone()).filter(|step| step.contains(" image ")),
        Payload::Warning(warning) => Some(warning.message.clone()),
        _ => None,
    };
    let payloads = follower.events.iter().filter_map(|event| event.payload.as_ref());
    payloads.filter_map(words).collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Docker engine: sh tests/parts/docker.sh"]
async fn a_repository_and_a_request_may_name_an_image_that_the_server_allows() {
    let site = Site::new();
    let (allowed, other) = (Tag::new("backspace-e2e-allowed"), Tag::new("backspace-e2e-other"));
    let usual = std::env::var("BACKSPACE_IMAGE").unwrap();
    site.script("fix", good());
    let server = site
        .serve()
        .flag("--allowed-images", "backspace-e2e-allowed:*")
        .start()
        .await;
    let refused = format!(
        "the image {} of .backspace.toml is not allowed by this server, which uses its own instead",
        other.0
    );
    for (name, of_file, of_request, used, warnings) in [
        ("none", None, None, &usual, 0),
        ("file", Some(&allowed.0), None, &allowed.0, 0),
        ("denied", Some(&other.0), None, &usual, 1),
        ("request", Some(&other.0), Some(&allowed.0), &allowed.0, 0),
    ] {
        let image = of_file
            .map(|image| format!("[sandbox]\nimage = \"{image}\"\n"))
            .unwrap_or_default();
        let settings = format!("[verify]\ncommands = [\"grep -q good out.txt\"]\n{image}");
        let files = [(".backspace.toml", settings.as_str()), ("out.txt", "bad\n")];
        let repository = site.repository(name, "true", &files);
        let mut asked = spec(&repository, "fix");
        if let Some(image) = of_request {
            asked.environment.get_or_insert_default().image.clone_from(image);
        }
        let mut follower = Follower::run(&server.client(), asked);
        follower.success().await;
        let said = said(&follower);
        let made = format!("The sandbox is made of the image {used} (sha256:");
        assert_eq!(
            said.iter().filter(|words| words.starts_with(&made)).count(),
            1,
            "{name}: {said:?}"
        );
        assert_eq!(
            said.iter().filter(|words| **words == refused).count(),
            warnings,
            "{name}: {said:?}"
        );
    }
    let mut asked = spec(&site.repository("wanted", "true", &[("out.txt", "bad\n")]), "fix");
    asked.environment.get_or_insert_default().image.clone_from(&other.0);
    let (failure, _) = Follower::run(&server.client(), asked).failure().await;
    assert!(failure.message.contains("is not allowed by this server"), "{failure:?}");
    server.terminate().await;
    assert_eq!(site.sandboxes(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Docker engine: sh tests/parts/docker.sh"]
async fn a_sandbox_that_is_entered_again_needs_its_image_no_more() {
    let site = Site::new();
    let image = Tag::new("backspace-e2e-gone");
    let repository = site.red_repository();
    site.script(
        "fix",
        json!([
            turn(&[write("out.txt", "good\n"), bash("echo begun; sleep 600")]),
            turn(&[finish("It is good now.")]),
        ]),
    );
    let server = || site.serve().flag("--allowed-images", "backspace-e2e-gone:*").start();
    let mut asked = spec(&repository, "fix");
    asked.environment.get_or_insert_default().image.clone_from(&image.0);
    let first = server().await;
    let mut follower = Follower::run(&first.client(), asked);
    follower.until_output("begun").await;
    first.begin_to_stop();
    assert_eq!(first.ended().await.code(), Some(0));
    drop(image);

    let second = server().await;
    let mut follower = follower.go_on(&second.client());
    follower.success().await;
    let said = said(&follower);
    let made = said.iter().filter(|words| words.starts_with("The sandbox is made of"));
    assert_eq!(made.count(), 1, "{said:?}");
    assert_eq!(repository.changes(&repository.only_branch()), ["M\tout.txt"]);
    second.terminate().await;
    assert_eq!(site.sandboxes(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Docker engine: sh tests/parts/docker.sh"]
async fn an_image_that_the_engine_lacks_is_pulled_and_the_events_say_so() {
    let (site, registry) = (Site::new(), Registry::start());
    let image = Tag(format!("127.0.0.1:{}/team/small:1", registry.port()));
    let archive = site.path("small.tar");
    succeed(
        Command::new("sh")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/docker/small_image.sh"))
            .arg(&archive),
    );
    let docker = |arguments: &[&str]| succeed(Command::new("docker").args(arguments));
    let id = docker(&["import", archive.to_str().unwrap(), &image.0]);
    docker(&["push", "--quiet", &image.0]);
    docker(&["rmi", &image.0]);

    site.script("fix", good());
    let server = site
        .serve()
        .flag("--allowed-images", "127.0.0.1:*")
        .env("BACKSPACE_IMAGE_PULL", "missing")
        .start()
        .await;
    let mut asked = spec(&site.red_repository(), "fix");
    asked.environment.get_or_insert_default().image.clone_from(&image.0);
    let mut follower = Follower::run(&server.client(), asked.clone());
    follower.success().await;
    let said = said(&follower);
    let pulling = format!("Pulling the image {}: ", image.0);
    let made = format!("The sandbox is made of the image {} ({})", image.0, id.trim());
    assert!(said.len() >= 2, "{said:?}");
    assert!(
        said[..said.len() - 1].iter().all(|words| words.starts_with(&pulling)),
        "{said:?}"
    );
    assert_eq!(said.last(), Some(&made));

    asked.environment.get_or_insert_default().image = format!("{}2", image.0);
    let (failure, _) = Follower::run(&server.client(), asked).failure().await;
    assert!(
        failure.message.contains("manifest unknown") && !failure.retryable,
        "{failure:?}"
    );
    server.terminate().await;
    assert_eq!(site.sandboxes(), Vec::<String>::new());
}
