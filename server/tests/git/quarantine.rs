//! Quarantines: what a sandbox may deliver, and what it may not.

use std::time::{Duration, Instant};

use backspace_server::forge::git::{DiffRequest, GitError, GitLimits, Known};
use backspace_server::task::event::FileStatus;
use backspace_server::task::id::TaskId;
use bytes::Bytes;

use crate::fixture::{Fixture, accept};

#[tokio::test]
async fn a_changed_tree_comes_in_and_can_be_compared_with_the_base() {
    let fixture = Fixture::new().await;
    let bare = fixture.bare(
        "a.git",
        &[("keep", b"k\n"), ("old", b"1\n2\n3\n4\n5\n6\n"), ("gone", b"g\n")],
    );
    let base = bare.get_ref("main").unwrap().parse().unwrap();
    let tree = bare.tree(&[
        ("100644", "keep", b"k\n"),
        ("100644", "new", b"1\n2\n3\n4\n5\n6\n7\n"),
        ("100755", "run\nme", b"#!/bin/sh\n"),
        ("120000", "link", b"keep"),
        ("100644", "bin", b"\0\x01\x02"),
    ]);
    let quarantine = fixture.quarantine(&bare).await;
    let delivery = bare.delivery(&tree, Some(&base));
    assert_eq!(accept(&quarantine, &delivery).await.unwrap().as_ref(), Some(&tree));

    let (_, base_tree) = quarantine.base();
    let diff = quarantine
        .diff(base_tree, &tree, DiffRequest::Readable(1 << 20))
        .await
        .unwrap();
    let summary: Vec<_> = diff
        .files
        .iter()
        .map(|file| (file.status, file.display_path(), file.new_mode, file.lines))
        .collect();
    assert_eq!(
        summary,
        [
            (FileStatus::Added, "bin".into(), 0o100644, None),
            (FileStatus::Deleted, "gone".into(), 0, Some((0, 1))),
            (FileStatus::Added, "link".into(), 0o120000, Some((1, 0))),
            (FileStatus::Renamed, "new".into(), 0o100644, Some((1, 0))),
            (FileStatus::Added, "run\\nme".into(), 0o100755, Some((1, 0))),
        ]
    );
    assert_eq!(diff.files[3].old_path.as_deref(), Some(b"old".as_slice()));
    let patch = String::from_utf8(diff.patch.bytes).unwrap();
    assert!(patch.contains("Binary files /dev/null and b/bin differ"), "{patch}");
    assert!(patch.contains("+++ \"b/run\\nme\""), "{patch}");
    assert!(!diff.patch.truncated);

    let cut = quarantine
        .diff(base_tree, &tree, DiffRequest::Appliable(100))
        .await
        .unwrap();
    assert_eq!((cut.patch.bytes.len(), cut.patch.truncated), (100, true));
    assert_eq!(cut.files, diff.files);
}

#[tokio::test]
async fn an_appliable_patch_brings_the_base_to_the_tree() {
    let fixture = Fixture::new().await;
    let bare = fixture.bare("a.git", &[("a", b"1\n"), ("b", b"\0\x01")]);
    let tree = bare.tree(&[
        ("100755", "a", b"2\n"),
        ("100644", "b", b"\0\x02\x03"),
        ("100644", "c d", b"no end"),
    ]);
    let quarantine = fixture.quarantine(&bare).await;
    accept(&quarantine, &bare.delivery(&tree, None)).await.unwrap();
    let (_, base_tree) = quarantine.base();
    let diff = quarantine
        .diff(base_tree, &tree, DiffRequest::Appliable(1 << 20))
        .await
        .unwrap();

    let index = fixture.path("index");
    let environment = [("GIT_INDEX_FILE", index.to_str().unwrap())];
    crate::fixture::run(Some(&bare.path), &environment, &["read-tree", "main"], b"");
    crate::fixture::run(
        Some(&bare.path),
        &environment,
        &["apply", "--cached"],
        &diff.patch.bytes,
    );
    let applied = crate::fixture::run(Some(&bare.path), &environment, &["write-tree"], b"");
    assert_eq!(String::from_utf8(applied).unwrap().trim(), tree.as_str());
}

