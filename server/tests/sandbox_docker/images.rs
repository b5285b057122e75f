//! Images: which may be asked for, and what one must have.

use std::process::Command;

use backspace_server::jobs::Jobs;
use backspace_server::sandbox::docker::{DockerConfig, DockerProvider, PullPolicy};
use backspace_server::sandbox::{SandboxError, SandboxProvider as _, SandboxSpec};
use tokio::sync::mpsc;

use crate::fixture::{Backend, config, docker, image};
use crate::inside::{output, spec};

fn asking(image: &str) -> SandboxSpec {
    SandboxSpec {
        image: Some(image.to_owned()),
        ..spec()
    }
}

/// An image under another name, which goes with the guard.
struct Tag(String);

impl Tag {
    fn new(name: &str) -> Self {
        let tag = Self(format!("{name}:{}", std::process::id()));
        docker(&["tag", &image(), &tag.0]);
        tag
    }
}

impl Drop for Tag {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rmi", &self.0]).output();
    }
}

#[tokio::test]
async fn an_image_that_is_allowed_may_be_asked_for_and_no_other() {
    let backend = Backend::new();
    let (allowed, other) = (Tag::new("backspace-test-allowed"), Tag::new("backspace-test-other"));
    let mut config = config(backend.state.path());
    config.images.allowed = vec!["backspace-test-allowed:*".into()];
    let provider = DockerProvider::new(config, Jobs::new()).unwrap();
    assert!(provider.allows_image(&allowed.0) && !provider.allows_image(&other.0));
    let sandbox = provider.create(asking(&allowed.0)).await.unwrap();
    output(sandbox.as_ref(), "git --version").await;
    sandbox.destroy().await.unwrap();
    for asked in [other.0.as_str(), "../x", "a b", "backspace-test-allowed:1 --privileged"] {
        let refused = provider.create(asking(asked)).await.err().unwrap();
        assert!(matches!(&refused, SandboxError::Image { .. }), "{asked}: {refused}");
    }
    assert_eq!(backend.leftovers(), Vec::<String>::new());
}

#[tokio::test]
async fn an_image_is_named_with_its_content() {
    let backend = Backend::new();
    let id = docker(&["inspect", "--format", "{{.Id}}", &image()]);
    let (progress, mut told) = mpsc::channel(8);
    let named = backend.provider.prepare_image(None, progress).await.unwrap();
    assert_eq!(named, Some(format!("the image {} ({})", image(), id.trim())));
    assert_eq!(told.recv().await, None, "nothing was pulled");
}

#[tokio::test]
async fn an_image_that_is_not_there_is_pulled_only_where_that_is_wanted() {
    let backend = Backend::new();
    // Nobody listens there: the engine tries in one case, and is not asked in the other.
    let name = "127.0.0.1:1/backspace-no-such-image:1";
    let refused = |pull| {
        let mut config = DockerConfig::new(backend.state.path(), "/nonexistent", name);
        config.engine = crate::fixture::config(backend.state.path()).engine;
        config.images.pull = pull;
        let provider = DockerProvider::new(config, Jobs::new()).unwrap();
        async move {
            let (progress, _told) = mpsc::channel(8);
            provider.prepare_image(None, progress).await
        }
    };
    let never = refused(PullPolicy::Never).await;
    assert!(
        matches!(&never, Err(SandboxError::Image { message }) if message.contains("has no image")),
        "{never:?}"
    );
    let missing = refused(PullPolicy::Missing).await;
    assert!(
        matches!(&missing, Err(SandboxError::Unavailable { message }) if message.contains("connection refused")),
        "{missing:?}"
    );
}

/// An image of one file, made with changes to what it says of itself.
fn imported(name: &str, changes: &[&str]) -> Tag {
    let name = format!("{name}:{}", std::process::id());
    let mut command = Command::new("docker");
    command.arg("import");
    for change in changes {
        command.args(["--change", change]);
    }
    let archive = tempfile::NamedTempFile::new().unwrap();
    let file = archive.path().to_str().unwrap();
    let packed = Command::new("tar")
        .args(["-cf", file, "-C", "/etc", "hostname"])
        .status()
        .unwrap();
    assert!(packed.success());
    let made = command.args([file, &name]).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    Tag(name)
}

#[tokio::test]
async fn an_image_without_git_takes_no_checkout_from_others() {
    let backend = Backend::new();
    let empty = imported("backspace-test-gitless", &[]);
    let mut config = config(backend.state.path());
    config.images.allowed = vec!["backspace-test-gitless:*".into()];
    let provider = DockerProvider::new(config, Jobs::new()).unwrap();
    let sandbox = provider.create_for_checkout(spec()).await.unwrap().unwrap();
    let kept = provider.keep_checkout(&sandbox, "key", 1).await.unwrap().unwrap();
    let over = SandboxSpec {
        checkout: Some(kept.clone()),
        ..asking(&empty.0)
    };
    let refused = provider.create(over).await.err().unwrap();
    assert!(matches!(&refused, SandboxError::Image { .. }), "{refused}");
    assert_eq!(provider.checkout("key").await.as_ref(), Some(&kept));
    docker(&["volume", "rm", kept.to_str().unwrap()]);
    assert_eq!(backend.leftovers(), Vec::<String>::new());
}

#[tokio::test]
async fn an_image_without_git_or_with_volumes_is_refused() {
    let backend = Backend::new();
    let empty = imported("backspace-test-empty", &[]);
    let volumes = imported("backspace-test-volumes", &["VOLUME /data"]);
    for (image, words) in [(&empty, "git"), (&volumes, "volumes")] {
        let mut config = config(backend.state.path());
        config.images.default.clone_from(&image.0);
        let provider = DockerProvider::new(config, Jobs::new()).unwrap();
        let refused = provider.create(spec()).await.err().unwrap();
        assert!(
            matches!(&refused, SandboxError::Image { message } if message.contains(words)),
            "{words}: {refused}"
        );
    }
    assert_eq!(backend.leftovers(), Vec::<String>::new());
}
