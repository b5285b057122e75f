//! An engine that ends in the middle of a command, and begins again.

use std::time::{Duration, Instant};

use backspace_server::jobs::Jobs;
use backspace_server::sandbox::docker::DockerProvider;
use backspace_server::sandbox::{ExecSpec, SandboxError, SandboxProvider as _};
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::fixture::config_of;
use crate::inside::{MINUTE, output, spec};
use crate::own_engine::OwnEngine;

/// Most that may pass until it is known that an engine is gone.
const SOON: Duration = Duration::from_secs(20);

/// How an engine ends.
type End = fn(&mut OwnEngine);

/// Ends an engine while a command runs, which must be told soon; begins it again, and sweeps.
async fn nothing_is_left_after(end: End) {
    let (mut engine, state) = (OwnEngine::start(), TempDir::new().unwrap());
    let provider = DockerProvider::new(config_of(&engine, state.path()), Jobs::new()).unwrap();
    let asked = spec();
    let sandbox = provider.create(asked.clone()).await.unwrap();
    let (chunks, mut received) = mpsc::channel(4);
    let running = sandbox.exec(ExecSpec::shell("echo begun; sleep 1000", MINUTE), Some(chunks));
    let begun = Instant::now();
    let (ended, ()) = tokio::join!(running, async {
        received.recv().await.unwrap();
        tokio::task::block_in_place(|| end(&mut engine));
    });
    assert!(matches!(ended, Err(SandboxError::Lost { .. })), "{ended:?}");
    let gone = [
        provider.create(spec()).await.err(),
        provider.reattach(asked.clone()).await.err(),
        provider.sweep(&[]).await.err(),
        sandbox.destroy().await.err(),
    ];
    for error in gone {
        assert!(matches!(error, Some(SandboxError::Unavailable { .. })), "{error:?}");
    }
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    drop(sandbox);

    engine.begin();
    let next = provider.create(spec()).await.unwrap();
    assert_eq!(output(next.as_ref(), "echo alive").await, "alive\n");
    next.destroy().await.unwrap();
    provider.sweep(&[]).await.unwrap();
    assert!(provider.reattach(asked).await.unwrap().is_none());
    assert_eq!(engine.leftovers(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_stops_ends_the_command_at_once_and_leaves_nothing_when_it_is_back() {
    nothing_is_left_after(OwnEngine::stop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_killed_does_the_same() {
    nothing_is_left_after(OwnEngine::kill).await;
}
