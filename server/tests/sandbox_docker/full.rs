//! An engine whose disk is full.

use std::time::{Duration, Instant};

use backspace_server::jobs::Jobs;
use backspace_server::sandbox::docker::{DockerProvider, PullPolicy, WorkTreeLimit};
use backspace_server::sandbox::{SandboxError, SandboxProvider as _};
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::fixture::config_of;
use crate::inside::{outcome, output, spec};
use crate::own_engine::OwnEngine;
use crate::registry::Registry;

/// Room for the small image several times.
const DISK_MIB: u64 = 160;

/// Takes all room there is on the engine's disk.
const FILL: &str = "dd if=/dev/zero of=much bs=1M; dd if=/dev/zero of=rest bs=512; true";

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_named_and_costs_no_sandbox_that_is_there() {
    let (engine, state) = (OwnEngine::on_disk_of(DISK_MIB), TempDir::new().unwrap());
    let registry = Registry::start();
    let name = pushed(&engine, &registry, &state);
    let mut config = config_of(&engine, state.path());
    // A work tree of the engine's own is what fills the engine's disk.
    config.work_tree_limit = WorkTreeLimit::Files;
    config.images.pull = PullPolicy::Missing;
    let provider = DockerProvider::new(config.clone(), Jobs::new()).unwrap();
    let sandbox = provider.create(spec()).await.unwrap();
    let (_, told) = outcome(sandbox.as_ref(), FILL).await;
    assert!(told.contains("No space left on device"), "{told}");

    let begun = Instant::now();
    let refused = provider.create(spec()).await.err();
    assert_full(refused, "create");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(output(sandbox.as_ref(), "echo alive").await, "alive\n");

    assert_eq!(output(sandbox.as_ref(), "rm much rest; echo room").await, "room\n");
    let next = provider.create(spec()).await.unwrap();
    assert_eq!(output(next.as_ref(), "echo alive").await, "alive\n");
    next.destroy().await.unwrap();

    outcome(sandbox.as_ref(), FILL).await;
    config.images.default.clone_from(&name);
    let pulling = DockerProvider::new(config, Jobs::new()).unwrap();
    let (progress, _told) = mpsc::channel(8);
    assert_full(pulling.prepare_image(None, progress).await.err(), "pull");
    sandbox.destroy().await.unwrap();
    assert_eq!(engine.leftovers(), Vec::<String>::new());
    let (progress, _told) = mpsc::channel(8);
    pulling.prepare_image(None, progress).await.unwrap();
}

/// Brings an image that the engine no longer has into a registry.
fn pushed(engine: &OwnEngine, registry: &Registry, folder: &TempDir) -> String {
    let name = format!("127.0.0.1:{}/team/other:1", registry.port());
    let (content, archive) = (folder.path().join("content"), folder.path().join("other.tar"));
    std::fs::write(&content, vec![7; 8 << 20]).unwrap();
    let mut pack = std::process::Command::new("tar");
    pack.arg("-cf")
        .arg(&archive)
        .arg("-C")
        .arg(folder.path())
        .arg("content");
    assert!(pack.status().unwrap().success());
    engine.docker(&["import", archive.to_str().unwrap(), &name]);
    engine.docker(&["push", "--quiet", &name]);
    engine.docker(&["rmi", &name]);
    name
}

fn assert_full(refused: Option<SandboxError>, what: &str) {
    let is_full = |message: &str| message.contains("the engine's disk is full, free some room there");
    assert!(
        matches!(&refused, Some(SandboxError::Unavailable { message }) if is_full(message)),
        "{what}: {refused:?}"
    );
}
