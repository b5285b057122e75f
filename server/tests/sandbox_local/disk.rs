//! The disk limit: an image for each sandbox, which only root can mount.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use backspace_server::jobs::Jobs;
use backspace_server::sandbox::local::{DiskLimit, LocalProvider};
use backspace_server::sandbox::{SandboxError, SandboxLimits, SandboxProvider as _, SandboxSpec};

use crate::fixture::{Backend, config, is_root};
use crate::inside::{outcome, output, report, spec};

fn provider_with_images(state: &Path) -> LocalProvider {
    let mut config = config(state);
    config.disk = DiskLimit::Image;
    LocalProvider::new(config, Jobs::new()).unwrap()
}

fn small_disk() -> SandboxSpec {
    SandboxSpec {
        limits: SandboxLimits {
            disk_bytes: 64 << 20,
            ..SandboxLimits::default()
        },
        ..spec()
    }
}

#[tokio::test]
async fn a_work_tree_in_an_image_is_full_at_its_size_and_survives_its_supervisor() {
    let backend = Backend::new();
    let provider = provider_with_images(backend.state.path());
    if !is_root() {
        let refused = provider.create(small_disk()).await.err().unwrap();
        assert!(matches!(refused, SandboxError::Unsupported { .. }), "{refused}");
        assert_eq!(backend.leftovers(), Vec::<String>::new());
        return;
    }
    let spec = small_disk();
    let sandbox = provider.create(spec.clone()).await.unwrap();
    output(sandbox.as_ref(), "head -c 20000000 /dev/zero > one && echo kept > file").await;
    // More files, each below the limit of a single one.
    let (status, text) = outcome(sandbox.as_ref(), "head -c 30000000 /dev/zero > two && cat two > three").await;
    assert!(status != Some(0) && text.contains("No space left"), "{text}");

    sandbox.detach().await;
    let restarted = provider_with_images(backend.state.path());
    let again = restarted.reattach(spec).await.unwrap().unwrap();
    assert_eq!(
        output(again.as_ref(), "cat file; id -u; stat -c %u file").await,
        "kept\n1000\n1000\n"
    );
    let image = backend.state.path().join("sandboxes").join(again.id().to_string());
    assert!(in_use(&image), "the control: a living sandbox has a loop device");
    again.destroy().await.unwrap();
    assert_eq!(backend.leftovers(), Vec::<String>::new());
    assert!(!in_use(&image));
}

#[tokio::test]
async fn the_self_test_holds_in_an_image() {
    if !is_root() {
        println!("not root: only root can mount an image");
        return;
    }
    let backend = Backend::new();
    let found = provider_with_images(backend.state.path()).self_test().await.unwrap();
    assert!(found.enforced.iter().any(|name| name == "disk"), "{found:?}");
    assert_eq!(backend.leftovers(), Vec::<String>::new());
}

#[tokio::test]
async fn the_limit_is_chosen_by_what_the_machine_can_do_and_is_told() {
    let backend = Backend::new();
    let mut config = config(backend.state.path());
    config.disk = DiskLimit::Automatic;
    let provider = LocalProvider::new(config, Jobs::new()).unwrap();
    let found = provider.self_test().await.unwrap();
    let is_hard = found.enforced.iter().any(|name| name == "disk");
    let reason = found.not_enforced.iter().find(|line| line.starts_with("no disk limit"));
    assert_ne!(is_hard, reason.is_some(), "{found:?}");
    if !is_root() {
        assert!(
            reason.unwrap().ends_with("because only root can mount an image"),
            "{reason:?}"
        );
    }
    let checkout = tempfile::tempdir().unwrap();
    fs::set_permissions(checkout.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(checkout.path().join("file"), "of the checkout\n").unwrap();
    let spec = SandboxSpec {
        checkout: Some(checkout.path().into()),
        ..small_disk()
    };
    let sandbox = provider.create(spec).await.unwrap();
    assert_eq!(
        output(sandbox.as_ref(), "cat file && echo more >> file && tail -n 1 file").await,
        "of the checkout\nmore\n"
    );
    let much = "for n in 1 2 3; do head -c 30000000 /dev/zero > $n || exit 1; done";
    let (status, text) = outcome(sandbox.as_ref(), much).await;
    assert_eq!(status == Some(0), !is_hard, "{text}");
    sandbox.destroy().await.unwrap();
    assert_eq!(backend.leftovers(), Vec::<String>::new());
}

fn in_use(folder: &Path) -> bool {
    let folder = fs::canonicalize(folder.parent().unwrap())
        .unwrap()
        .join(folder.file_name().unwrap());
    let devices = fs::read_dir("/sys/block").unwrap();
    devices
        .filter_map(|device| fs::read_to_string(device.unwrap().path().join("loop/backing_file")).ok())
        .any(|file| Path::new(file.trim_end()).starts_with(&folder))
}

#[tokio::test]
async fn a_work_tree_without_an_image_is_watched() {
    let backend = Backend::new();
    let sandbox = backend.provider.create(small_disk()).await.unwrap();
    let fill = "n=0; while :; do head -c 4194304 /dev/zero > f$n; n=$((n+1)); sleep 0.02; done";
    let filled = report(sandbox.as_ref(), fill).await;
    assert!(filled.disk_exceeded && filled.exit_code.is_none(), "{filled:?}");
    // What cleans up may do so, and then there is room again.
    let cleaned = report(
        sandbox.as_ref(),
        "rm f*; sleep 2; head -c 33554432 /dev/zero > f; wc -c < f",
    )
    .await;
    assert_eq!(
        (cleaned.exit_code, cleaned.disk_exceeded),
        (Some(0), false),
        "{cleaned:?}"
    );
    assert_eq!(String::from_utf8_lossy(&cleaned.output).trim(), "33554432");
    sandbox.destroy().await.unwrap();
}
