//! Everything that is inside, compared with lists that don't change: variables, mounts, descriptors, sockets.
//!
//! Files of the image are the image's; what the engine and the server add to it is on these lists or fails the test.

use backspace_server::sandbox::SandboxProvider as _;

use crate::fixture::Backend;
use crate::inside::{outcome, output, spec};
use crate::listed::{compare_descriptors_and_sockets, compare_mounts, matches};

const VARIABLES: &str = "HOME=/home/agent\nLANG=C.UTF-8\nLOGNAME=agent\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nPWD=/workspace\nSHELL=/bin/sh\nTERM=dumb\nUSER=agent\n";

/// Place, kind of file system, read-only or not; `*` for the engine's own kind.
const MOUNTS: [&str; 20] = [
    "/ overlay ro",
    "/.backspace/bin/backspace-supervisor * ro",
    "/.backspace/objects * ro",
    "/.backspace/spill * rw",
    "/dev tmpfs rw",
    "/dev/mqueue mqueue rw",
    "/dev/pts devpts rw",
    "/dev/shm tmpfs rw",
    "/etc/hostname * ro",
    "/etc/hosts * ro",
    "/etc/resolv.conf * ro",
    "/home/agent tmpfs rw",
    "/proc proc rw",
    "/run tmpfs rw",
    "/sys sysfs ro",
    "/tmp tmpfs rw",
    "/workspace * rw",
    // Of an engine with control groups of version 2, and of version 1.
    "/sys/fs/cgroup cgroup2 ro",
    "/sys/fs/cgroup tmpfs rw",
    "/sys/fs/cgroup cgroup ro",
];

/// Places below which the engine covers what is there, read-only or by nothing.
const COVERED: [&str; 3] = ["/proc/", "/sys/firmware", "/sys/fs/cgroup/"];

#[tokio::test]
async fn all_that_is_inside_is_on_a_list() {
    let backend = Backend::new();
    let objects = tempfile::tempdir().unwrap();
    let spec = backspace_server::sandbox::SandboxSpec {
        objects: Some(objects.path().into()),
        ..spec()
    };
    let sandbox = backend.provider.create(spec).await.unwrap();
    let variables = output(sandbox.as_ref(), "env | grep -v ^_= | sort").await;
    assert_eq!(variables, VARIABLES);

    compare_mounts(sandbox.as_ref(), &MOUNTS[..17], is_listed).await;
    compare_descriptors_and_sockets(sandbox.as_ref()).await;
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn nothing_of_the_engine_or_its_machine_is_inside() {
    let backend = Backend::new();
    let sandbox = backend.sandbox().await;
    let dev = output(sandbox.as_ref(), "ls -A /dev").await;
    // A link to the machine's memory, which the engine covers; not every one has it.
    let dev: Vec<_> = dev.lines().filter(|name| *name != "core").collect();
    assert_eq!(
        dev,
        [
            "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty",
            "urandom", "zero"
        ]
    );
    for absent in [
        "/var/run/docker.sock",
        "/run/docker.sock",
        "/run/containerd/containerd.sock",
    ] {
        assert_eq!(
            outcome(sandbox.as_ref(), &format!("test -e {absent}")).await.0,
            Some(1),
            "{absent}"
        );
    }
    assert_eq!(
        output(sandbox.as_ref(), "cat /etc/resolv.conf | grep -v '^#'").await,
        "nameserver 127.0.0.1\n"
    );
    assert_eq!(output(sandbox.as_ref(), "hostname").await, "sandbox\n");
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn the_image_can_not_be_written_to() {
    let backend = Backend::new();
    let sandbox = backend.sandbox().await;
    for place in [
        "/x",
        "/usr/x",
        "/etc/x",
        "/var/tmp/x",
        "/opt/x",
        "/dev/x",
        "/.backspace/spill/x",
        "/.backspace/bin/x",
        "/sys/fs/cgroup/x",
    ] {
        assert_ne!(
            outcome(sandbox.as_ref(), &format!("touch {place}")).await.0,
            Some(0),
            "{place}"
        );
    }
    for place in ["/workspace/x", "/tmp/x", "/home/agent/x", "/run/x", "/dev/shm/x"] {
        output(sandbox.as_ref(), &format!("touch {place}")).await;
    }
    sandbox.destroy().await.unwrap();
}

fn is_listed(mount: &str) -> bool {
    let place = mount.split(' ').next().unwrap_or_default();
    COVERED.iter().any(|above| place.starts_with(above)) || MOUNTS.iter().any(|wanted| matches(wanted, mount))
}
