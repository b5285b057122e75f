//! Mirrors: what is fetched, what is not, and clear ends for repositories that can't be used.

use std::os::unix::fs::PermissionsExt as _;

use backspace_server::forge::git::{GitConfig, GitError, GitLimits, GitStore};

use crate::fixture::{Bare, Fixture, branch, git, main_branch};

#[tokio::test]
async fn the_branch_asked_for_is_fetched_and_nothing_else() {
    let fixture = Fixture::new().await;
    let bare = fixture.bare("a.git", &[("a", b"1\n"), ("b/c", b"2\n")]);
    let secret = bare.commit(&bare.tree(&[("100644", "secret", b"s\n")]), &[]);
    bare.set_ref("refs/pull/1/head", &secret);
    bare.set_ref("refs/heads/other", &secret);

    let mirror = fixture.mirror(&bare).await;
    let main = bare.get_ref("refs/heads/main").unwrap();
    assert_eq!(mirror.commit.as_str(), main);
    assert_eq!(mirror.tree.as_str(), bare.git(&["rev-parse", "main^{tree}"]));
    assert_eq!(mirror.entries, 3);
    assert_eq!(mirror.objects, mirror.folder.join("objects"));
    let objects = git(
        Some(&mirror.folder),
        &["cat-file", "--batch-all-objects", "--batch-check=%(objectname)"],
    );
    assert!(objects.contains(&main));
    assert!(!objects.contains(secret.as_str()));
    assert_eq!(git(Some(&mirror.folder), &["fsck", "--full", "--strict"]), "");
}

#[tokio::test]
async fn objects_can_be_read_by_others_below_a_folder_that_they_cannot_enter() {
    let fixture = Fixture::new().await;
    let mirror = fixture.mirror(&fixture.bare("a.git", &[("a", b"1\n")])).await;
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&mirror.objects), 0o755);
    assert_eq!(mode(mirror.folder.parent().unwrap()), 0o700);
    let mut packs = 0;
    for entry in std::fs::read_dir(mirror.objects.join("pack")).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path) & 0o444, 0o444, "{}", path.display());
        packs += 1;
    }
    assert!(packs >= 2);
}

#[tokio::test]
async fn a_moved_branch_is_followed_also_when_its_history_was_rewritten() {
    let fixture = Fixture::new().await;
    let bare = fixture.bare("a.git", &[("a", b"1\n")]);
    let first = fixture.mirror(&bare).await;
    assert_eq!(fixture.mirror(&bare).await, first);

    let rewritten = bare.commit(&bare.tree(&[("100644", "z", b"z\n")]), &[]);
    bare.set_ref("refs/heads/main", &rewritten);
    assert_eq!(fixture.mirror(&bare).await.commit, rewritten);
    // The commit that a Task has recorded stays usable, without asking the remote.
    let bare_gone = bare.remote();
    std::fs::remove_dir_all(&bare.path).unwrap();
    let again = fixture
        .store
        .fetch_mirror(&bare_gone, &main_branch(), Some(&first.commit))
        .await;
    assert_eq!(again.unwrap(), first);
}

#[tokio::test]
async fn a_named_commit_is_fetched_though_no_branch_points_to_it() {
    let fixture = Fixture::new().await;
    let bare = fixture.bare("a.git", &[("a", b"1\n")]);
    let lonely = bare.commit(&bare.tree(&[("100644", "l", b"l\n")]), &[]);
    bare.set_ref("refs/keep/lonely", &lonely);
    let mirror = fixture
        .store
        .fetch_mirror(&bare.remote(), &main_branch(), Some(&lonely))
        .await;
    assert_eq!(mirror.unwrap().commit, lonely);

    let missing = "0123456789012345678901234567890123456789".parse().unwrap();
    let error = fixture
        .store
        .fetch_mirror(&bare.remote(), &main_branch(), Some(&missing))
        .await;
    assert!(matches!(error, Err(GitError::NotFound { .. })), "{error:?}");
}

#[tokio::test]
async fn branches_whose_names_exclude_each_other_over_time_share_a_mirror() {
    let fixture = Fixture::new().await;
    let bare = fixture.bare("a.git", &[("a", b"1\n")]);
    bare.git(&["branch", "x", "main"]);
    let first = fixture
        .store
        .fetch_mirror(&bare.remote(), &branch("x"), None)
        .await
        .unwrap();
    bare.git(&["branch", "-D", "x"]);
    let commit = bare.commit(&bare.tree(&[("100644", "n", b"n\n")]), &[]);
    bare.set_ref("refs/heads/x/y", &commit);
    let second = fixture
        .store
        .fetch_mirror(&bare.remote(), &branch("x/y"), None)
        .await
        .unwrap();
    assert_eq!((second.commit, second.folder), (commit, first.folder));
}

