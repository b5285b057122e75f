//! Where nothing can be mounted: the base is sent into the sandbox, and all else goes as everywhere.

use std::sync::Arc;

use backspace_server::orchestrator::workspace::{Rebased, Workspace};
use backspace_server::sandbox::Sandbox;

use crate::bench::{Bench, sh};
use crate::fixture::{Bare, main_branch, noise};

async fn workspace(bench: &Bench) -> (Arc<dyn Sandbox>, Workspace) {
    let sandbox = bench.blind_sandbox().await;
    let workspace = Workspace::materialize(Arc::clone(&sandbox), bench.quarantine.clone(), &main_branch()).await;
    (sandbox, workspace.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_base_is_sent_in_pieces_and_changes_come_out() {
    // More than two pieces.
    let big = noise(900_000);
    let bench = Bench::new(&[
        ("a", b"1\n"),
        ("dir/big", &big),
        (".gitignore", b"ignored\n"),
        ("ignored", b"kept\n"),
    ])
    .await;
    let (sandbox, workspace) = workspace(&bench).await;
    let look = "ls -A; git status --porcelain; git log --format=%s; git fsck 2>&1; wc -c < dir/big; ls /.backspace";
    assert_eq!(
        sh(&sandbox, look).await,
        ".git\n.gitignore\na\ndir\nignored\na commit\n900000\nspill\n"
    );
    assert_eq!(workspace.save(None, 1).await.unwrap(), None);
    sh(&sandbox, "echo 2 > a").await;
    // What was saved but never recorded, since whoever waited for it was dropped, is saved again.
    let unrecorded = workspace.save(None, 1).await.unwrap().unwrap();
    let first = workspace.save(None, 1).await.unwrap().unwrap();
    assert_eq!(first, unrecorded);
    assert_eq!(workspace.save(Some(&first), 1).await.unwrap(), None);
    assert_eq!(bench.changed(&first).await, ["a"]);

    // The agent throws its repository away: the base is sent once more, and what git ignores but has stays.
    sh(&sandbox, "rm -rf .git; echo 3 > a").await;
    let second = workspace.save(Some(&first), 2).await.unwrap().unwrap();
    assert_eq!(bench.changed(&second).await, ["a"]);
    sh(
        &sandbox,
        "touch -d 2001-01-01 a dir/big; rm -rf .git/objects; mkdir .git/objects; echo 4 > b",
    )
    .await;
    let third = workspace.save(Some(&second), 3).await.unwrap().unwrap();
    assert_eq!(bench.changed(&third).await, ["a", "b"]);
    sandbox.destroy().await.unwrap();

    let (sandbox, workspace) = self::workspace(&bench).await;
    workspace.restore(&third).await.unwrap();
    assert_eq!(
        sh(&sandbox, "cat a b; git status --porcelain").await,
        "3\n4\n M a\n?? b\n"
    );
    assert_eq!(workspace.save(Some(&third), 4).await.unwrap(), None);
    sandbox.destroy().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_put_on_top_of_a_commit_that_is_sent() {
    let bench = Bench::new(&[("a", b"1\n"), ("b", b"1\n")]).await;
    let (sandbox, workspace) = workspace(&bench).await;
    sh(&sandbox, "echo mine > a").await;
    let mine = workspace.save(None, 1).await.unwrap().unwrap();
    let bare = Bare {
        path: bench.fixture.path("a.git"),
    };
    let base = bench.mirror.commit.clone();
    let tree = bare.tree(&[("100644", "a", b"1\n"), ("100644", "b", b"theirs\n")]);
    bare.set_ref("refs/heads/main", &bare.commit(&tree, &[&base]));
    let mirror = bench.fixture.mirror(&bare).await;
    let onto = bench.fixture.store.quarantine(bench.task, &mirror).unwrap();
    let there = workspace.stand_on(&mine, onto).await.unwrap();
    assert_eq!(there.reapply(&mine, &base).await.unwrap(), Rebased::Clean);
    let merged = there.save(None, 2).await.unwrap().unwrap();
    assert_eq!(bench.content(&merged), ["100644 a mine", "100644 b theirs"]);
    sandbox.destroy().await.unwrap();
}
