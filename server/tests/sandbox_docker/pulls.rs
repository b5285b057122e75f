//! Pulling from a real registry: what comes of it, and what when the registry does not do its part.

use std::time::{Duration, Instant};

use backspace_server::jobs::Jobs;
use backspace_server::sandbox::docker::{DockerProvider, PullPolicy};
use backspace_server::sandbox::{SandboxError, SandboxProvider as _};
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::between::{Between, Manner};
use crate::fixture::config_of;
use crate::inside::{output, spec};
use crate::own_engine::{OwnEngine, SMALL};
use crate::registry::Registry;

/// An engine that does not have what the registry has.
struct Pull {
    engine: OwnEngine,
    registry: Registry,
    state: TempDir,
}

impl Pull {
    fn new() -> Self {
        let (engine, registry) = (OwnEngine::start(), Registry::start());
        let name = image(registry.port(), "1");
        engine.docker(&["tag", SMALL, &name]);
        engine.docker(&["push", "--quiet", &name]);
        engine.docker(&["rmi", &name, SMALL]);
        Self {
            engine,
            registry,
            state: TempDir::new().unwrap(),
        }
    }

    /// A server whose own image is this one.
    fn provider(&self, image: &str, pull: PullPolicy) -> DockerProvider {
        let mut config = config_of(&self.engine, self.state.path());
        config.images.default = image.into();
        config.images.pull = pull;
        config.images.pull_silence = Duration::from_secs(3);
        DockerProvider::new(config, Jobs::new()).unwrap()
    }

    fn images(&self) -> String {
        self.engine
            .docker(&["images", "--all", "--format", "{{.Repository}}:{{.Tag}}"])
    }
}

fn image(port: u16, tag: &str) -> String {
    format!("127.0.0.1:{port}/team/small:{tag}")
}

/// Has the server's own image ready; returns what it is, and what was said meanwhile.
async fn prepare(provider: &DockerProvider) -> (Result<Option<String>, SandboxError>, Vec<String>) {
    let (progress, mut told) = mpsc::channel(1000);
    let prepared = provider.prepare_image(None, progress).await;
    let mut words = Vec::new();
    while let Some(more) = told.recv().await {
        words.push(more);
    }
    (prepared, words)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_pulled_once_and_told_of_and_is_named_by_its_content() {
    let pull = Pull::new();
    let name = image(pull.registry.port(), "1");
    let provider = pull.provider(&name, PullPolicy::Missing);
    let (prepared, words) = prepare(&provider).await;
    let id = pull.engine.docker(&["inspect", "--format", "{{.Id}}", &name]);
    let expected = format!("the image {name} ({})", id.trim());
    assert_eq!(prepared.unwrap().as_ref(), Some(&expected));
    let begins = format!("Pulling the image {name}: ");
    assert!(words.iter().all(|line| line.starts_with(&begins)), "{words:?}");
    assert!(words.last().is_some_and(|line| line.ends_with("1 layers")), "{words:?}");

    let sandbox = provider.create(spec()).await.unwrap();
    assert!(
        output(sandbox.as_ref(), "git --version")
            .await
            .starts_with("git version")
    );
    sandbox.destroy().await.unwrap();
    let (again, words) = prepare(&provider).await;
    assert_eq!((again.unwrap(), words), (Some(expected), Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_or_a_name_that_the_registry_does_not_have_is_the_images_fault() {
    let pull = Pull::new();
    let port = pull.registry.port();
    for name in [image(port, "2"), format!("127.0.0.1:{port}/team/none:1")] {
        let (refused, words) = prepare(&pull.provider(&name, PullPolicy::Missing)).await;
        assert!(
            matches!(&refused, Err(SandboxError::Image { message }) if message.contains(&name) && message.contains("manifest unknown")),
            "{refused:?}"
        );
        assert_eq!(words, Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_pulling_the_registry_is_not_asked() {
    let pull = Pull::new();
    let (between, port) = Between::ports(Manner::Ends(usize::MAX), pull.registry.port()).await;
    let name = image(port, "1");
    let (refused, _) = prepare(&pull.provider(&name, PullPolicy::Never)).await;
    assert!(
        matches!(&refused, Err(SandboxError::Image { message }) if message.contains("has no image")),
        "{refused:?}"
    );
    assert_eq!(between.connections(), 0);
    prepare(&pull.provider(&name, PullPolicy::Missing)).await.0.unwrap();
    assert_ne!(between.connections(), 0, "the control");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_goes_away_in_the_middle_may_be_asked_again() {
    let pull = Pull::new();
    for manner in [Manner::Ends(1 << 20), Manner::Stops(1 << 20)] {
        let (between, port) = Between::ports(manner, pull.registry.port()).await;
        let name = image(port, "1");
        let provider = pull.provider(&name, PullPolicy::Missing);
        let begun = Instant::now();
        let (refused, words) = prepare(&provider).await;
        assert!(
            matches!(&refused, Err(SandboxError::Unavailable { message }) if message.contains(&name)),
            "{manner:?}: {refused:?}"
        );
        assert!(!words.is_empty(), "{manner:?}");
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{manner:?}: {:?}",
            begun.elapsed()
        );
        assert_eq!(pull.images(), "", "{manner:?}");
        between.heal();
        let (prepared, _) = prepare(&provider).await;
        assert!(prepared.is_ok(), "{manner:?}: {prepared:?}");
        pull.engine.docker(&["rmi", &name]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_not_there_may_be_asked_again() {
    let pull = Pull::new();
    let name = image(pull.registry.port(), "1");
    let provider = pull.provider(&name, PullPolicy::Missing);
    let Pull {
        registry,
        engine,
        state,
    } = pull;
    drop(registry);
    let (refused, _) = prepare(&provider).await;
    assert!(
        matches!(&refused, Err(SandboxError::Unavailable { message }) if message.contains("connection refused")),
        "{refused:?}"
    );
    drop((engine, state));
}
