//! The local forge: the promises of the port, and its own bounds.

use backspace_server::forge::local::{LocalForge, LocalForgeConfig};
use backspace_server::forge::{Access, Forge, ForgeError, NewPullRequest};
use backspace_server::task::address::RepositoryAddress;
use backspace_server::task::id::TaskId;
use backspace_server::task::spec::Revision;

use crate::conformance::{Subject, conforms};
use crate::fixture::{Bare, Fixture, branch, git, main_branch};

fn open(fixture: &Fixture) -> LocalForge {
    let config = LocalForgeConfig {
        roots: vec![fixture.path("root")],
        folder: fixture.path("pull-requests"),
    };
    std::fs::create_dir_all(fixture.path("root")).unwrap();
    LocalForge::open(config, fixture.store.clone()).unwrap()
}

fn address(fixture: &Fixture, name: &str) -> RepositoryAddress {
    let path = fixture.folder.path().canonicalize().unwrap().join(name);
    RepositoryAddress::Local {
        path: path.to_str().unwrap().into(),
    }
}

#[tokio::test]
async fn the_local_forge_conforms() {
    let fixture = Fixture::new().await;
    let forge = open(&fixture);
    let bare = fixture.bare("root/a b.git", &[("a", b"1\n")]);
    let tip = bare.get_ref("main").unwrap().parse().unwrap();
    let head_commit = bare.commit(&bare.tree(&[("100644", "a", b"2\n")]), &[&tip]);
    bare.set_ref("refs/heads/x/head", &head_commit);
    let subject = Subject {
        address: address(&fixture, "root/a b.git"),
        missing: address(&fixture, "root/missing.git"),
        default_branch: main_branch(),
        tip,
        head_branch: branch("x/head"),
        head_commit,
    };
    conforms(&forge, &subject).await;

    // Pull requests outlive the server, with what a person reads.
    let forge = open(&fixture);
    let stored = forge.pull_request(&subject.address, 1).unwrap().unwrap();
    assert_eq!(
        (stored.title.as_str(), stored.body.as_str()),
        ("A title", "Another body")
    );
    assert!(
        stored.pull_request.url.ends_with("/root/a%20b.git#pull/1"),
        "{}",
        stored.pull_request.url
    );
    assert_eq!(forge.pull_request(&subject.address, 2).unwrap(), None);
}

#[tokio::test]
async fn numbers_count_up_in_each_repository() {
    let fixture = Fixture::new().await;
    let forge = open(&fixture);
    let mut urls = Vec::new();
    for name in ["root/a.git", "root/b.git"] {
        let bare = fixture.bare(name, &[("a", b"1\n")]);
        let tip: backspace_server::task::id::ObjectId = bare.get_ref("main").unwrap().parse().unwrap();
        let repository = forge
            .repository(&address(&fixture, name), &Revision::DefaultBranch, Access::Push)
            .await;
        let repository = repository.unwrap();
        for head in ["one", "two"] {
            let new = NewPullRequest {
                task: TaskId::random(),
                title: head.into(),
                body: String::new(),
                head_branch: branch(head),
                head_commit: tip.clone(),
                base_branch: main_branch(),
                draft: false,
                labels: Vec::new(),
                reviewers: Vec::new(),
                assignees: Vec::new(),
            };
            let opened = forge.open_pull_request(&repository, new).await.unwrap();
            urls.push(opened.pull_request.number);
        }
    }
    assert_eq!(urls, [1, 2, 1, 2]);
}

