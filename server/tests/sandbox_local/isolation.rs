//! What a command sees and what it may do. Each refusal has its control: the same attempt outside.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use backspace_server::sandbox::{FileRequest, SandboxProvider as _};
use sandbox_supervisor::probe::ProbeReport;

use crate::fixture::{Local, is_root, outcome, output, supervisor};

#[tokio::test]
async fn the_self_test_passes_and_says_what_is_and_is_not_enforced() {
    let local = Local::new();
    let found = local.provider.self_test().await.unwrap();
    for layer in [
        "namespaces",
        "mount-tree",
        "network",
        "capabilities",
        "no-new-privileges",
        "seccomp",
    ] {
        assert!(found.enforced.iter().any(|name| name == layer), "{layer}: {found:?}");
    }
    let without_memory = found
        .not_enforced
        .iter()
        .any(|line| line.starts_with("no aggregate memory limit"));
    let with_memory = found.enforced.iter().any(|name| name == "memory");
    assert_ne!(with_memory, without_memory, "{found:?}");
    assert_eq!(local.leftovers(), Vec::<String>::new());
}

/// What the self-test counts as refused must be possible where nothing refuses it.
#[test]
fn outside_of_a_sandbox_the_attempts_of_the_self_test_succeed() {
    if !is_root() {
        println!("not root: an ordinary user is refused most of it outside as well");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let run = Command::new("unshare")
        .args(["--mount", "--uts", "--pid", "--fork", "--mount-proc", "--"])
        .arg(supervisor())
        .arg("probe")
        .current_dir(folder.path())
        .output()
        .unwrap();
    let report: ProbeReport = serde_json::from_slice(&run.stdout).unwrap();
    let refused: Vec<_> = report.refused.keys().map(String::as_str).collect();
    // Not built into every kernel.
    let excused = [
        "vsock socket",
        "crypto socket",
        "write sysrq-trigger",
        "userfaultfd",
        "io_uring",
        // `attacks::calls_under_other_numbers_are_refused_by_our_filter` tells who refuses it.
        "x32 call",
        "32-bit call",
    ];
    let unexplained: Vec<_> = refused.iter().filter(|name| !excused.contains(name)).collect();
    assert_eq!(unexplained, Vec::<&&str>::new(), "{report:#?}");
}

#[tokio::test]
async fn the_environment_is_a_constant_list() {
    let local = Local::new();
    let sandbox = local.sandbox().await;
    let text = output(sandbox.as_ref(), "env | cut -d= -f1 | sort").await;
    let names: Vec<_> = text.lines().filter(|name| !TOOLS.contains(name)).collect();
    assert_eq!(
        names,
        ["HOME", "LANG", "LOGNAME", "PATH", "PWD", "SHELL", "TERM", "USER"]
    );
    sandbox.destroy().await.unwrap();

    const TOOLS: [&str; 5] = ["NVM_DIR", "PYENV_ROOT", "RUSTUP_HOME", "SDKMAN_DIR", "_"];
}

#[tokio::test]
async fn nothing_is_mounted_writable_but_the_sandboxs_own() {
    let local = Local::new();
    let sandbox = local.sandbox().await;
    let text = output(sandbox.as_ref(), "cat /proc/self/mountinfo").await;
    let mut writable = Vec::new();
    for line in text.lines() {
        let fields: Vec<_> = line.split(' ').collect();
        let (place, options) = (fields[4], fields[5]);
        let options: Vec<_> = options.split(',').collect();
        if !place.starts_with("/dev/") || place == "/dev/shm" {
            assert!(options.contains(&"nosuid") && options.contains(&"nodev"), "{line}");
        }
        if options.contains(&"rw") {
            writable.push(place.to_owned());
        }
    }
    writable.retain(|place| !DEVICES.contains(&place.as_str()));
    writable.sort();
    writable.dedup();
    assert_eq!(
        writable,
        [
            "/.backspace/spill",
            "/dev/pts",
            "/dev/shm",
            "/home/agent",
            "/proc",
            "/run",
            "/tmp",
            "/workspace"
        ]
    );
    sandbox.destroy().await.unwrap();

    const DEVICES: [&str; 6] = [
        "/dev/full",
        "/dev/null",
        "/dev/random",
        "/dev/tty",
        "/dev/urandom",
        "/dev/zero",
    ];
}

#[tokio::test]
async fn the_root_and_dev_have_nothing_of_the_hosts_in_them() {
    let local = Local::new();
    let sandbox = local.sandbox().await;
    let root = output(sandbox.as_ref(), "ls -A /").await;
    let strange: Vec<_> = root.lines().filter(|name| !ROOT.contains(name)).collect();
    assert_eq!(strange, Vec::<&str>::new());
    let dev = output(sandbox.as_ref(), "ls -A /dev").await;
    let dev: Vec<_> = dev.lines().collect();
    assert_eq!(
        dev,
        [
            "fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty", "urandom", "zero"
        ]
    );
    for absent in ["/etc/shadow", "/root/.ssh", "/var/run/docker.sock", "/sys/fs/cgroup"] {
        let (status, _) = outcome(sandbox.as_ref(), &format!("test -e {absent}")).await;
        assert_eq!(status, Some(1), "{absent}");
    }
    sandbox.destroy().await.unwrap();

    // `root`, `opt` and `nix` only as the way to a toolchain.
    const ROOT: [&str; 20] = [
        ".backspace",
        "bin",
        "dev",
        "etc",
        "home",
        "lib",
        "lib32",
        "lib64",
        "libx32",
        "nix",
        "opt",
        "proc",
        "root",
        "run",
        "sbin",
        "sys",
        "tmp",
        "usr",
        "var",
        "workspace",
    ];
}

#[tokio::test]
async fn a_link_to_a_secret_of_the_host_leads_nowhere() {
    let local = Local::new();
    let sandbox = local.sandbox().await;
    let secret = local.state.path().join("secret");
    fs::write(&secret, "canary").unwrap();
    let link = format!("ln -s {} link && ln -s /proc/1/root/etc/passwd other", secret.display());
    output(sandbox.as_ref(), &link).await;

    // The control: on the host the same link leads to the secret.
    let outside = local.state.path().join("link");
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
    let local = Local::new();
    let sandbox = local.sandbox().await;
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
    let local = Local::new();
    let secret = fs::File::open("/etc/hostname").unwrap();
    let sandbox = local.sandbox().await;
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
    let local = Local::new();
    let sandbox = local.sandbox().await;
    let text = output(sandbox.as_ref(), "ls -d /proc/[0-9]* | wc -l").await;
    assert!(text.trim().parse::<u32>().unwrap() <= 4, "{text}");
    // Outside there are more.
    assert!(fs::read_dir("/proc").unwrap().filter(is_process).count() > 4);

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
    let local = Local::new();
    let sandbox = local.sandbox().await;
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
async fn files_made_inside_belong_to_no_privileged_user_outside() {
    use std::os::unix::fs::MetadataExt as _;

    let local = Local::new();
    let sandbox = local.sandbox().await;
    output(sandbox.as_ref(), "cp /usr/bin/true evil && chmod 4755 evil").await;
    let file = local
        .state
        .path()
        .join("sandboxes")
        .join(sandbox.id().to_string())
        .join("work/evil");
    let owner = fs::metadata(&file).unwrap().uid();
    if is_root() {
        assert!((200_000..240_000).contains(&owner), "{owner}");
    } else {
        assert_eq!(owner, fs::metadata("/proc/self").unwrap().uid());
    }
    // Nobody else gets to it: the folder above is the server's alone.
    assert_eq!(
        fs::metadata(local.state.path().join("sandboxes")).unwrap().mode() & 0o777,
        0o700
    );
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn the_mirrors_objects_are_readable_and_not_writable() {
    let local = Local::new();
    let objects = tempfile::tempdir().unwrap();
    fs::write(objects.path().join("object"), "blob").unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(objects.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let spec = backspace_server::sandbox::SandboxSpec {
        objects: Some(objects.path().into()),
        ..crate::fixture::spec()
    };
    let sandbox = local.provider.create(spec).await.unwrap();
    assert_eq!(output(sandbox.as_ref(), "cat /.backspace/objects/object").await, "blob");
    assert_ne!(
        outcome(sandbox.as_ref(), "touch /.backspace/objects/x").await.0,
        Some(0)
    );
    assert!(!objects.path().join("x").exists());
    sandbox.destroy().await.unwrap();
}
