//! Attacks on the launcher and its mistakes, which other launchers are known for.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::Command;

use crate::fixture::{Backend, is_root};
use crate::inside::output;

#[tokio::test]
async fn no_id_inside_is_root_outside() {
    let backend = Backend::new();
    let sandbox = backend.sandbox().await;
    assert_eq!(
        output(sandbox.as_ref(), "id -u; id -g; id -G").await.lines().next(),
        Some("1000")
    );
    for kind in ["uid", "gid"] {
        let map = output(sandbox.as_ref(), &format!("cat /proc/self/{kind}_map")).await;
        let entries: Vec<Vec<u32>> = map
            .lines()
            .map(|line| line.split_whitespace().map(|number| number.parse().unwrap()).collect())
            .collect();
        for entry in &entries {
            assert!(entry[2] == 1 && entry[1] != 0, "{kind}: {map}");
            assert!(!is_root() || entry[1] >= 200_000, "{kind}: {map}");
        }
    }
    let groups = output(sandbox.as_ref(), "id -G").await;
    let privileged: Vec<_> = groups.split_whitespace().filter(|group| *group == "0").collect();
    assert_eq!(privileged, Vec::<&str>::new(), "{groups}");
    sandbox.destroy().await.unwrap();
}

#[test]
fn a_sandbox_outlives_the_thread_that_made_it() {
    // The launcher is tied to its parent by the kernel, which means the thread and not the process.
    let backend = Backend::new();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let handle = runtime.handle().clone();
    let (sandbox, backend) = std::thread::spawn(move || {
        let sandbox = handle.block_on(backend.sandbox());
        (sandbox, backend)
    })
    .join()
    .unwrap();
    runtime.block_on(async {
        assert_eq!(output(sandbox.as_ref(), "echo alive").await, "alive\n");
        sandbox.destroy().await.unwrap();
    });
    drop(backend);
}

/// The shell leaves descriptors open on purpose, as a server with a fault would.
#[test]
fn descriptors_that_the_server_leaks_do_not_get_in() {
    use crate::life::RawSandbox;

    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, "canary").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o666)).unwrap();
    let leak = format!("exec 7<>{0} 12<{0} 251<{0};", secret.display());
    // The control: what is started like this has them.
    let control = Command::new("bash")
        .args(["-c", &format!("{leak} exec cat /proc/self/fd/7 /proc/self/fd/251")])
        .output();
    assert_eq!(String::from_utf8_lossy(&control.unwrap().stdout), "canarycanary");

    let mut sandbox = RawSandbox::start(&leak);
    let (status, text) = sandbox.run("ls /proc/self/fd; cat /proc/self/fd/7 /proc/self/fd/12 <&7");
    assert_ne!(status, Some(0));
    assert!(!text.contains("canary"), "{text}");
    let (_, text) = sandbox.run("for fd in /proc/self/fd/*; do test -e $fd && echo ${fd##*/}; done; true");
    assert_eq!(text, "0\n1\n2\n");
    assert_eq!(fs::metadata(&secret).unwrap().size(), 6);
}
