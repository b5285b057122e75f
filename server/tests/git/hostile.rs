//! Work trees that an agent has broken or laid traps in: the files are saved, and nothing runs on the host.

use std::path::Path;
use std::sync::Arc;

use backspace_server::forge::git::{DiffRequest, GitLimits};
use backspace_server::orchestrator::workspace::{Workspace, WorkspaceError};

use crate::bench::{Bench, sh};
use crate::fixture::main_branch;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_agent_does_to_its_git_folder_the_files_are_saved() {
    let bench = Bench::new(&[("a", b"1\n"), ("b", b"2\n")]).await;
    let (sandbox, workspace) = bench.workspace().await;
    let mut last = None;
    for (number, command) in [
        "git add -A && git commit -qm mine",
        "git checkout -q -b other && git rm -q --cached b && git commit -qm less",
        "git update-index --assume-unchanged a; git update-index --skip-worktree b || :",
        "echo a > .git/info/sparse-checkout; git config core.sparseCheckout true",
        "git config core.hooksPath hooks; git config core.bare true; git config core.worktree /tmp",
        "touch .git/index.lock .git/backspace/index.lock .git/HEAD.lock",
        "echo garbage > .git/index; echo garbage > .git/backspace/index",
        "rm -rf .git/objects; mkdir .git/objects",
        // All files are hashed anew: the new tree is whole, and only what it is compared with is gone.
        "touch -d 2001-01-01 b; rm -rf .git/objects; mkdir .git/objects",
        "rm .git/HEAD",
        "rm -rf .git && git init -q . && git add -A && git -c user.name=a -c user.email=a commit -qm new",
        "rm -rf .git && echo 'gitdir: /tmp/nowhere' > .git",
        "rm -rf .git && ln -s /tmp .git",
        "rm -rf .git",
    ]
    .iter()
    .enumerate()
    {
        sh(&sandbox, &format!("echo {number} > a && {command}")).await;
        let saved = workspace.save(last.as_ref(), 1).await;
        let checkpoint = saved.unwrap_or_else(|error| panic!("{command}: {error}"));
        let checkpoint = checkpoint.unwrap_or_else(|| panic!("{command}: nothing saved"));
        assert_eq!(
            bench.content(&checkpoint),
            [format!("100644 a {number}"), "100644 b 2".into()],
            "{command}"
        );
        last = Some(checkpoint);
    }
    sandbox.destroy().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_every_kind_come_out_as_they_are() {
    let bench = Bench::new(&[("a", b"1\n")]).await;
    let (sandbox, workspace) = bench.workspace().await;
    sh(
        &sandbox,
        r#"printf x > "$(printf 'new\nline')"; printf x > ' lead'; printf x > '$(id)'; printf x > -dash; printf x > "$(printf 'b\377d')"
           printf x > '160000'; printf x > 'tab	'; mkdir -p A a1 && printf x > A/x && printf x > "quote'\""; printf x > :colon"#,
    )
    .await;
    let checkpoint = workspace.save(None, 1).await.unwrap().unwrap();
    let (_, base_tree) = bench.quarantine.base();
    let diff = bench
        .quarantine
        .diff(base_tree, &checkpoint.tree, DiffRequest::Files)
        .await
        .unwrap();
    let mut names: Vec<Vec<u8>> = diff.files.into_iter().map(|file| file.path).collect();
    names.sort();
    let mut expected: Vec<&[u8]> = vec![
        b"new\nline",
        b" lead",
        b"$(id)",
        b"-dash",
        b"b\xffd",
        b"160000",
        b"tab\t",
        b"A/x",
        b"quote'\"",
        b":colon",
    ];
    expected.sort();
    assert_eq!(names, expected);
    sandbox.destroy().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nested_repository_does_not_stop_a_save() {
    let bench = Bench::new(&[("a", b"1\n")]).await;
    let (sandbox, workspace) = bench.workspace().await;
    sh(&sandbox, "git init -q bare-born && echo x > bare-born/x; echo 2 > a").await;
    let first = workspace.save(None, 1).await.unwrap().unwrap();
    assert_eq!(bench.content(&first), ["100644 a 2"]);
    // With a commit it is a gitlink, which the diff shows and policy judges.
    sh(
        &sandbox,
        "cd bare-born && git add x && git -c user.name=a -c user.email=a commit -qm x",
    )
    .await;
    let second = workspace.save(Some(&first), 2).await.unwrap().unwrap();
    assert_eq!(bench.content(&second), ["100644 a 2", "160000 bare-born commit"]);
    sandbox.destroy().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_planted_in_a_work_tree_runs_on_the_host() {
    let bench = Bench::new(&[("a", b"1\n"), (".gitattributes", b"* filter=evil diff=evil\n")]).await;
    let (sandbox, workspace) = bench.workspace().await;
    // Each of them would run in a git that is pointed at this folder. Inside, some do: that is the control.
    sh(
        &sandbox,
        "git config core.fsmonitor 'touch /tmp/ran; false'
         git config filter.evil.clean 'touch /tmp/ran /tmp/clean; cat'; git config filter.evil.smudge 'touch /tmp/ran; cat'
         git config diff.evil.textconv 'touch /tmp/ran; cat'; git config diff.evil.command 'touch /tmp/ran'
         git config url.ext::sh.insteadOf https:
         git config core.pager 'touch /tmp/ran'; git config alias.status '!touch /tmp/ran'
         mkdir -p .git/hooks nested; for hook in pre-commit post-checkout post-index-change reference-transaction pre-push; do
           printf '#!/bin/sh\ntouch /tmp/ran\n' > .git/hooks/$hook; chmod +x .git/hooks/$hook; done
         git init -q nested; git -C nested config core.fsmonitor 'touch /tmp/ran'; echo x > nested/x
         echo /etc > nested/.git/objects/info/alternates; echo 2 > a",
    )
    .await;
    let marker = Path::new("/tmp/ran");
    assert!(!marker.exists(), "left by an earlier run: remove {}", marker.display());
    let checkpoint = workspace.save(None, 1).await.unwrap().unwrap();
    assert!(
        sh(&sandbox, "ls /tmp").await.contains("clean"),
        "the control: the filter ran inside"
    );
    let (base, base_tree) = bench.quarantine.base();
    let diff = bench
        .quarantine
        .diff(base_tree, &checkpoint.tree, DiffRequest::Appliable(1 << 20))
        .await
        .unwrap();
    assert_eq!(diff.files.len(), 1);
    assert!(bench.quarantine.is_ancestor(base, &checkpoint.commit).await.unwrap());
    assert!(!marker.exists(), "something planted ran on the host");
    sandbox.destroy().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_script_tells_why() {
    let bench = Bench::new(&[("a", b"1\n")]).await;
    let sandbox = bench.sandbox().await;
    sh(&sandbox, "mkdir .git").await;
    let error = Workspace::materialize(Arc::clone(&sandbox), bench.quarantine.clone(), &main_branch()).await;
    let Err(WorkspaceError::Script { what, message }) = error else {
        panic!("it was made");
    };
    assert_eq!(
        (what, message.as_str()),
        ("checked out", "the work tree is not empty (exit status 1)")
    );
    sandbox.destroy().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_too_large_to_be_kept_are_named() {
    let limits = GitLimits {
        file_bytes: 1000,
        ..GitLimits::default()
    };
    let bench = Bench::with_limits(limits, &[("a", b"1\n")]).await;
    let (sandbox, workspace) = bench.workspace().await;
    sh(
        &sandbox,
        "mkdir out; head -c 1001 /dev/zero > out/big; head -c 1000 /dev/zero > fits",
    )
    .await;
    let error = workspace.save(None, 1).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the work tree could not be saved: a file is larger than 0 MiB: ./out/big; \
         remove what does not belong into the repository, or add it to .gitignore"
    );
    sh(&sandbox, "echo out > .gitignore").await;
    let checkpoint = workspace.save(None, 1).await.unwrap().unwrap();
    assert_eq!(bench.content(&checkpoint).len(), 3);
    sandbox.destroy().await.unwrap();
}