#[tokio::test]
async fn the_known_tree_is_no_news_and_needs_no_pack() {
    let fixture = Fixture::new().await;
    let quarantine = fixture.quarantine(&fixture.bare("a.git", &[("a", b"1\n")])).await;
    let (_, base_tree) = quarantine.base();
    let line = format!("tree {base_tree}\n");
    assert_eq!(accept(&quarantine, line.as_bytes()).await.unwrap(), None);
}

#[tokio::test]
async fn deliveries_that_are_not_what_they_should_be_are_refused() {
    let fixture = Fixture::new().await;
    let bare = fixture.bare("a.git", &[("a", b"1\n")]);
    let base = bare.get_ref("main").unwrap().parse().unwrap();
    let tree = bare.tree(&[("100644", "a", b"2\n"), ("100644", "b", b"3\n")]);
    let good = bare.delivery(&tree, Some(&base));
    let line = format!("tree {tree}\n").len();
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut delivery = good.clone();
        change(&mut delivery);
        delivery
    };
    // A pack that does not hold all that its tree needs.
    let partial = {
        let mut delivery = format!("tree {tree}\n").into_bytes();
        let arguments = ["pack-objects", "--stdout", "--quiet"];
        delivery.extend(crate::fixture::run(
            Some(&bare.path),
            &[],
            &arguments,
            format!("{tree}\n").as_bytes(),
        ));
        delivery
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", vec![]),
        ("no tree line", good[line..].to_vec()),
        ("an endless first line", vec![b'x'; 100_000]),
        ("no pack", good[..line].to_vec()),
        ("a cut pack", with(&|delivery| delivery.truncate(delivery.len() - 30))),
        (
            "a pack without its trailer",
            with(&|delivery| delivery.truncate(delivery.len() - 20)),
        ),
        ("more than a pack", with(&|delivery| delivery.push(0))),
        ("a broken object", with(&|delivery| delivery[line + 16] ^= 0x55)),
        ("another version", with(&|delivery| delivery[line + 7] = 4)),
        ("a wrong checksum", with(&|delivery| *delivery.last_mut().unwrap() ^= 1)),
        ("a tree that was not sent", with(&|delivery| delivery[5] ^= 1)),
        ("missing objects", partial),
        ("a blob for a tree", {
            let blob = bare.blob(b"1\n");
            with(&|delivery| delivery[5..45].copy_from_slice(blob.as_bytes()))
        }),
    ];
    for (name, delivery) in cases {
        let quarantine = fixture.quarantine(&bare).await;
        let result = accept(&quarantine, &delivery).await;
        assert!(result.is_err(), "{name}: {result:?}");
    }
    let quarantine = fixture.quarantine(&bare).await;
    assert_eq!(accept(&quarantine, &good).await.unwrap(), Some(tree));
}

#[tokio::test]
async fn hostile_tree_entries_are_refused_and_leave_nothing() {
    let fixture = Fixture::new().await;
    let bare = fixture.bare("a.git", &[("a", b"1\n")]);
    let blob = bare.blob(b"[core]\n\tfsmonitor = touch /tmp/owned\n");
    let empty = bare.tree(&[]);
    let id: Vec<u8> = hex(&blob);
    let sub: Vec<u8> = hex(empty.as_str());
    let modules = bare.blob(b"[submodule \"x\"]\n\tpath = x\n\turl = --upload-pack=id\n");
    for (mode, name, id) in [
        ("100644", ".git", &id),
        ("40000", ".git", &sub),
        ("40000", ".GIT", &sub),
        ("40000", "git~1", &sub),
        ("40000", ".g\u{200c}it", &sub),
        ("40000", "..", &sub),
        ("100644", "a/b", &id),
        ("120000", ".gitmodules", &id),
        ("100644", ".gitmodules", &hex(&modules)),
    ] {
        let mut entry = format!("{mode} {name}\0").into_bytes();
        entry.extend_from_slice(id);
        let arguments = ["hash-object", "-t", "tree", "-w", "--literally", "--stdin"];
        let tree = bare.git_with_input(&arguments, &entry).parse().unwrap();
        let quarantine = fixture.quarantine(&bare).await;
        let error = accept(&quarantine, &bare.delivery(&tree, None)).await;
        assert!(
            matches!(error, Err(GitError::Hostile { .. })),
            "{mode} {name}: {error:?}"
        );
        let (_, base_tree) = quarantine.base();
        assert!(
            quarantine.diff(base_tree, &tree, DiffRequest::Files).await.is_err(),
            "{name} is there"
        );
    }
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2)
        .map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
        .collect()
}