#[tokio::test]
async fn a_deleted_task_leaves_no_words_and_its_branch_keeps_its_number() {
    let fixture = Fixture::new().await;
    let forge = open(&fixture);
    let bare = fixture.bare("root/a.git", &[("a", b"1\n")]);
    let address = address(&fixture, "root/a.git");
    let repository = forge
        .repository(&address, &Revision::DefaultBranch, Access::Push)
        .await
        .unwrap();
    let (deleted, other) = (TaskId::random(), TaskId::random());
    let new = |task, head: &str| NewPullRequest {
        task,
        title: "Words".into(),
        body: "Words of the task".into(),
        head_branch: branch(head),
        head_commit: bare.get_ref("main").unwrap().parse().unwrap(),
        base_branch: main_branch(),
        draft: true,
        labels: vec!["words".into()],
        reviewers: vec!["ada".into()],
        assignees: Vec::new(),
    };
    let first = forge
        .open_pull_request(&repository, new(deleted, "x/one"))
        .await
        .unwrap();
    forge.open_pull_request(&repository, new(other, "x/two")).await.unwrap();
    forge.forget(deleted).await.unwrap();

    let left = forge.pull_request(&address, 1).unwrap().unwrap();
    assert_eq!(left.pull_request, first.pull_request);
    assert_eq!((left.title, left.body, left.labels, left.reviewers), Default::default());
    assert_eq!(
        forge.pull_request(&address, 2).unwrap().unwrap().body,
        "Words of the task"
    );
    // A later task on the branch has the same pull request.
    let again = forge
        .open_pull_request(&repository, new(TaskId::random(), "x/one"))
        .await
        .unwrap();
    assert_eq!(again.pull_request.number, 1);
}

