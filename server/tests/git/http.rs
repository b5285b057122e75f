//! Git over real smart HTTP: credentials, redirects, refusals and broken connections.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use backspace_server::forge::git::{CommitMessage, GitError, GitLimits, Mirror, Pushed, Quarantine, Signature};
use backspace_server::forge::{Credential, GitRemote, GitTransport};
use backspace_server::secret::Secret;
use backspace_server::task::id::{ObjectId, TaskId, Timestamp};

use crate::fixture::{Bare, Fixture, accept, branch, main_branch, noise};
use crate::http_server::{HttpServer, Manner};

const TOKEN: &str = "ghs_test-token.with_parts-0123456789";

/// A repository behind a server.
struct Bench {
    fixture: Fixture,
    bare: Bare,
    server: HttpServer,
}

impl Bench {
    async fn new() -> Self {
        Self::with_limits(GitLimits::default()).await
    }

    async fn with_limits(limits: GitLimits) -> Self {
        let fixture = Fixture::with_limits(limits).await;
        let bare = fixture.bare("root/owner/name.git", &[("a", &noise(200_000))]);
        let server = HttpServer::start(fixture.path("root"), TOKEN).await;
        Self { fixture, bare, server }
    }

    fn remote(&self, token: Option<&str>) -> GitRemote {
        let url = format!("http://127.0.0.1:{}/owner/name.git", self.server.port);
        GitRemote {
            mirror_key: format!("{url} {token:?}"),
            url,
            transport: GitTransport::Http,
            credential: token.map(|token| Credential {
                username: "x-access-token".into(),
                secret: Secret::new(token),
            }),
        }
    }

    async fn fetch(&self, token: Option<&str>) -> Result<Mirror, GitError> {
        self.fixture
            .store
            .fetch_mirror(&self.remote(token), &main_branch(), None)
            .await
    }

    /// Makes a commit that can be pushed.
    async fn changed(&self) -> (Quarantine, ObjectId) {
        let mirror = self.fetch(Some(TOKEN)).await.unwrap();
        let quarantine = self.fixture.store.quarantine(TaskId::random(), &mirror).unwrap();
        let tree = self
            .bare
            .tree(&[("100644", "a", b"2\n"), ("100644", "big", &noise(2_000_000))]);
        accept(&quarantine, &self.bare.delivery(&tree, None)).await.unwrap();
        let author = Signature {
            name: "Backspace".into(),
            email: "b@example.test".into(),
            time: Timestamp(0),
        };
        let message = CommitMessage::new("A change", "", None);
        let commit = quarantine.commit_tree(&mirror.commit, &tree, &message, &author).await;
        (quarantine, commit.unwrap())
    }

