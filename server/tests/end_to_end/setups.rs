//! Set-up commands: run once for many Tasks where they may be, and otherwise for each.

use backspace_sdk::v1::{self, task_event::Payload};
use serde_json::json;

use crate::event_log::Follower;
use crate::repository::Repository;
use crate::script::{bash, finish, turn};
use crate::server::{TestServer, backend};
use crate::site::{Site, spec};

const SET_UP: &str = "mkdir -p deps && echo dep >deps/file && echo home >~/made";

/// A repository with set-up commands, and lines for their table.
fn repository(site: &Site, command: &str, more: &str, files: &[(&str, &str)]) -> Repository {
    let settings = format!(
        "[setup]\ncommands = ['{command}']\n{more}\n[verify]\ncommands = [\"grep -q good out.txt && cat deps/file ~/made\"]\n"
    );
    let mut all = vec![
        (".backspace.toml", settings.as_str()),
        (".gitignore", "deps/\n"),
        ("out.txt", "bad\n"),
    ];
    all.extend_from_slice(files);
    site.repository("project", "true", &all)
}

/// The model `fix` finds what the set-up left, spoils it, and does the work.
fn spoiling_model(site: &Site) {
    let spoil = "cat deps/file ~/made; echo spoilt >deps/file; echo spoilt >~/made; echo good >out.txt";
    site.script(
        "fix",
        json!([turn(&[bash(spoil)]), { "expect": ["dep\nhome\n"], "call": [finish("Done.")] }]),
    );
}

/// Returns what a Task told of its set-up, without the time.
fn told(follower: &Follower) -> Vec<String> {
    let steps = follower.events.iter().filter_map(|event| match &event.payload {
        Some(Payload::Progress(progress)) => Some(progress.step.clone()),
        _ => None,
    });
    steps
        .filter_map(|step| {
            let is_kept = step.starts_with("Set-up: the kept result of 20") && step.ends_with(" UTC is used");
            is_kept
                .then(|| "kept".to_owned())
                .or_else(|| step.strip_prefix("Setting up: ").map(str::to_owned))
        })
        .collect()
}

async fn run(server: &TestServer, spec: v1::TaskSpec) -> Follower {
    let mut follower = Follower::run(&server.client(), spec);
    follower.success().await;
    follower
}