#[tokio::test]
async fn repositories_outside_the_roots_are_not_found_also_through_links() {
    let fixture = Fixture::new().await;
    let forge = open(&fixture);
    fixture.bare("outside.git", &[("a", b"1\n")]);
    std::os::unix::fs::symlink(fixture.path("outside.git"), fixture.path("root/link.git")).unwrap();
    std::fs::create_dir_all(fixture.path("root/gitfile")).unwrap();
    let pointer = format!("gitdir: {}\n", fixture.path("outside.git").display());
    std::fs::write(fixture.path("root/gitfile/.git"), pointer).unwrap();
    std::fs::create_dir_all(fixture.path("root/linked")).unwrap();
    std::os::unix::fs::symlink(fixture.path("outside.git"), fixture.path("root/linked/.git")).unwrap();
    for name in [
        "outside.git",
        "root/link.git",
        "root/gitfile",
        "root/linked",
        "root/../outside.git",
        "root",
    ] {
        let result = forge
            .repository(&address(&fixture, name), &Revision::DefaultBranch, Access::Read)
            .await;
        assert!(matches!(result, Err(ForgeError::NotFound { .. })), "{name}: {result:?}");
    }
    // The control: the same repository below the root.
    fixture.bare("root/inside.git", &[("a", b"1\n")]);
    let inside = address(&fixture, "root/inside.git");
    assert!(
        forge
            .repository(&inside, &Revision::DefaultBranch, Access::Read)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn an_ordinary_repository_is_used_by_its_git_folder_and_its_files_are_left_alone() {
    let fixture = Fixture::new().await;
    let forge = open(&fixture);
    let source = fixture.bare("source.git", &[("a", b"1\n")]);
    let work = fixture.path("root/work");
    git(
        None,
        &["clone", "-q", source.path.to_str().unwrap(), work.to_str().unwrap()],
    );
    // A hostile configuration and a hook of the client's side: nothing of it runs.
    let marker = fixture.path("ran");
    for (key, value) in [
        ("core.fsmonitor", format!("touch {}", marker.display())),
        ("core.sshCommand", format!("touch {}", marker.display())),
    ] {
        git(Some(&work.join(".git")), &["config", key, &value]);
    }
    std::fs::write(work.join("a"), "edited by its owner\n").unwrap();

    let repository = forge
        .repository(&address(&fixture, "root/work"), &Revision::DefaultBranch, Access::Push)
        .await
        .unwrap();
    let remote = forge.remote(&repository, Access::Push).await.unwrap();
    let mirror = fixture
        .store
        .fetch_mirror(&remote, &repository.base_branch, None)
        .await
        .unwrap();
    let quarantine = fixture.store.quarantine(TaskId::random(), &mirror).unwrap();
    let tree = source.tree(&[("100644", "a", b"2\n")]);
    crate::fixture::accept(&quarantine, &source.delivery(&tree, None))
        .await
        .unwrap();
    let commit = source.commit(&tree, &[&mirror.commit]);
    let pack = source.delivery(&tree, None);
    assert!(!pack.is_empty());
    let message = backspace_server::forge::git::CommitMessage::new("x", "", None);
    let author = backspace_server::forge::git::Signature {
        name: "n".into(),
        email: "e@x".into(),
        time: backspace_server::task::id::Timestamp(0),
    };
    let made = quarantine
        .commit_tree(&mirror.commit, &tree, &message, &author)
        .await
        .unwrap();
    assert_ne!(made, commit);
    let pushed = quarantine
        .push(&remote, &made, &branch("backspace/x"), None)
        .await
        .unwrap();
    assert_eq!(pushed, backspace_server::forge::git::Pushed::Landed);
    assert_eq!(
        std::fs::read_to_string(work.join("a")).unwrap(),
        "edited by its owner\n"
    );
    let work = Bare {
        path: work.join(".git"),
    };
    assert_eq!(work.get_ref("refs/heads/backspace/x").as_deref(), Some(made.as_str()));
    assert!(!marker.exists());
}

#[tokio::test]
async fn repositories_without_a_usable_default_branch_end_in_a_clear_error() {
    let fixture = Fixture::new().await;
    let forge = open(&fixture);
    let message = async |name: &str| {
        let result = forge
            .repository(&address(&fixture, name), &Revision::DefaultBranch, Access::Read)
            .await;
        result.unwrap_err().to_string()
    };
    Bare::empty(&fixture.path("root/empty.git"));
    assert!(message("root/empty.git").await.contains("no commit yet"));

    let bare = fixture.bare("root/detached.git", &[("a", b"1\n")]);
    let tip = bare.get_ref("main").unwrap();
    std::fs::write(bare.path.join("HEAD"), format!("{tip}\n")).unwrap();
    assert!(message("root/detached.git").await.contains("say which branch"));

    let bare = fixture.bare("root/unborn.git", &[("a", b"1\n")]);
    std::fs::write(bare.path.join("HEAD"), "ref: refs/heads/unborn\n").unwrap();
    assert!(message("root/unborn.git").await.contains("say which branch"));
    let named = forge
        .repository(
            &address(&fixture, "root/unborn.git"),
            &Revision::Branch(main_branch()),
            Access::Read,
        )
        .await;
    assert_eq!(named.unwrap().base_branch, main_branch());
}

#[tokio::test]
async fn a_repository_of_another_user_is_trusted_exactly_when_its_root_is() {
    let fixture = Fixture::new().await;
    let forge = open(&fixture);
    let bare = fixture.bare("root/theirs.git", &[("a", b"1\n")]);
    // Only root can give files away; for everybody else git's own check can't be reached here.
    let chowned = std::process::Command::new("chown")
        .args(["-R", "65534", bare.path.to_str().unwrap()])
        .status();
    if !chowned.unwrap().success() {
        return;
    }
    let theirs = address(&fixture, "root/theirs.git");
    let repository = forge
        .repository(&theirs, &Revision::DefaultBranch, Access::Push)
        .await
        .unwrap();
    let remote = forge.remote(&repository, Access::Push).await.unwrap();
    assert!(fixture.store.fetch_mirror(&remote, &main_branch(), None).await.is_ok());
}

#[tokio::test]
async fn one_repository_can_be_allowed_by_its_own_path_and_its_neighbour_is_not() {
    let fixture = Fixture::new().await;
    for name in ["one.git", "one.git.old"] {
        fixture.bare(name, &[("a", b"1\n")]);
    }
    let config = LocalForgeConfig {
        roots: vec![fixture.path("one.git")],
        folder: fixture.path("pull-requests"),
    };
    let forge = LocalForge::open(config, fixture.store.clone()).unwrap();
    let read = async |name: &str| {
        let address = address(&fixture, name);
        forge.repository(&address, &Revision::DefaultBranch, Access::Read).await
    };
    assert!(read("one.git").await.is_ok());
    assert!(matches!(read("one.git.old").await, Err(ForgeError::NotFound { .. })));
}
