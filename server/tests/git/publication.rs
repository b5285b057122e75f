//! From an accepted tree to a branch: the host's commit, the leases, and what becomes of a failed push.

use std::os::unix::fs::PermissionsExt as _;

use backspace_server::forge::git::{CommitMessage, Pushed, Quarantine, Signature};
use backspace_server::task::id::{ObjectId, Timestamp};

use crate::fixture::{Bare, Fixture, accept, branch};

fn signature() -> Signature {
    Signature {
        name: "Backspace <x>".into(),
        email: "bot@example.test".into(),
        time: Timestamp(1_700_000_000_000_000),
    }
}

/// A repository, a quarantine over it, and a commit of a changed tree on its base.
async fn changed(fixture: &Fixture) -> (Bare, Quarantine, ObjectId) {
    let bare = fixture.bare("a.git", &[("a", b"1\n")]);
    let quarantine = fixture.quarantine(&bare).await;
    let commit = commit_on_base(&bare, &quarantine, b"2\n").await;
    (bare, quarantine, commit)
}

async fn commit_on_base(bare: &Bare, quarantine: &Quarantine, content: &[u8]) -> ObjectId {
    let tree = bare.tree(&[("100644", "a", content)]);
    accept(quarantine, &bare.delivery(&tree, None)).await.unwrap();
    let message = CommitMessage::new("Change a", "because", Some("A Person <a@b.test>"));
    let (base, _) = quarantine.base();
    quarantine
        .commit_tree(base, &tree, &message, &signature())
        .await
        .unwrap()
}

#[tokio::test]
async fn the_commit_is_ours_in_every_part_and_the_same_each_time() {
    let fixture = Fixture::new().await;
    let (bare, quarantine, commit) = changed(&fixture).await;
    assert_eq!(commit_on_base(&bare, &quarantine, b"2\n").await, commit);
    assert_eq!(
        quarantine
            .push(&bare.remote(), &commit, &branch("x"), None)
            .await
            .unwrap(),
        Pushed::Landed
    );
    let tree = bare.tree(&[("100644", "a", b"2\n")]);
    let (base, _) = quarantine.base();
    assert_eq!(
        bare.git(&["cat-file", "commit", "x"]),
        format!(
            "tree {tree}\nparent {base}\nauthor Backspace x <bot@example.test> 1700000000 +0000\n\
             committer Backspace x <bot@example.test> 1700000000 +0000\n\nChange a\n\nbecause\n\n\
             Co-authored-by: A Person <a@b.test>"
        )
    );
    assert_eq!(bare.git(&["fsck", "--full", "--strict"]), "");
}

#[tokio::test]
async fn a_first_push_never_touches_a_branch_that_is_there() {
    let fixture = Fixture::new().await;
    let (bare, quarantine, commit) = changed(&fixture).await;
    // The branch is at the base: a plain push would fast-forward over it without a word.
    let (base, _) = quarantine.base();
    bare.set_ref("refs/heads/taken", base);
    let pushed = quarantine
        .push(&bare.remote(), &commit, &branch("taken"), None)
        .await
        .unwrap();
    assert_eq!(
        pushed,
        Pushed::Moved {
            head: Some(base.clone())
        }
    );
    assert_eq!(bare.get_ref("refs/heads/taken").as_deref(), Some(base.as_str()));
}

#[tokio::test]
async fn a_repeated_push_has_landed() {
    let fixture = Fixture::new().await;
    let (bare, quarantine, commit) = changed(&fixture).await;
    for _ in 0..2 {
        let pushed = quarantine
            .push(&bare.remote(), &commit, &branch("x/y"), None)
            .await
            .unwrap();
        assert_eq!(pushed, Pushed::Landed);
    }
    assert_eq!(bare.get_ref("refs/heads/x/y").as_deref(), Some(commit.as_str()));
}

