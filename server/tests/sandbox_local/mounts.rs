//! What the launcher makes: mounts, /dev, variables, owners. What the self-test says of it, and its control.

use std::fs;
use std::process::Command;

use backspace_server::sandbox::SandboxProvider as _;
use sandbox_supervisor::probe::ProbeReport;

use crate::fixture::{Backend, is_root, supervisor};
use crate::inside::{outcome, output};

#[tokio::test]
async fn the_self_test_passes_and_says_what_is_and_is_not_enforced() {
    let backend = Backend::new();
    let found = backend.provider.self_test().await.unwrap();
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
    assert_eq!(backend.leftovers(), Vec::<String>::new());
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
    let backend = Backend::new();
    let sandbox = backend.sandbox().await;
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
    let backend = Backend::new();
    let sandbox = backend.sandbox().await;
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
    let backend = Backend::new();
    let sandbox = backend.sandbox().await;
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
async fn files_made_inside_belong_to_no_privileged_user_outside() {
    use std::os::unix::fs::MetadataExt as _;

    let backend = Backend::new();
    let sandbox = backend.sandbox().await;
    output(sandbox.as_ref(), "cp /usr/bin/true evil && chmod 4755 evil").await;
    let file = backend
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
        fs::metadata(backend.state.path().join("sandboxes")).unwrap().mode() & 0o777,
        0o700
    );
    sandbox.destroy().await.unwrap();
}