    fn hook(&self, name: &str, script: &str) {
        let path = self.bare.path.join("hooks").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_goes_to_its_host_in_a_header_and_into_no_argument() {
    let bench = Bench::new().await;
    let (quarantine, commit) = bench.changed().await;
    let pushed = quarantine
        .push(&bench.remote(Some(TOKEN)), &commit, &branch("x/y"), None)
        .await
        .unwrap();
    assert_eq!(pushed, Pushed::Landed);
    assert_eq!(bench.bare.get_ref("refs/heads/x/y").as_deref(), Some(commit.as_str()));

    let seen = bench.server.seen();
    assert!(
        seen.iter().any(|request| request.uri.ends_with("/git-receive-pack")),
        "{seen:?}"
    );
    assert!(seen.iter().any(|request| request.authorization.is_some()));
    assert!(seen.iter().all(|request| !request.uri.contains(TOKEN)));
    assert!(seen.iter().all(|request| !request.token_in_arguments));
    assert!(seen.iter().any(|request| request.token_in_environment), "the control");
    let kept = std::process::Command::new("grep")
        .args(["-r", TOKEN])
        .arg(bench.fixture.path("git"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&kept.stdout), "", "the token is in a file");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_not_followed_and_the_other_host_gets_nothing() {
    let bench = Bench::new().await;
    let other = HttpServer::start(bench.fixture.path("root"), TOKEN).await;
    // The control: the other server answers when it is asked itself.
    let mut direct = bench.remote(Some(TOKEN));
    direct.url = format!("http://localhost:{}/owner/name.git", other.port);
    bench
        .fixture
        .store
        .fetch_mirror(&direct, &main_branch(), None)
        .await
        .unwrap();
    let before = other.seen().len();
    assert!(before > 0);

    let (quarantine, commit) = bench.changed().await;
    bench
        .server
        .behave(Manner::Redirect(format!("http://localhost:{}", other.port)));
    let error = bench
        .fixture
        .store
        .remote_refs(&bench.remote(Some(TOKEN)), &[])
        .await
        .unwrap_err();
    assert!(matches!(error, GitError::Refused { .. }), "{error:?}");
    let pushed = quarantine
        .push(&bench.remote(Some(TOKEN)), &commit, &branch("x"), None)
        .await;
    assert!(matches!(pushed, Err(GitError::Refused { .. })), "{pushed:?}");
    assert_eq!(other.seen().len(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_and_missing_credentials_are_told_apart_from_other_refusals() {
    let bench = Bench::new().await;
    for token in [None, Some("wrong")] {
        let error = bench.fetch(token).await.unwrap_err();
        assert!(matches!(error, GitError::Unauthenticated { .. }), "{error:?}");
        assert!(!error.to_string().contains("wrong"), "{error}");
    }
    for (status, is_expected) in [
        (
            403,
            (|error| matches!(error, GitError::Refused { .. })) as fn(&GitError) -> bool,
        ),
        (404, |error| matches!(error, GitError::NotFound { .. })),
        (500, |error| matches!(error, GitError::Unavailable { .. })),
        (503, |error| error.is_retryable()),
    ] {
        bench.server.behave(Manner::Status(status));
        let error = bench.fetch(Some(TOKEN)).await.unwrap_err();
        assert!(is_expected(&error), "{status}: {error:?}");
    }
    // Another credential is another mirror: nothing that one may read is shown to the other.
    bench.server.behave(Manner::Serve);
    assert!(bench.fetch(Some(TOKEN)).await.is_ok());
    assert!(bench.fetch(None).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_without_the_right_is_rejected() {
    let bench = Bench::new().await;
    let (quarantine, commit) = bench.changed().await;
    bench.hook(
        "update",
        "[ \"$1\" != refs/heads/main ] || { echo 'main is protected' >&2; exit 1; }",
    );
    let (base, _) = quarantine.base();
    let remote = bench.remote(Some(TOKEN));
    let pushed = quarantine
        .push(&remote, &commit, &main_branch(), Some(base))
        .await
        .unwrap();
    assert_eq!(
        pushed,
        Pushed::Rejected {
            message: "[remote rejected] (hook declined): main is protected".into()
        }
    );
    bench.bare.git(&["config", "http.receivepack", "false"]);
    let pushed = quarantine.push(&remote, &commit, &branch("x"), None).await.unwrap();
    assert!(matches!(pushed, Pushed::Rejected { .. }), "{pushed:?}");
    assert_eq!(bench.bare.get_ref("refs/heads/x"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_branch_a_moved_base_and_a_refusing_hook_are_told_apart() {
    let bench = Bench::new().await;
    let (quarantine, commit) = bench.changed().await;
    let (base, _) = quarantine.base();
    let remote = bench.remote(Some(TOKEN));
    bench.bare.set_ref("refs/heads/taken", base);
    let push = async |name: &str, expected| {
        quarantine
            .push(&remote, &commit, &branch(name), expected)
            .await
            .unwrap()
    };
    let head = Some(base.clone());
    assert_eq!(push("taken", None).await, Pushed::Moved { head });

    let theirs = bench
        .bare
        .commit(&bench.bare.tree(&[("100644", "theirs", b"1\n")]), &[base]);
    bench.bare.set_ref("refs/heads/main", &theirs);
    let head = Some(theirs.clone());
    assert_eq!(push("main", Some(base)).await, Pushed::Moved { head });
    assert_eq!(bench.fetch(Some(TOKEN)).await.unwrap().commit, theirs);

    bench.hook("pre-receive", "echo 'no change on Fridays' >&2; exit 1");
    let message = "[remote rejected] (pre-receive hook declined): no change on Fridays".into();
    assert_eq!(push("x", None).await, Pushed::Rejected { message });
    assert_eq!(bench.bare.get_ref("refs/heads/x"), None);
    assert_eq!(bench.bare.get_ref("refs/heads/main").as_deref(), Some(theirs.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_answers_is_given_up() {
    let limits = GitLimits {
        fetch_timeout: Duration::from_millis(500),
        ..GitLimits::default()
    };
    let bench = Bench::with_limits(limits).await;
    bench.server.behave(Manner::Stall);
    let error = bench.fetch(Some(TOKEN)).await.unwrap_err();
    assert!(matches!(error, GitError::TimedOut { .. }), "{error:?}");
    assert!(error.is_retryable());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_that_was_cut_off_can_be_repeated() {
    let bench = Bench::new().await;
    bench.server.behave(Manner::Cut);
    let error = bench.fetch(Some(TOKEN)).await.unwrap_err();
    assert!(matches!(error, GitError::Unavailable { .. }), "{error:?}");
    bench.server.behave(Manner::Serve);
    let mirror = bench.fetch(Some(TOKEN)).await.unwrap();
    let left = std::fs::read_dir(mirror.objects.join("pack")).unwrap().flatten();
    let left: Vec<_> = left
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("tmp_"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_whose_answer_was_lost_has_landed_or_can_be_repeated() {
    let bench = Bench::new().await;
    let (quarantine, commit) = bench.changed().await;
    let remote = bench.remote(Some(TOKEN));
    // The answer is cut, after the ref moved.
    bench.server.behave(Manner::Cut);
    let pushed = quarantine.push(&remote, &commit, &branch("cut"), None).await;
    assert_eq!(bench.bare.get_ref("refs/heads/cut").as_deref(), Some(commit.as_str()));
    // Looking for what became of it meets the same fault; a repetition finds it.
    assert!(
        matches!(&pushed, Ok(Pushed::Landed) | Err(GitError::Unavailable { .. })),
        "{pushed:?}"
    );
    bench.server.behave(Manner::Serve);
    let pushed = quarantine.push(&remote, &commit, &branch("cut"), None).await.unwrap();
    assert_eq!(pushed, Pushed::Landed);

    // The receiving git dies after the ref moved.
    bench.hook("post-receive", "kill -9 $PPID");
    let pushed = quarantine
        .push(&remote, &commit, &branch("killed"), None)
        .await
        .unwrap();
    assert_eq!(pushed, Pushed::Landed);
    assert_eq!(
        bench.bare.get_ref("refs/heads/killed").as_deref(),
        Some(commit.as_str())
    );

    // It dies before.
    bench.hook("pre-receive", "kill -9 $PPID");
    let pushed = quarantine.push(&remote, &commit, &branch("before"), None).await;
    assert!(matches!(pushed, Err(GitError::Unavailable { .. })), "{pushed:?}");
    assert_eq!(bench.bare.get_ref("refs/heads/before"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_fetch_kills_git_and_its_children() {
    let bench = Bench::new().await;
    bench.server.behave(Manner::Stall);
    let marker = bench.server.port.to_string();
    let is_running = || {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let commands = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
        commands
            .into_iter()
            .any(|command| String::from_utf8_lossy(&command).contains(&marker))
    };
    let remote = bench.remote(Some(TOKEN));
    let asked = async {
        while bench.server.seen().len() < 2 {
            tokio::task::yield_now().await;
        }
        // Here and not behind the arrow, where the other future is dropped already.
        assert!(is_running(), "the control");
    };
    tokio::select! {
        _ = bench.fixture.store.remote_refs(&remote, &[]) => panic!("it answered"),
        () = asked => {}
    }
    // Killed processes are gone as soon as the kernel has seen to it.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while is_running() {
        assert!(tokio::time::Instant::now() < deadline, "git outlived its future");
        tokio::task::yield_now().await;
    }
}