/// Returns the keys of kept set-ups, for a backend that keeps them in the data folder.
fn kept(site: &Site) -> usize {
    let folder = match backend().as_str() {
        "local" => "data/sandboxes/setups",
        _ => "data/docker/setups",
    };
    std::fs::read_dir(site.path(folder)).map_or(0, Iterator::count)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_task_skips_the_set_up_until_a_lock_changes_and_no_agent_spoils_it() {
    let site = Site::new();
    let repository = repository(&site, SET_UP, "", &[]);
    spoiling_model(&site);
    let server = site.serve().start().await;
    let task = || spec(&repository, "fix");
    assert_eq!(told(&run(&server, task()).await), [SET_UP, "kept"]);
    assert_eq!(told(&run(&server, task()).await), ["kept"]);
    repository.others_commit("main", &[("other.txt", "1\n")]);
    assert_eq!(told(&run(&server, task()).await), ["kept"]);
    repository.others_commit("main", &[("package-lock.json", "{}\n")]);
    assert_eq!(told(&run(&server, task()).await), [SET_UP, "kept"]);
    let stated = v1::TaskSpec {
        environment: Some(v1::Environment {
            setup_commands: vec![format!("{SET_UP} && true")],
            ..v1::Environment::default()
        }),
        ..task()
    };
    assert_eq!(
        told(&run(&server, stated).await),
        [&format!("{SET_UP} && true"), "kept"]
    );
    // Whoever may push to another branch decides nothing for the Tasks of this one.
    repository.git(&["branch", "other", "main"]);
    let mut other = task();
    let source = other.repository.as_mut().unwrap();
    source.revision = Some(v1::repository::Revision::Branch("other".into()));
    assert_eq!(told(&run(&server, other).await), [SET_UP, "kept"]);
    assert_eq!(kept(&site), 4);

    // Another repository of the same content.
    let files = [".backspace.toml", ".gitignore", "out.txt", "package-lock.json"];
    let files = files.map(|name| (name, format!("{}\n", repository.file("main", name))));
    let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let twin = site.repository("twin", "true", &files);
    assert_eq!(told(&run(&server, spec(&twin, "fix")).await), [SET_UP, "kept"]);

    // A restarted server finds what was kept.
    server.terminate().await;
    let server = site.serve().start().await;
    assert_eq!(told(&run(&server, task()).await), ["kept"]);
    server.terminate().await;
    assert_eq!(site.sandboxes(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_cache_a_failed_set_up_and_one_that_leaves_changes_keep_nothing() {
    let site = Site::new();
    spoiling_model(&site);
    let server = site.serve().start().await;
    let refused = repository(&site, SET_UP, "cache = false", &[]);
    for _ in 0..2 {
        assert_eq!(told(&run(&server, spec(&refused, "fix")).await), [SET_UP]);
    }
    assert_eq!(kept(&site), 0);

    let failing = format!("{SET_UP} && echo oops && exit 3");
    let stated = |repository: &Repository, command: &str| v1::TaskSpec {
        environment: Some(v1::Environment {
            setup_commands: vec![command.to_owned()],
            ..v1::Environment::default()
        }),
        ..spec(repository, "fix")
    };
    refused.others_commit(
        "main",
        &[(".backspace.toml", "[verify]\ncommands = [\"grep -q good out.txt\"]\n")],
    );
    for _ in 0..2 {
        let mut follower = Follower::run(&server.client(), stated(&refused, &failing));
        let (failure, _) = follower.failure().await;
        assert!(
            failure.message.ends_with("ended with exit code Some(3): oops\n"),
            "{}",
            failure.message
        );
        assert_eq!(told(&follower), [failing.as_str()]);
    }
    assert_eq!(kept(&site), 0);

    // The first one tries to keep it, and says why it can't; the next ones know.
    let untidy = format!("{SET_UP} && echo x >untracked && echo x >>out.txt");
    let mut follower = Follower::run(&server.client(), stated(&refused, &untidy));
    follower.success().await;
    assert_eq!(told(&follower), [untidy.as_str(), untidy.as_str()]);
    let warning = "warning the result of the set-up is not kept, and each task on this commit sets up anew: it left more \
        than files that git ignores (M out.txt, ?? untracked); have .gitignore name them";
    assert_eq!(follower.count(warning), 1, "{:#?}", follower.visible());
    assert_eq!(told(&run(&server, stated(&refused, &untidy)).await), [untidy.as_str()]);
    assert_eq!(kept(&site), 0);
    server.terminate().await;
    assert_eq!(site.sandboxes(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_up_that_a_crash_or_a_cancel_interrupts_keeps_nothing() {
    let site = Site::new();
    spoiling_model(&site);
    let repository = repository(&site, &format!("{SET_UP} && echo halfway && sleep 600"), "", &[]);
    let server = site.serve().start().await;
    let mut follower = Follower::run(&server.client(), spec(&repository, "fix"));
    follower.until_output("halfway").await;
    server.kill9().await;
    let server = site.serve().start().await;
    let mut follower = follower.go_on(&server.client());
    follower.until_output("halfway").await;
    server.client().cancel_task(&follower.task(), "enough").await.unwrap();
    assert_eq!(follower.end().await.state(), v1::task::State::Cancelled);
    server.terminate().await;
    assert_eq!((kept(&site), site.sandboxes()), (0, Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_differs_from_the_set_up_s_commit_is_newer_than_what_it_built() {
    let site = Site::new();
    let names: Vec<String> = (0..1600)
        .map(|number| format!("d{}/{number}.txt", number % 9))
        .collect();
    let mut files = vec![("changed.txt", "1\n"), ("same.txt", "1\n")];
    files.extend(names.iter().map(|name| (name.as_str(), "1\n")));
    let repository = repository(&site, SET_UP, "", &files);
    let before = repository.git(&["rev-parse", "main"]);
    let after = repository.others_commit("main", &[("changed.txt", "2\n")]);
    let look = "cat changed.txt; for file in changed same; do [ $file.txt -nt deps/file ] && echo $file is newer; done; \
        git status --porcelain; echo good >out.txt";
    let model = |name: &str, expected: &str| {
        let last = json!({ "expect": [expected], "call": [finish("Done.")] });
        site.script(name, json!([turn(&[bash(look)]), last]));
    };
    model("old", "1\n");
    model("new", "2\nchanged is newer\n");
    let server = site.serve().start().await;
    // A checkout of the later commit is kept before the set-up of the earlier one.
    let other = v1::TaskSpec {
        environment: Some(v1::Environment {
            setup_commands: vec![format!("sleep 0.01; {SET_UP}")],
            ..v1::Environment::default()
        }),
        ..spec(&repository, "new")
    };
    drop(Follower::run(&server.client(), other).end().await);
    repository.git(&["update-ref", "refs/heads/main", &before]);
    assert_eq!(told(&run(&server, spec(&repository, "old")).await), [SET_UP, "kept"]);
    repository.git(&["update-ref", "refs/heads/main", &after]);
    assert_eq!(told(&run(&server, spec(&repository, "new")).await), ["kept"]);
    server.terminate().await;
}