#[tokio::test]
async fn a_later_push_keeps_the_commits_of_other_people() {
    let fixture = Fixture::new().await;
    let (bare, quarantine, first) = changed(&fixture).await;
    let name = branch("x");
    quarantine.push(&bare.remote(), &first, &name, None).await.unwrap();

    // On top of the first: fine.
    let tree = bare.tree(&[("100644", "a", b"3\n")]);
    accept(&quarantine, &bare.delivery(&tree, None)).await.unwrap();
    let message = CommitMessage::new("More", "", None);
    let second = quarantine
        .commit_tree(&first, &tree, &message, &signature())
        .await
        .unwrap();
    let pushed = quarantine
        .push(&bare.remote(), &second, &name, Some(&first))
        .await
        .unwrap();
    assert_eq!(pushed, Pushed::Landed);

    // Somebody pushes; the next of ours does not know of it.
    let theirs = bare.commit(&tree, &[&second]);
    bare.set_ref("refs/heads/x", &theirs);
    let third = quarantine
        .commit_tree(&second, &tree, &message, &signature())
        .await
        .unwrap();
    let pushed = quarantine
        .push(&bare.remote(), &third, &name, Some(&second))
        .await
        .unwrap();
    assert_eq!(
        pushed,
        Pushed::Moved {
            head: Some(theirs.clone())
        }
    );
    assert_eq!(bare.get_ref("refs/heads/x").as_deref(), Some(theirs.as_str()));

    // The lease alone would let this one force the branch back.
    let aside = commit_on_base(&bare, &quarantine, b"aside\n").await;
    bare.set_ref("refs/heads/x", &second);
    let pushed = quarantine
        .push(&bare.remote(), &aside, &name, Some(&second))
        .await
        .unwrap();
    assert!(matches!(pushed, Pushed::Rejected { .. }), "{pushed:?}");
    assert_eq!(bare.get_ref("refs/heads/x").as_deref(), Some(second.as_str()));

    // The branch is gone.
    bare.git(&["update-ref", "-d", "refs/heads/x"]);
    let pushed = quarantine
        .push(&bare.remote(), &third, &name, Some(&second))
        .await
        .unwrap();
    assert_eq!(pushed, Pushed::Moved { head: None });
}

#[tokio::test]
async fn a_name_that_is_a_folder_of_another_branch_is_told_as_such() {
    let fixture = Fixture::new().await;
    let (bare, quarantine, commit) = changed(&fixture).await;
    let (base, _) = quarantine.base();
    bare.set_ref("refs/heads/backspace", base);
    bare.set_ref("refs/heads/folder/inside", base);
    for (name, with) in [("backspace/fix-1", "backspace"), ("folder", "folder/inside")] {
        let pushed = quarantine
            .push(&bare.remote(), &commit, &branch(name), None)
            .await
            .unwrap();
        assert_eq!(pushed, Pushed::NameConflict { with: with.into() }, "{name}");
    }
}

#[tokio::test]
async fn hooks_of_the_owner_run_and_their_refusal_is_told() {
    let fixture = Fixture::new().await;
    let (bare, quarantine, commit) = changed(&fixture).await;
    hook(&bare, "pre-receive", "echo 'no change on Fridays' >&2; exit 1");
    let pushed = quarantine
        .push(&bare.remote(), &commit, &branch("x"), None)
        .await
        .unwrap();
    assert_eq!(
        pushed,
        Pushed::Rejected {
            message: "[remote rejected] (pre-receive hook declined): no change on Fridays".into()
        }
    );
    assert_eq!(bare.get_ref("refs/heads/x"), None);
}

#[tokio::test]
async fn a_push_that_broke_after_the_ref_moved_has_landed() {
    let fixture = Fixture::new().await;
    let (bare, quarantine, commit) = changed(&fixture).await;
    // The hook runs after the ref moved and before the answer is sent.
    hook(&bare, "post-receive", "kill -9 $PPID");
    let pushed = quarantine
        .push(&bare.remote(), &commit, &branch("x"), None)
        .await
        .unwrap();
    assert_eq!(pushed, Pushed::Landed);
    assert_eq!(bare.get_ref("refs/heads/x").as_deref(), Some(commit.as_str()));
}

fn hook(bare: &Bare, name: &str, script: &str) {
    let path = bare.path.join("hooks").join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}