#[tokio::test]
async fn a_sha256_repository_works_to_the_end() {
    let fixture = Fixture::new().await;
    let path = fixture.path("s.git");
    git(
        None,
        &[
            "init",
            "-q",
            "--bare",
            "--object-format=sha256",
            "--initial-branch=main",
            path.to_str().unwrap(),
        ],
    );
    let bare = Bare { path };
    let base = bare.commit(&bare.tree(&[("100644", "a", b"1\n")]), &[]);
    bare.set_ref("refs/heads/main", &base);
    let quarantine = fixture.quarantine(&bare).await;
    assert_eq!(quarantine.base().0, &base);
    let tree = bare.tree(&[("100644", "a", b"2\n")]);
    let delivery = bare.delivery(&tree, Some(&base));
    assert_eq!(
        crate::fixture::accept(&quarantine, &delivery).await.unwrap(),
        Some(tree)
    );
}

#[tokio::test]
async fn a_shallow_an_empty_and_a_missing_repository_end_in_a_clear_error() {
    let fixture = Fixture::new().await;
    let empty = Bare::empty(&fixture.path("empty.git"));
    let error = fixture
        .store
        .fetch_mirror(&empty.remote(), &main_branch(), None)
        .await
        .unwrap_err();
    assert!(matches!(error, GitError::Empty), "{error:?}");

    let bare = fixture.bare("a.git", &[("a", b"1\n")]);
    let error = fixture
        .store
        .fetch_mirror(&bare.remote(), &branch("nope"), None)
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "branch nope was not found");

    let tip = bare.get_ref("main").unwrap().parse().unwrap();
    let next = bare.commit(&bare.tree(&[("100644", "a", b"2\n")]), &[&tip]);
    bare.set_ref("refs/heads/main", &next);
    let shallow = fixture.path("shallow.git");
    let source = format!("file://{}", bare.path.display());
    git(
        None,
        &["clone", "-q", "--bare", "--depth=1", &source, shallow.to_str().unwrap()],
    );
    let shallow = Bare { path: shallow };
    let error = fixture
        .store
        .fetch_mirror(&shallow.remote(), &main_branch(), None)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("unshallow"), "{error}");
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn trees_over_the_limits_are_refused_before_any_checkout() {
    let limits = GitLimits {
        tree_entries: 5,
        file_bytes: 1000,
        path_bytes: 20,
        tree_bytes: 2000,
        ..GitLimits::default()
    };
    let fixture = Fixture::with_limits(limits).await;
    let many: Vec<(String, Vec<u8>)> = (0..6).map(|number| (number.to_string(), vec![])).collect();
    let many: Vec<(&str, &[u8])> = many
        .iter()
        .map(|(path, content)| (path.as_str(), content.as_slice()))
        .collect();
    for (files, words) in [
        (many, "the tree has more than 5 files and folders"),
        (
            vec![("a/b/c/d/e", b"".as_slice()), ("x", b"")],
            "the tree has more than 5 files and folders",
        ),
        (vec![("big", [7; 1001].as_slice())], "the file big is larger than 0 MiB"),
        (
            vec![("a-path-of-21-bytes-ab", b"".as_slice())],
            "the tree has a path longer than 20 bytes",
        ),
        (
            // One content, so one small object: what counts is what a checkout writes.
            vec![("a", [7; 1000].as_slice()), ("b", &[7; 1000]), ("c", &[7; 1000])],
            "the files of the tree are larger than 0 MiB in all",
        ),
    ] {
        let name = format!("{}.git", files.len() * 100 + files[0].0.len());
        let bare = fixture.bare(&name, &files);
        let error = fixture
            .store
            .fetch_mirror(&bare.remote(), &main_branch(), None)
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), words);
    }
    let bare = fixture.bare("fits.git", &[("a/b/c/d", &[7; 1000]), ("a-path-of-20-bytes-a", b"")]);
    let mirror = fixture.mirror(&bare).await;
    assert_eq!((mirror.entries, mirror.bytes), (5, 1000));
}

#[tokio::test]
async fn a_repository_larger_than_the_limit_is_refused_while_it_is_fetched() {
    let limits = GitLimits {
        mirror_bytes: 100 * 1024,
        ..GitLimits::default()
    };
    let fixture = Fixture::with_limits(limits).await;
    let noise = crate::fixture::noise(400_000);
    let bare = fixture.bare("big.git", &[("noise", &noise)]);
    let error = fixture
        .store
        .fetch_mirror(&bare.remote(), &main_branch(), None)
        .await
        .unwrap_err();
    assert!(matches!(error, GitError::TooLarge { .. }), "{error:?}");
}

#[tokio::test]
async fn a_git_that_lets_hostile_objects_in_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("git");
    for (script, words) in [
        // Lets everything in.
        (
            "case \"$*\" in *index-pack*) cat >/dev/null; exit 0;; esac; exec /usr/bin/git \"$@\"",
            "`.git`",
        ),
        // Refuses everything.
        (
            "case \"$*\" in *index-pack*) exit 1;; esac; exec /usr/bin/git \"$@\"",
            "harmless",
        ),
    ] {
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let config = GitConfig {
            program: program.clone(),
            ..GitConfig::new(folder.path().join("store"))
        };
        let error = GitStore::open(config).await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
    let config = GitConfig {
        program: "/nonexistent/git".into(),
        ..GitConfig::new(folder.path().join("store"))
    };
    assert!(matches!(GitStore::open(config).await, Err(GitError::Unusable { .. })));
    assert!(
        GitStore::open(GitConfig::new(folder.path().join("store")))
            .await
            .is_ok()
    );
}
