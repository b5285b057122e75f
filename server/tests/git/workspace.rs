//! Work trees: into a real sandbox, out of it, back after a loss, and onto another base.

use std::sync::Arc;

use backspace_server::forge::git::DiffRequest;
use backspace_server::orchestrator::workspace::{Rebased, Workspace};

use crate::bench::{Bench, sh};
use crate::fixture::{Bare, git};

#[tokio::test(flavor = "multi_thread")]
async fn a_work_tree_goes_in_and_its_changes_come_out() {
    let bench = Bench::new(&[("a", b"1\n"), ("dir/b", b"2\n"), (".gitignore", b"ignored\n")]).await;
    let (sandbox, workspace) = bench.workspace().await;
    assert_eq!(
        sh(&sandbox, "git status --porcelain && git log --format=%s && cat dir/b").await,
        "a commit\n2\n"
    );
    assert_eq!(workspace.save(None, 1).await.unwrap(), None);

    sh(
        &sandbox,
        "echo new > n; echo changed > a; rm dir/b; ln -s a l; chmod +x n; touch ignored; mkdir empty",
    )
    .await;
    let first = workspace.save(None, 1).await.unwrap().unwrap();
    assert_eq!(
        bench.content(&first),
        [
            "100644 .gitignore ignored",
            "100644 a changed",
            "120000 l a",
            "100755 n new"
        ]
    );
    assert_eq!(first.turn, 1);
    assert_eq!(workspace.save(Some(&first), 2).await.unwrap(), None);

    // Touched, but the same: no checkpoint. Undone: the base again, which is one.
    sh(&sandbox, "touch a n; cat a > t; rm t").await;
    assert_eq!(workspace.save(Some(&first), 2).await.unwrap(), None);
    sh(&sandbox, "git checkout -q . ; rm n l").await;
    let second = workspace.save(Some(&first), 3).await.unwrap().unwrap();
    assert_eq!(second.tree, bench.mirror.tree);
    sandbox.destroy().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_make_no_phantom_change() {
    let bench = Bench::new(&[
        (
            ".gitattributes",
            b"*.txt text eol=crlf\nw working-tree-encoding=UTF-16\nlfs filter=lfs\n",
        ),
        ("crlf.txt", b"one\r\ntwo\r\n"),
        ("mixed.txt", b"one\r\ntwo\n"),
        ("w", "gr\u{fc}n\n".as_bytes()),
        (
            "lfs",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
        ),
        ("a", b"1\n"),
    ])
    .await;
    let (sandbox, workspace) = bench.workspace().await;
    sh(&sandbox, "touch -d '2001-01-01' *").await;
    assert_eq!(workspace.save(None, 1).await.unwrap(), None);
    sh(&sandbox, "printf 'one\r\ntwo\r\nthree\r\n' > mixed.txt; touch *").await;
    let checkpoint = workspace.save(None, 1).await.unwrap().unwrap();
    let (_, base_tree) = bench.quarantine.base();
    let diff = bench
        .quarantine
        .diff(base_tree, &checkpoint.tree, DiffRequest::Files)
        .await
        .unwrap();
    let changed: Vec<String> = diff.files.iter().map(|file| file.display_path()).collect();
    assert_eq!(changed, ["mixed.txt"]);

    // The same after a restart of the server.
    let workspace = Workspace::reenter(Arc::clone(&sandbox), bench.quarantine.clone())
        .await
        .unwrap();
    sh(&sandbox, "touch -d '2002-02-02' *; echo 2 > a").await;
    let checkpoint = workspace.save(Some(&checkpoint), 2).await.unwrap().unwrap();
    let diff = bench
        .quarantine
        .diff(base_tree, &checkpoint.tree, DiffRequest::Files)
        .await
        .unwrap();
    let changed: Vec<String> = diff.files.iter().map(|file| file.display_path()).collect();
    assert_eq!(changed, ["a", "mixed.txt"]);
    sandbox.destroy().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_sandbox_is_made_again_from_the_checkpoint() {
    let bench = Bench::new(&[("a", b"1\n"), ("gone", b"2\n")]).await;
    let (sandbox, workspace) = bench.workspace().await;
    sh(
        &sandbox,
        "echo 2 > a; rm gone; mkdir d; head -c 1000000 /dev/urandom > d/big; chmod +x d/big",
    )
    .await;
    let sum = sh(&sandbox, "sha256sum d/big").await;
    let checkpoint = workspace.save(None, 4).await.unwrap().unwrap();
    sandbox.destroy().await.unwrap();

    let (sandbox, workspace) = bench.workspace().await;
    workspace.restore(&checkpoint).await.unwrap();
    assert_eq!(sh(&sandbox, "sha256sum d/big").await, sum);
    assert_eq!(
        sh(&sandbox, "cat a; ls; git status --porcelain; test -x d/big").await,
        "2\na\nd\n M a\n D gone\n?? d/\n"
    );
    assert_eq!(workspace.save(Some(&checkpoint), 5).await.unwrap(), None);
    sh(&sandbox, "echo 3 > a").await;
    let next = workspace.save(Some(&checkpoint), 5).await.unwrap().unwrap();
    let diff = bench
        .quarantine
        .diff(&checkpoint.tree, &next.tree, DiffRequest::Files)
        .await
        .unwrap();
    assert_eq!(diff.files.len(), 1);
    sandbox.destroy().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_ignored_later_leaves_again_and_what_the_base_has_stays() {
    let bench = Bench::new(&[("kept.log", b"1\n"), ("a", b"1\n")]).await;
    let (sandbox, workspace) = bench.workspace().await;
    sh(
        &sandbox,
        "mkdir target; echo x > target/x; echo y > y.log; echo 2 > kept.log",
    )
    .await;
    let first = workspace.save(None, 1).await.unwrap().unwrap();
    assert_eq!(bench.content(&first).len(), 4);
    sh(
        &sandbox,
        "printf 'target\n*.log\n!important.log\n' > .gitignore; echo z > important.log",
    )
    .await;
    let second = workspace.save(Some(&first), 2).await.unwrap().unwrap();
    let expected = ["100644 a 1", "100644 important.log z", "100644 kept.log 2"];
    assert_eq!(bench.content(&second)[1..], expected);
    sh(&sandbox, "echo more > target/y").await;
    assert_eq!(workspace.save(Some(&second), 3).await.unwrap(), None);
    sandbox.destroy().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_put_on_top_of_what_others_pushed_or_the_contradiction_is_told() {
    let lines: String = (0..40).map(|number| format!("line {number}\n")).collect();
    let bench = Bench::new(&[("a", lines.as_bytes()), ("b", b"1\n"), ("c", b"1\n")]).await;
    let bare = Bare {
        path: bench.fixture.path("a.git"),
    };
    let (sandbox, workspace) = bench.workspace().await;
    sh(
        &sandbox,
        "sed -i 's/line 3$/LINE 3/' a; echo new > n; rm c; git add n; git commit -qm own",
    )
    .await;
    let mine = workspace.save(None, 1).await.unwrap().unwrap();

    // Others change the same file elsewhere.
    let theirs = lines.replace("line 30\n", "LINE 30\n");
    let base = bench.mirror.commit.clone();
    let advance = async |files: &[(&str, &str, &[u8])]| {
        let commit = bare.commit(&bare.tree(files), &[&base]);
        bare.set_ref("refs/heads/main", &commit);
        let mirror = bench.fixture.mirror(&bare).await;
        assert_eq!(mirror.commit, commit);
        (bench.fixture.store.quarantine(bench.task, &mirror).unwrap(), mirror)
    };
    // First in a way that contradicts.
    let clash = lines.replace("line 3\n", "other 3\n");
    let (onto, _) = advance(&[
        ("100644", "a", clash.as_bytes()),
        ("100644", "b", b"1\n"),
        ("100644", "c", b"1\n"),
    ])
    .await;
    let there = workspace.stand_on(&mine, onto).await.unwrap();
    assert_eq!(
        sh(&sandbox, "git status --porcelain; grep 3$ a | head -n 1; ls").await,
        "other 3\na\nb\nc\n"
    );
    assert_eq!(
        there.reapply(&mine, &base).await.unwrap(),
        Rebased::Conflicts(vec!["a".into()])
    );
    // Given up: all is as it was.
    workspace.restore(&mine).await.unwrap();
    assert_eq!(workspace.save(Some(&mine), 2).await.unwrap(), None);
    assert_eq!(
        sh(&sandbox, "cat n; git status --porcelain | head -n 3").await,
        "new\n M a\n D c\n?? n\n"
    );

    // Then in one that does not.
    let (onto, mirror) = advance(&[
        ("100644", "a", theirs.as_bytes()),
        ("100644", "b", b"2\n"),
        ("100644", "c", b"1\n"),
    ])
    .await;
    let there = workspace.stand_on(&mine, onto).await.unwrap();
    assert_eq!(there.reapply(&mine, &base).await.unwrap(), Rebased::Clean);
    let merged = there.save(None, 2).await.unwrap().unwrap();
    let both = theirs.replace("line 3\n", "LINE 3\n");
    assert_eq!(
        bench.content(&merged),
        [
            format!("100644 a {}", both.trim_end()),
            "100644 b 2".into(),
            "100644 n new".into()
        ]
    );
    let parent = git(
        Some(&bench.quarantine_folder()),
        &["rev-parse", &format!("{}^", merged.commit)],
    );
    assert_eq!(parent, mirror.commit.as_str());
    sandbox.destroy().await.unwrap();
}
