//! What a command sees and what it may do. Each refusal has its control: the same attempt outside.

use std::fs;
use std::os::unix::fs::symlink;

use backspace_server::sandbox::{FileRequest, SandboxProvider as _};

use crate::fixture::{Backend, MOST_PROCESSES};
use crate::inside::{outcome, output};

#[tokio::test]
async fn a_link_to_a_secret_of_the_host_leads_nowhere() {
    let backend = Backend::new();
    let sandbox = backend.sandbox().await;
    let secret = backend.state.path().join("secret");
    fs::write(&secret, "canary").unwrap();
    let link = format!("ln -s {} link && ln -s /proc/1/root/etc/passwd other", secret.display());
    output(sandbox.as_ref(), &link).await;

    // The control: on the host the same link leads to the secret.
    let outside = backend.state.path().join("link");
    symlink(&secret, &outside).unwrap();
    assert_eq!(fs::read_to_string(outside).unwrap(), "canary");

    assert_eq!(outcome(sandbox.as_ref(), "cat link").await.0, Some(1));
    assert_eq!(outcome(sandbox.as_ref(), "cat other").await.0, Some(1));
    let request = FileRequest::ReadBytes {
        path: "link".into(),
        offset: 0,
        max_bytes: 100,
    };
    assert!(sandbox.file(request).await.unwrap().is_err());
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn a_pipe_in_the_work_tree_holds_nobody_up() {
    let backend = Backend::new();
    let sandbox = backend.sandbox().await;
    output(sandbox.as_ref(), "mkfifo pipe").await;
    let request = FileRequest::Read {
        path: "pipe".into(),
        first_line: 1,
        lines: 10,
        max_bytes: 100,
    };
    let answer = tokio::time::timeout(std::time::Duration::from_secs(20), sandbox.file(request)).await;
    assert!(answer.unwrap().unwrap().is_err());
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn a_command_has_three_descriptors_and_none_of_the_servers() {
    let backend = Backend::new();
    let secret = fs::File::open("/etc/hostname").unwrap();
    let sandbox = backend.sandbox().await;
    // The shell's own listing of the folder adds nothing: the shell expands it without opening 3.
    let text = output(
        sandbox.as_ref(),
        "for fd in /proc/self/fd/*; do test -e $fd && echo ${fd##*/}; done; true",
    )
    .await;
    assert_eq!(text, "0\n1\n2\n");
    drop(secret);
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn a_command_sees_only_its_own_processes_and_cannot_kill_the_supervisor() {
    let backend = Backend::new();
    let sandbox = backend.sandbox().await;
    let text = output(sandbox.as_ref(), "ls -d /proc/[0-9]* | wc -l").await;
    assert!(text.trim().parse::<u32>().unwrap() <= MOST_PROCESSES, "{text}");
    // Outside there are more.
    assert!(fs::read_dir("/proc").unwrap().filter(is_process).count() > 8);

    outcome(sandbox.as_ref(), "kill -9 1; kill -9 -1; kill -9 $PPID").await;
    assert_eq!(output(sandbox.as_ref(), "echo lives").await, "lives\n");
    sandbox.destroy().await.unwrap();
}

fn is_process(entry: &std::io::Result<fs::DirEntry>) -> bool {
    entry
        .as_ref()
        .unwrap()
        .file_name()
        .to_string_lossy()
        .parse::<u32>()
        .is_ok()
}

#[tokio::test]
async fn the_supervisors_memory_and_pipes_cannot_be_reached() {
    let backend = Backend::new();
    let sandbox = backend.sandbox().await;
    for command in [
        "echo forged > /proc/1/fd/1",
        "ls /proc/1/fd/",
        "cat /proc/1/environ",
        "head -c1 /proc/1/mem",
        "ls /proc/$PPID/fd/",
    ] {
        let (status, text) = outcome(sandbox.as_ref(), command).await;
        assert_ne!(status, Some(0), "{command}: {text}");
    }
    // The control: a process may do all that to itself.
    output(
        sandbox.as_ref(),
        "ls /proc/self/fd/ && cat /proc/self/environ >/dev/null",
    )
    .await;
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn the_mirrors_objects_are_readable_and_not_writable() {
    let backend = Backend::new();
    let objects = tempfile::tempdir().unwrap();
    fs::write(objects.path().join("object"), "blob").unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(objects.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let spec = backspace_server::sandbox::SandboxSpec {
        objects: Some(objects.path().into()),
        ..crate::inside::spec()
    };
    let sandbox = backend.provider.create(spec).await.unwrap();
    assert_eq!(output(sandbox.as_ref(), "cat /.backspace/objects/object").await, "blob");
    assert_ne!(
        outcome(sandbox.as_ref(), "touch /.backspace/objects/x").await.0,
        Some(0)
    );
    assert!(!objects.path().join("x").exists());
    sandbox.destroy().await.unwrap();
}
