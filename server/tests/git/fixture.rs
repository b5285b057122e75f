//! A store in a temporary folder, and repositories made with the installed git.

#![allow(dead_code, reason = "each test program uses its own part of this support")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use backspace_server::forge::git::{GitConfig, GitLimits, GitStore, Known, Mirror, Quarantine};
use backspace_server::forge::{GitRemote, GitTransport};
use backspace_server::task::branch::BranchName;
use backspace_server::task::id::{ObjectId, TaskId};
use bytes::Bytes;

/// A place for one test.
pub(crate) struct Fixture {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) store: GitStore,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::with_limits(GitLimits::default()).await
    }

    pub(crate) async fn with_limits(limits: GitLimits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = GitStore::open(GitConfig {
            limits,
            ..GitConfig::new(folder.path().join("git"))
        })
        .await
        .unwrap();
        Self { folder, store }
    }

    /// Returns a path of this test's own.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a bare repository whose branch `main` has one commit of these files.
    pub(crate) fn bare(&self, name: &str, files: &[(&str, &[u8])]) -> Bare {
        let bare = Bare::empty(&self.path(name));
        let tree = bare.tree(
            &files
                .iter()
                .map(|(path, content)| ("100644", *path, *content))
                .collect::<Vec<_>>(),
        );
        let commit = bare.commit(&tree, &[]);
        bare.set_ref("refs/heads/main", &commit);
        bare
    }

    pub(crate) async fn mirror(&self, bare: &Bare) -> Mirror {
        self.store
            .fetch_mirror(&bare.remote(), &main_branch(), None)
            .await
            .unwrap()
    }

    /// Makes a quarantine over a fresh mirror.
    pub(crate) async fn quarantine(&self, bare: &Bare) -> Quarantine {
        let mirror = self.mirror(bare).await;
        self.store.quarantine(TaskId::random(), &mirror).unwrap()
    }
}

pub(crate) fn main_branch() -> BranchName {
    BranchName::parse("main").unwrap()
}

pub(crate) fn branch(name: &str) -> BranchName {
    BranchName::parse(name).unwrap()
}

/// A bare repository.
pub(crate) struct Bare {
    pub(crate) path: PathBuf,
}

impl Bare {
    pub(crate) fn empty(path: &Path) -> Self {
        git(
            None,
            &[
                "init",
                "--quiet",
                "--bare",
                "--initial-branch=main",
                path.to_str().unwrap(),
            ],
        );
        Self { path: path.into() }
    }

    pub(crate) fn remote(&self) -> GitRemote {
        let url = self.path.canonicalize().unwrap().to_str().unwrap().to_owned();
        GitRemote {
            mirror_key: url.clone(),
            url,
            transport: GitTransport::File,
            credential: None,
        }
    }

    /// Runs git here; returns its stdout without the last line end.
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        git(Some(&self.path), arguments)
    }

    pub(crate) fn git_with_input(&self, arguments: &[&str], input: &[u8]) -> String {
        text(run(Some(&self.path), &[], arguments, input))
    }

    pub(crate) fn set_ref(&self, name: &str, commit: &ObjectId) {
        self.git(&["update-ref", name, commit.as_str()]);
    }

    pub(crate) fn get_ref(&self, name: &str) -> Option<String> {
        let output = run_any(Some(&self.path), &[], &["rev-parse", "--verify", "--quiet", name], b"");
        Some(String::from_utf8(output.stdout).unwrap().trim_end().to_owned()).filter(|id| !id.is_empty())
    }

    pub(crate) fn blob(&self, content: &[u8]) -> String {
        self.git_with_input(&["hash-object", "-w", "--stdin"], content)
    }

    /// Makes a tree of files given as mode, path and content (the commit id, for a gitlink).
    pub(crate) fn tree(&self, files: &[(&str, &str, &[u8])]) -> ObjectId {
        let mut input = Vec::new();
        for (mode, path, content) in files {
            let id = if *mode == "160000" {
                String::from_utf8(content.to_vec()).unwrap()
            } else {
                self.blob(content)
            };
            input.extend_from_slice(format!("{mode} {id}\t{path}\0").as_bytes());
        }
        self.tree_of_lines(&input)
    }

    pub(crate) fn tree_of_lines(&self, lines: &[u8]) -> ObjectId {
        let index = tempfile::tempdir().unwrap();
        let index = index.path().join("index");
        let environment = [("GIT_INDEX_FILE", index.to_str().unwrap())];
        run(
            Some(&self.path),
            &environment,
            &["update-index", "-z", "--add", "--index-info"],
            lines,
        );
        text(run(Some(&self.path), &environment, &["write-tree"], b""))
            .parse()
            .unwrap()
    }

    pub(crate) fn commit(&self, tree: &ObjectId, parents: &[&ObjectId]) -> ObjectId {
        let mut arguments = vec!["commit-tree", tree.as_str(), "-m", "a commit"];
        for parent in parents {
            arguments.extend(["-p", parent.as_str()]);
        }
        self.git(&arguments).parse().unwrap()
    }

    /// Packs what `tree` reaches and `base` does not, as a sandbox delivers it.
    pub(crate) fn delivery(&self, tree: &ObjectId, base: Option<&ObjectId>) -> Vec<u8> {
        let mut wanted = format!("{tree}\n");
        if let Some(base) = base {
            wanted.push_str(&format!("^{base}\n"));
        }
        let arguments = ["pack-objects", "--revs", "--stdout", "--quiet"];
        let mut delivery = format!("tree {tree}\n").into_bytes();
        delivery.extend(run(Some(&self.path), &[], &arguments, wanted.as_bytes()));
        delivery
    }
}

/// Lets a delivery in, in pieces of an odd size.
pub(crate) async fn accept(
    quarantine: &Quarantine,
    delivery: &[u8],
) -> Result<Option<ObjectId>, backspace_server::forge::git::GitError> {
    let pieces: Vec<Bytes> = delivery.chunks(4093).map(Bytes::copy_from_slice).collect();
    quarantine.accept(Known::Base, tokio_stream::iter(pieces)).await
}

/// Runs git in a bare repository, or in none.
pub(crate) fn git(git_dir: Option<&Path>, arguments: &[&str]) -> String {
    text(run(git_dir, &[], arguments, b""))
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap().trim_end_matches('\n').to_owned()
}

pub(crate) fn run(git_dir: Option<&Path>, environment: &[(&str, &str)], arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let output = run_any(git_dir, environment, arguments, input);
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {words}");
    output.stdout
}

pub(crate) fn run_any(
    git_dir: Option<&Path>,
    environment: &[(&str, &str)],
    arguments: &[&str],
    input: &[u8],
) -> std::process::Output {
    let mut command = Command::new("git");
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
    command.envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null")]);
    for (name, value) in [
        ("GIT_AUTHOR_NAME", "Author"),
        ("GIT_AUTHOR_EMAIL", "author@example.test"),
        ("GIT_AUTHOR_DATE", "1700000000 +0000"),
        ("GIT_COMMITTER_NAME", "Author"),
        ("GIT_COMMITTER_EMAIL", "author@example.test"),
        ("GIT_COMMITTER_DATE", "1700000000 +0000"),
    ] {
        command.env(name, value);
    }
    command.envs(environment.iter().copied());
    if let Some(git_dir) = git_dir {
        command.arg("--git-dir").arg(git_dir);
    }
    command.args(arguments);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().unwrap()
    })
}

/// Bytes that do not compress, the same each time.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(|_| next()).collect()
}
