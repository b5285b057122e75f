//! An engine that takes its time, and one that does what it is asked and never says so.

use std::time::{Duration, Instant};

use backspace_server::jobs::Jobs;
use backspace_server::sandbox::docker::{DockerProvider, EngineAddress};
use backspace_server::sandbox::{SandboxError, SandboxProvider as _};
use tempfile::TempDir;

use crate::between::{Between, Manner};
use crate::fixture::config_of;
use crate::inside::{output, spec};
use crate::own_engine::OwnEngine;

/// A server that reaches an engine through something that stands between.
fn through(engine: &OwnEngine, state: &TempDir, manner: Manner) -> (Between, DockerProvider) {
    let socket = state.path().join("between.sock");
    drop(std::fs::remove_file(&socket));
    let between = Between::sockets(manner, &engine.socket(), &socket);
    let mut config = config_of(engine, state.path());
    config.engine = EngineAddress::Socket(socket);
    config.answer_deadline = Duration::from_secs(2);
    (between, DockerProvider::new(config, Jobs::new()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_engine_is_waited_for() {
    let (engine, state) = (OwnEngine::start(), TempDir::new().unwrap());
    let (_between, provider) = through(&engine, &state, Manner::Late(Duration::from_millis(300)));
    let sandbox = provider.create(spec()).await.unwrap();
    assert_eq!(output(sandbox.as_ref(), "echo alive").await, "alive\n");
    sandbox.destroy().await.unwrap();
    assert_eq!(engine.leftovers(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_never_comes_fails_a_creation_in_time_and_leaves_nothing_after_a_sweep() {
    let (engine, state) = (OwnEngine::start(), TempDir::new().unwrap());
    let direct = DockerProvider::new(config_of(&engine, state.path()), Jobs::new()).unwrap();
    for (start, part) in [
        ("GET", "/images/"),
        ("POST", "/containers/create"),
        ("POST", "/attach"),
        ("POST", "/start"),
    ] {
        let (between, provider) = through(&engine, &state, Manner::Never(start, part));
        let begun = Instant::now();
        let refused = provider.create(spec()).await.err();
        assert!(
            matches!(&refused, Some(SandboxError::Unavailable { message }) if message.contains("did not answer within 2 s")),
            "{part}: {refused:?}"
        );
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{part}: {:?}",
            begun.elapsed()
        );
        direct.sweep(&[]).await.unwrap();
        assert_eq!(engine.leftovers(), Vec::<String>::new(), "{part}");
        between.heal();
        let sandbox = provider.create(spec()).await.unwrap();
        assert_eq!(output(sandbox.as_ref(), "echo alive").await, "alive\n", "{part}");
        sandbox.destroy().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_is_not_answered_is_told_in_time_and_may_be_repeated() {
    let (engine, state) = (OwnEngine::start(), TempDir::new().unwrap());
    let (between, provider) = through(&engine, &state, Manner::Never("DELETE", "/containers/backspace-"));
    let sandbox = provider.create(spec()).await.unwrap();
    let begun = Instant::now();
    let refused = sandbox.destroy().await.err();
    assert!(matches!(refused, Some(SandboxError::Unavailable { .. })), "{refused:?}");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    between.heal();
    sandbox.destroy().await.unwrap();
    assert_eq!(engine.leftovers(), Vec::<String>::new());
}
