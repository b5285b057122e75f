//! Odd repositories: each goes in and comes out as it is, or is refused with a clear word.

use backspace_server::forge::git::GitLimits;

use crate::bench::{Bench, sh};
use crate::fixture::{Bare, Fixture, git, main_branch};

const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";

/// A path of 60 folders, 1,859 bytes long.
fn deep_path() -> String {
    (0..60)
        .map(|depth| format!("a-folder-that-is-no-{depth:010}"))
        .collect::<Vec<_>>()
        .join("/")
}

#[tokio::test(flavor = "multi_thread")]
async fn names_links_modes_and_pointers_of_every_kind_stay_as_they_are() {
    let fixture = Fixture::new().await;
    let bare = Bare::empty(&fixture.path("odd.git"));
    let other = bare.commit(&bare.tree(&[("100644", "x", b"x")]), &[]);
    let mut lines = Vec::new();
    for (mode, path, content) in [
        ("100644", b"b\xffd".as_slice(), b"not UTF-8\n".as_slice()),
        ("100644", b"new\nline", b"1\n"),
        ("100644", b" lead", b"1\n"),
        ("100644", b"-dash", b"1\n"),
        ("100644", b"$(id)", b"1\n"),
        ("100644", b"README", b"large\n"),
        ("100644", b"readme", b"small\n"),
        ("100644", b"Readme/x", b"folder\n"),
        ("120000", b"absolute", b"/etc/passwd"),
        ("120000", b"escaping", b"../../outside"),
        ("120000", b"to-folder", b"Readme"),
        ("120000", b"dangling", b"nowhere"),
        ("100755", b"program", b"#!/bin/sh\n"),
        ("100644", b"empty", b""),
        ("100644", b"crlf", b"a\r\nb\n"),
        ("100644", b"binary", b"\0\x01\xff"),
        ("100644", b"large.bin", LFS_POINTER),
        (
            "100644",
            b".gitattributes",
            b"*.bin filter=lfs diff=lfs merge=lfs -text\n",
        ),
        (
            "100644",
            b".gitmodules",
            b"[submodule \"sub\"]\n\tpath = sub\n\turl = https://forge.invalid/sub\n",
        ),
        ("100644", deep_path().as_bytes(), b"deep\n"),
    ] {
        lines.extend(format!("{mode} {}\t", bare.blob(content)).bytes());
        lines.extend(path);
        lines.push(0);
    }
    lines.extend(format!("160000 {other}\tsub\0").bytes());
    let base = bare.commit(&bare.tree_of_lines(&lines), &[]);
    bare.set_ref("refs/heads/main", &base);
    let bench = Bench::over(fixture, &bare).await;
    let (sandbox, workspace) = bench.workspace().await;
    let seen = sh(
        &sandbox,
        "git status --porcelain; cat README readme Readme/x; readlink absolute escaping to-folder dangling; test -x program
         ls sub; cat large.bin | head -n 1; ls -b | grep -c 'b.377d\\|new.nline'",
    )
    .await;
    let expected = "large\nsmall\nfolder\n/etc/passwd\n../../outside\nReadme\nnowhere\n\
                    version https://git-lfs.github.com/spec/v1\n2\n";
    assert_eq!(seen, expected);
    assert_eq!(workspace.save(None, 1).await.unwrap(), None, "a checkout is no change");

    sh(
        &sandbox,
        &format!(
            "echo 2 >> readme; echo 2 >> \"$(printf 'b\\377d')\"; chmod -x program; echo 2 > '{}'",
            deep_path()
        ),
    )
    .await;
    let saved = workspace.save(None, 1).await.unwrap().unwrap();
    let deep = deep_path();
    assert_eq!(
        bench.changed(&saved).await,
        [deep.as_str(), "b\\xffd", "program", "readme"]
    );
    let folder = bench.quarantine_folder();
    let line = |path: &str| git(Some(&folder), &["ls-tree", saved.tree.as_str(), "--", path]);
    assert!(line("program").starts_with("100644 "));
    assert!(line("sub").starts_with(&format!("160000 commit {other}")));
    assert!(line("escaping").starts_with("120000 "));
    sandbox.destroy().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_thousand_files_go_in_and_a_change_of_three_comes_out() {
    let fixture = Fixture::new().await;
    let bare = Bare::empty(&fixture.path("many.git"));
    let mut stream =
        String::from("commit refs/heads/main\ncommitter A <a@example.test> 1700000000 +0000\ndata 4\nmany\n");
    for number in 0..50_000 {
        let content = format!("{number}\n");
        let folder = number / 500;
        stream.push_str(&format!(
            "M 100644 inline d{folder}/f{number}\ndata {}\n{content}\n",
            content.len()
        ));
    }
    bare.git_with_input(&["fast-import", "--quiet"], stream.as_bytes());
    let bench = Bench::over(fixture, &bare).await;
    assert_eq!(bench.mirror.entries, 50_100);
    let (sandbox, workspace) = bench.workspace().await;
    assert_eq!(workspace.save(None, 1).await.unwrap(), None);
    sh(
        &sandbox,
        "echo changed > d7/f3500; rm d99/f49999; mkdir new; echo new > new/file",
    )
    .await;
    let saved = workspace.save(None, 1).await.unwrap().unwrap();
    assert_eq!(bench.changed(&saved).await, ["d7/f3500", "d99/f49999", "new/file"]);
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn bombs_in_a_repository_are_refused_before_any_checkout() {
    let fixture = Fixture::with_limits(GitLimits {
        file_bytes: 16 << 20,
        ..GitLimits::default()
    })
    .await;
    // 10^10 files of eleven small objects.
    let bare = Bare::empty(&fixture.path("folders.git"));
    let mut line = format!("100644 blob {}\t", bare.blob(b"x"));
    for _ in 0..10 {
        let entries: String = (0..10).map(|number| format!("{line}{number}\n")).collect();
        line = format!("040000 tree {}\t", bare.git_with_input(&["mktree"], entries.as_bytes()));
    }
    let tree = line.split_whitespace().nth(2).unwrap().parse().unwrap();
    bare.set_ref("refs/heads/main", &bare.commit(&tree, &[]));
    let refusal = async |bare: &Bare| {
        let fetched = fixture.store.fetch_mirror(&bare.remote(), &main_branch(), None).await;
        fetched.unwrap_err().to_string()
    };
    assert_eq!(refusal(&bare).await, "the tree has more than 200000 files and folders");

    // 64 MiB of nothing in 64 KiB.
    let bare = fixture.bare("blob.git", &[("zero", &vec![0; 64 << 20])]);
    bare.git(&["repack", "-a", "-d", "-q"]);
    assert_eq!(refusal(&bare).await, "the file zero is larger than 16 MiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_of_the_other_hash_function_goes_in_and_out() {
    let fixture = Fixture::new().await;
    let path = fixture.path("sha256.git");
    let init = [
        "init",
        "--quiet",
        "--bare",
        "--object-format=sha256",
        "--initial-branch=main",
    ];
    git(None, &[&init[..], &[path.to_str().unwrap()]].concat());
    let bare = Bare { path };
    let tree = bare.tree(&[("100644", "a", b"1\n"), ("100644", "d/b", b"2\n")]);
    bare.set_ref("refs/heads/main", &bare.commit(&tree, &[]));
    let bench = Bench::over(fixture, &bare).await;
    let (sandbox, workspace) = bench.workspace().await;
    assert_eq!(
        sh(&sandbox, "git status --porcelain; git rev-parse HEAD | wc -c").await,
        "65\n"
    );
    sh(&sandbox, "echo 3 > a").await;
    let saved = workspace.save(None, 1).await.unwrap().unwrap();
    assert_eq!(bench.changed(&saved).await, ["a"]);
    sandbox.destroy().await.unwrap();
}
