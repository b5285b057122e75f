//! Repositories that a Task can't work with, or only in part: each ends in a clear outcome.

use backspace_sdk::v1;

use crate::event_log::Follower;
use crate::repository::{Repository, run};
use crate::script::good;
use crate::site::{Site, spec};

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_can_not_be_worked_with_fails_its_task_with_the_reason() {
    let site = Site::new();
    site.script("fix", good());
    let path = |name: &str| site.path("repositories").join(name);
    let at = |name: &str| path(name).to_str().unwrap().to_owned();

    run(&["init", "-q", "--bare", &at("empty.git")]);
    let detached = site.repository("detached", "true", &[("a", "1\n")]);
    let commit = detached.git(&["rev-parse", "main"]);
    detached.git(&["update-ref", "--no-deref", "HEAD", &commit]);
    let unborn = site.repository("unborn", "true", &[("a", "1\n")]);
    unborn.git(&["symbolic-ref", "HEAD", "refs/heads/nowhere"]);
    let deep = site.repository("deep", "true", &[("a", "1\n")]);
    deep.others_commit("main", &[("b", "2\n")]);
    let source = format!("file://{}", at("deep.git"));
    run(&["clone", "-q", "--bare", "--depth=1", &source, &at("shallow.git")]);
    let zero = "\0".repeat(101 << 20);
    site.repository("huge", "true", &[("huge", &zero)]);

    let server = site.serve().start().await;
    let unavailable = v1::failure::Reason::RepositoryUnavailable;
    for (name, reason, words) in [
        ("empty", unavailable, "the repository has no commit yet"),
        (
            "detached",
            unavailable,
            "its HEAD is detached or names none; say which branch to use",
        ),
        (
            "unborn",
            unavailable,
            "its HEAD is detached or names none; say which branch to use",
        ),
        (
            "shallow",
            unavailable,
            "it is a shallow clone; complete it with `git fetch --unshallow`",
        ),
        (
            "huge",
            v1::failure::Reason::PolicyDenied,
            "the file huge is larger than 100 MiB",
        ),
    ] {
        let repository = Repository::of(path(&format!("{name}.git")));
        let (failure, _) = Follower::run(&server.client(), spec(&repository, "fix"))
            .failure()
            .await;
        assert_eq!(failure.reason(), reason, "{name}: {failure:?}");
        assert!(failure.message.contains(words), "{name}: {failure:?}");
        assert!(!failure.retryable, "{name}: {failure:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_fetched_is_told_and_stays_as_it_is() {
    let site = Site::new();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
    let repository = site.repository(
        "project",
        "grep -q good out.txt",
        &[
            ("out.txt", "bad\n"),
            ("large.bin", pointer),
            (".gitattributes", "*.bin filter=lfs -text\n"),
            (
                ".gitmodules",
                "[submodule \"sub\"]\n\tpath = sub\n\turl = https://forge.invalid/sub\n",
            ),
        ],
    );
    site.script("fix", good());
    let server = site.serve().start().await;
    let mut follower = Follower::run(&server.client(), spec(&repository, "fix"));
    follower.success().await;
    let warnings: Vec<&str> = follower
        .events
        .iter()
        .filter_map(|event| match &event.payload {
            Some(v1::task_event::Payload::Warning(warning)) => Some(warning.message.as_str()),
            _ => None,
        })
        .collect();
    let told = [
        "submodules are not fetched, their folders are empty: sub",
        "contents in Git LFS are not fetched, these files are pointers: *.bin",
    ];
    assert_eq!(warnings, told);
    let branch = repository.only_branch();
    assert_eq!(repository.changes(&branch), ["M\tout.txt"]);
    let body = site.pull_requests()[0]["body"].as_str().unwrap_or_default().to_owned();
    for sentence in told {
        assert!(body.contains(sentence.split(':').next().unwrap()), "{body}");
    }
}