#[tokio::test]
async fn a_bomb_of_one_blob_is_refused_before_it_inflates() {
    let fixture = Fixture::new().await;
    let bare = fixture.bare("a.git", &[("a", b"1\n")]);
    let tree = bare.tree(&[("100644", "bomb", &vec![0; 200 << 20])]);
    let delivery = bare.delivery(&tree, None);
    assert!(delivery.len() < 1 << 20);
    let quarantine = fixture.quarantine(&bare).await;
    let start = Instant::now();
    let error = accept(&quarantine, &delivery).await.unwrap_err();
    assert_eq!(error.to_string(), "a file is larger than 100 MiB");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_bomb_of_folders_in_folders_is_refused_at_the_limit_on_entries() {
    let limits = GitLimits {
        tree_entries: 1000,
        ..GitLimits::default()
    };
    let fixture = Fixture::with_limits(limits).await;
    let bare = fixture.bare("a.git", &[("a", b"1\n")]);
    // Ten folders, each with ten folders, ten deep: 10^10 in eleven objects; once without a single file.
    for leaf in ["tree", "blob"] {
        let mut id = if leaf == "tree" {
            bare.tree(&[]).to_string()
        } else {
            bare.blob(b"")
        };
        let mut kind = leaf;
        for _ in 0..10 {
            let mode = if kind == "tree" { "040000" } else { "100644" };
            let lines: Vec<String> = (0..10).map(|name| format!("{mode} {kind} {id}\t{name}\n")).collect();
            id = bare.git_with_input(&["mktree"], lines.concat().as_bytes());
            kind = "tree";
        }
        let tree = id.parse().unwrap();
        let quarantine = fixture.quarantine(&bare).await;
        let error = accept(&quarantine, &bare.delivery(&tree, None)).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the tree has more than 1000 files and folders",
            "{leaf}"
        );

        // The same as a base.
        let commit = bare.commit(&tree, &[]);
        bare.set_ref("refs/heads/bomb", &commit);
        let branch = crate::fixture::branch("bomb");
        let error = fixture
            .store
            .fetch_mirror(&bare.remote(), &branch, None)
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "the tree has more than 1000 files and folders",
            "{leaf}"
        );
    }
}

#[tokio::test]
async fn deliveries_over_the_limits_are_refused() {
    let limits = GitLimits {
        delivery_bytes: 64 * 1024,
        inflated_bytes: 1 << 20,
        ..GitLimits::default()
    };
    let fixture = Fixture::with_limits(limits).await;
    let bare = fixture.bare("a.git", &[("a", b"1\n")]);
    let noise = crate::fixture::noise(100_000);
    for (content, words) in [
        (noise, "the change is larger than 0 MiB, packed"),
        (vec![b'x'; 2 << 20], "the change is larger than 1 MiB"),
    ] {
        let tree = bare.tree(&[("100644", "x", &content)]);
        let quarantine = fixture.quarantine(&bare).await;
        let error = accept(&quarantine, &bare.delivery(&tree, None)).await.unwrap_err();
        assert_eq!(error.to_string(), words);
    }
}

