//! A repository large enough for its checkout to be kept: the next Task has it at once, and untouched.

use serde_json::json;

use crate::event_log::Follower;
use crate::script::{bash, finish, turn};
use crate::site::{Site, spec};

#[tokio::test(flavor = "multi_thread")]
async fn a_large_work_tree_is_checked_out_once_and_no_task_sees_another_s_files() {
    let site = Site::new();
    let names: Vec<String> = (0..1600)
        .map(|number| format!("d{}/{number}.txt", number % 9))
        .collect();
    let mut files = vec![("out.txt", "bad\n")];
    files.extend(names.iter().map(|name| (name.as_str(), "1\n")));
    let repository = site.repository("project", "grep -q good out.txt", &files);
    let change = "cat out.txt; ls leftover .git/leftover; touch leftover .git/leftover; echo good >out.txt; rm -r d3";
    site.script(
        "fix",
        json!([
            turn(&[bash(change)]),
            { "expect": ["bad", "'leftover': No such file", "'.git/leftover': No such file"], "call": [finish("Done.")] },
        ]),
    );
    let mut server = site.serve().start().await;
    for _ in 0..2 {
        Follower::run(&server.client(), spec(&repository, "fix"))
            .success()
            .await;
    }
    server.log_line("checkouts kept").await;
    let kept: Vec<_> = std::fs::read_dir(site.path("data/sandboxes/checkouts"))
        .unwrap()
        .collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    let branches = repository.branches();
    assert_eq!(branches.len(), 2);
    for branch in branches {
        let changes = repository.changes(&branch);
        assert_eq!(changes.iter().filter(|line| line.starts_with("D\td3/")).count(), 178);
        assert_eq!(changes.len(), 180, "{changes:?}");
        assert_eq!(repository.file(&branch, "out.txt"), "good");
    }
    server.terminate().await;
    assert_eq!(site.sandboxes(), Vec::<String>::new());
}
