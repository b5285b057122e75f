//! The disk limit of a work tree, which only root on the engine's machine can have.

use std::fs;

use backspace_server::jobs::Jobs;
use backspace_server::sandbox::docker::{DockerProvider, WorkTreeLimit};
use backspace_server::sandbox::{SandboxLimits, SandboxProvider as _, SandboxSpec};

use crate::fixture::{Backend, are_paths_shared, config};
use crate::inside::{outcome, output, spec};

fn small_disk() -> SandboxSpec {
    SandboxSpec {
        limits: SandboxLimits {
            disk_bytes: 64 << 20,
            ..SandboxLimits::default()
        },
        ..spec()
    }
}

const MUCH: &str = "for n in 1 2 3; do head -c 30000000 /dev/zero > $n || exit 1; done";

#[tokio::test]
async fn a_work_tree_is_full_at_its_size_where_that_can_be_had_and_the_self_test_says_which() {
    let backend = Backend::new();
    let found = backend.provider.self_test().await.unwrap();
    let is_hard = found.enforced.iter().any(|name| name == "disk");
    let is_said = found
        .not_enforced
        .iter()
        .any(|line| line.starts_with("no disk limit on the work tree as a whole"));
    assert_ne!(is_hard, is_said, "{found:?}");
    assert_eq!(is_hard, are_paths_shared(), "{found:?}");

    let sandbox = backend.provider.create(small_disk()).await.unwrap();
    assert_eq!(
        output(sandbox.as_ref(), "ls -A; stat -c %u .").await,
        "1000\n",
        "it is empty and the commands' own"
    );
    let (status, text) = outcome(sandbox.as_ref(), MUCH).await;
    assert_eq!(status == Some(0), !is_hard, "{text}");
    assert!(!is_hard || text.contains("No space left"), "{text}");
    output(sandbox.as_ref(), "rm -f 1 2 3 && echo usable > file").await;
    // The file of the disk has no name any more: it goes with the container.
    let disks = || -> Vec<_> {
        let entries = fs::read_dir(backend.state.path().join("disks")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !name.starts_with("template")).collect()
    };
    assert_eq!(disks(), Vec::<String>::new());
    sandbox.destroy().await.unwrap();
    assert_eq!(loop_devices(&backend), Vec::<String>::new());
}

#[tokio::test]
async fn without_a_disk_only_single_files_are_limited() {
    let backend = Backend::new();
    let mut config = config(backend.state.path());
    config.work_tree_limit = WorkTreeLimit::Files;
    let provider = DockerProvider::new(config, Jobs::new()).unwrap();
    let found = provider.self_test().await.unwrap();
    let why = "because the settings say so";
    assert!(found.not_enforced.iter().any(|line| line.ends_with(why)), "{found:?}");
    let sandbox = provider.create(small_disk()).await.unwrap();
    output(sandbox.as_ref(), MUCH).await;
    assert_ne!(
        outcome(sandbox.as_ref(), "head -c 90000000 /dev/zero > one").await.0,
        Some(0)
    );
    sandbox.destroy().await.unwrap();
}

/// Loop devices over files of this backend, with a name or without.
fn loop_devices(backend: &Backend) -> Vec<String> {
    let folder = fs::canonicalize(backend.state.path()).unwrap();
    let devices = fs::read_dir("/sys/block").unwrap();
    let files = devices.filter_map(|device| fs::read_to_string(device.unwrap().path().join("loop/backing_file")).ok());
    files
        .filter(|file| file.starts_with(folder.to_str().unwrap()))
        .collect()
}