#[tokio::test]
async fn a_delivery_that_never_ends_is_given_up() {
    let limits = GitLimits {
        delivery_timeout: Duration::from_millis(300),
        ..GitLimits::default()
    };
    let fixture = Fixture::with_limits(limits).await;
    let bare = fixture.bare("a.git", &[("a", b"1\n")]);
    let tree = bare.tree(&[("100644", "a", b"2\n")]);
    let quarantine = fixture.quarantine(&bare).await;
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    sender.send(Bytes::from(format!("tree {tree}\nPACK"))).await.unwrap();
    let delivery = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let error = quarantine.accept(Known::Base, delivery).await.unwrap_err();
    assert!(matches!(error, GitError::TimedOut { .. }), "{error:?}");
    drop(sender);
}

#[tokio::test]
async fn files_that_a_checkout_alone_changes_are_put_back_unless_touched() {
    let fixture = Fixture::new().await;
    let bare = fixture.bare("a.git", &[("crlf", b"1\r\n"), ("crlf2", b"2\r\n"), ("a", b"a\n")]);
    // The checkout already differs in both; then one of them and another file are changed.
    let start = bare.tree(&[
        ("100644", "crlf", b"1\n"),
        ("100644", "crlf2", b"2\n"),
        ("100644", "a", b"a\n"),
    ]);
    let changed = bare.tree(&[
        ("100644", "crlf", b"1\n"),
        ("100644", "crlf2", b"2!\n"),
        ("100644", "a", b"b\n"),
    ]);
    let wanted = bare.tree(&[
        ("100644", "crlf", b"1\r\n"),
        ("100644", "crlf2", b"2!\n"),
        ("100644", "a", b"b\n"),
    ]);
    let quarantine = fixture.quarantine(&bare).await;
    for tree in [&start, &changed] {
        accept(&quarantine, &bare.delivery(tree, None)).await.unwrap();
    }
    assert_eq!(quarantine.without_phantoms(&start, &changed).await.unwrap(), wanted);
    let (_, base_tree) = quarantine.base();
    assert_eq!(&quarantine.without_phantoms(&start, &start).await.unwrap(), base_tree);

    assert_eq!(quarantine.start_tree().await.unwrap(), None);
    quarantine.remember_start(&start).await.unwrap();
    assert_eq!(quarantine.start_tree().await.unwrap(), Some(start));
}

#[tokio::test]
async fn a_saved_tree_can_be_packed_for_a_sandbox_that_lost_it() {
    let fixture = Fixture::new().await;
    let bare = fixture.bare("a.git", &[("a", b"1\n")]);
    let tree = bare.tree(&[("100644", "a", b"1\n"), ("100644", "b/c", b"2\n")]);
    let quarantine = fixture.quarantine(&bare).await;
    accept(&quarantine, &bare.delivery(&tree, None)).await.unwrap();
    let pack = quarantine.pack_tree(&tree).await.unwrap();
    let other = fixture.bare("other.git", &[("a", b"1\n")]);
    other.git_with_input(&["index-pack", "--stdin", "--strict"], &pack);
    assert_eq!(other.git(&["ls-tree", "-r", "--name-only", tree.as_str()]), "a\nb/c");
}

#[tokio::test]
async fn quarantines_are_listed_by_their_tasks_and_removed_alone() {
    let fixture = Fixture::new().await;
    let mirror = fixture.mirror(&fixture.bare("a.git", &[("a", b"1\n")])).await;
    let (kept, gone) = (TaskId::random(), TaskId::random());
    for task in [kept, gone] {
        fixture.store.quarantine(task, &mirror).unwrap();
    }
    let mut tasks = fixture.store.quarantined_tasks().unwrap();
    tasks.sort();
    let mut both = [kept, gone];
    both.sort();
    assert_eq!(tasks, both);
    fixture.store.remove_quarantine(gone).await.unwrap();
    assert_eq!(fixture.store.quarantined_tasks().unwrap(), [kept]);
}
