//! Work trees: into a real sandbox, out of it, and back after a loss, against hostile agents too.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use backspace_server::forge::git::{DiffRequest, Mirror, Quarantine};
use backspace_server::jobs::Jobs;
use backspace_server::orchestrator::workspace::{Workspace, WorkspaceError};
use backspace_server::sandbox::local::{LocalConfig, LocalProvider, find_supervisor};
use backspace_server::sandbox::{ExecSpec, Sandbox, SandboxLimits, SandboxProvider, SandboxSpec};
use backspace_server::task::id::{Epoch, SandboxId, TaskId};
use backspace_server::task::record::Checkpoint;

use crate::fixture::{Bare, Fixture, git, main_branch};

const MINUTE: Duration = Duration::from_secs(60);

/// A repository and a provider of sandboxes.
struct Bench {
    fixture: Fixture,
    provider: LocalProvider,
    mirror: Mirror,
    quarantine: Quarantine,
}

impl Bench {
    async fn new(files: &[(&str, &[u8])]) -> Self {
        let fixture = Fixture::new().await;
        let bare = fixture.bare("a.git", files);
        Self::over(fixture, &bare).await
    }

    async fn over(fixture: Fixture, bare: &Bare) -> Self {
        let supervisor = find_supervisor(&std::env::current_exe().unwrap());
        let supervisor = supervisor.expect("run `cargo build -p sandbox-supervisor` first");
        let config = LocalConfig::new(fixture.path("sandboxes"), supervisor);
        let provider = LocalProvider::new(config, Jobs::new()).unwrap();
        let mirror = fixture.mirror(bare).await;
        let quarantine = fixture.store.quarantine(TaskId::random(), &mirror).unwrap();
        Self {
            fixture,
            provider,
            mirror,
            quarantine,
        }
    }

    async fn sandbox(&self) -> Arc<dyn Sandbox> {
        let spec = SandboxSpec {
            id: SandboxId::random(),
            epoch: Epoch(1),
            limits: SandboxLimits::default(),
            image: None,
            environment: Vec::new(),
            allowed_hosts: Vec::new(),
            objects: Some(self.mirror.objects.clone()),
            checkout: None,
            deadline: 10 * MINUTE,
        };
        self.provider.create(spec).await.unwrap()
    }

    async fn workspace(&self) -> (Arc<dyn Sandbox>, Workspace) {
        let sandbox = self.sandbox().await;
        let workspace = Workspace::materialize(Arc::clone(&sandbox), self.quarantine.clone(), &main_branch()).await;
        (sandbox, workspace.unwrap())
    }

    /// Lists a saved tree: mode, path and content of each file.
    fn content(&self, checkpoint: &Checkpoint) -> Vec<String> {
        let quarantine = self.quarantine_folder();
        let list = git(Some(&quarantine), &["ls-tree", "-r", checkpoint.tree.as_str()]);
        list.lines()
            .map(|line| {
                let (head, path) = line.split_once('\t').unwrap();
                let words: Vec<&str> = head.split(' ').collect();
                let content = match words[1] {
                    "blob" => git(Some(&quarantine), &["cat-file", "blob", words[2]]),
                    kind => kind.into(),
                };
                format!("{} {path} {content}", words[0])
            })
            .collect()
    }

    fn quarantine_folder(&self) -> std::path::PathBuf {
        let entries = std::fs::read_dir(self.fixture.path("git/quarantines")).unwrap();
        entries.map(|entry| entry.unwrap().path()).next().unwrap()
    }
}

async fn sh(sandbox: &Arc<dyn Sandbox>, command: &str) -> String {
    let report = sandbox.exec(ExecSpec::shell(command, MINUTE), None).await.unwrap();
    let output = String::from_utf8(report.output).unwrap();
    assert_eq!(report.exit_code, Some(0), "{command}: {output}");
    output
}

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
