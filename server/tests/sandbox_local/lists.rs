//! Everything that is inside, compared with lists that don't change: variables, mounts, descriptors, sockets.
//!
//! What a machine may lack is left out of the comparison; what nobody listed fails it.

use backspace_server::jobs::Jobs;
use backspace_server::sandbox::SandboxProvider as _;
use backspace_server::sandbox::local::LocalProvider;

use crate::fixture::{Backend, config};
use crate::inside::{output, spec};

const VARIABLES: &str = "HOME=/home/agent\nLANG=C.UTF-8\nLOGNAME=agent\nPATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nPWD=/workspace\nSHELL=/bin/sh\nTERM=dumb\nUSER=agent\n";

/// Place, kind of file system, read-only or not; `*` for the host's own kind.
const MOUNTS: [&str; 19] = [
    "/ tmpfs ro",
    "/.backspace/spill * rw",
    "/dev/full * rw",
    "/dev/null * rw",
    "/dev/pts devpts rw",
    "/dev/random * rw",
    "/dev/shm tmpfs rw",
    "/dev/tty * rw",
    "/dev/urandom * rw",
    "/dev/zero * rw",
    "/home/agent tmpfs rw",
    "/proc proc rw",
    "/run tmpfs rw",
    "/tmp tmpfs rw",
    "/usr * ro",
    "/workspace * rw",
    // The process's own view of it, in its own process namespace.
    "/proc proc rw",
    "/dev tmpfs ro",
    "/sys tmpfs ro",
];

/// Read-only, where the machine has them; folders and files below count as these.
const SYSTEM: [&str; 26] = [
    "/bin",
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/crypto-policies",
    "/etc/fonts",
    "/etc/java",
    "/etc/java-",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/maven/m2.conf",
    "/etc/mime.types",
    "/etc/perl",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/etc/protocols",
    "/etc/services",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/sbin",
];

#[tokio::test]
async fn all_that_is_inside_is_on_a_list() {
    let backend = Backend::new();
    let mut config = config(backend.state.path());
    config.home = None;
    let provider = LocalProvider::new(config, Jobs::new()).unwrap();
    let sandbox = provider.create(spec()).await.unwrap();

    let variables = output(sandbox.as_ref(), "env | grep -v ^_= | sort").await;
    assert_eq!(variables, VARIABLES);

    let mounts = output(sandbox.as_ref(), "cat /proc/self/mountinfo").await;
    let strange: Vec<_> = mounts
        .lines()
        .filter_map(shown)
        .filter(|mount| !is_listed(mount))
        .collect();
    assert_eq!(strange, Vec::<String>::new(), "{mounts}");
    let missing: Vec<_> = MOUNTS[..16]
        .iter()
        .filter(|wanted| !mounts.lines().filter_map(shown).any(|mount| matches(wanted, &mount)))
        .collect();
    assert_eq!(
        missing,
        Vec::<&&str>::new(),
        "the control: the mounts were read\n{mounts}"
    );

    let descriptors =
        "for fd in /proc/self/fd/*; do test -e $fd && echo ${fd##*/} $(readlink $fd | cut -d: -f1); done; true";
    assert_eq!(
        output(sandbox.as_ref(), descriptors).await,
        "0 /dev/null\n1 pipe\n2 pipe\n"
    );

    // Each table has one line, its heading, when there is no socket.
    for table in ["tcp", "tcp6", "udp", "udp6", "raw", "raw6", "unix", "packet"] {
        let count = output(
            sandbox.as_ref(),
            &format!("test ! -e /proc/net/{table} || tail -n +2 /proc/net/{table} | wc -l"),
        )
        .await;
        assert!(matches!(count.trim(), "" | "0"), "{table}: {count}");
    }
    let sockets = output(
        sandbox.as_ref(),
        "find / -xdev -type s 2>/dev/null; find /workspace /tmp /run /dev -type s 2>/dev/null; true",
    )
    .await;
    assert_eq!(sockets, "");
    // The control: a socket inside is seen by the same look.
    let own = "perl -MIO::Socket::UNIX -e 'my $s = IO::Socket::UNIX->new(Local => \"/run/own\", Listen => 1) or exit 3; system(\"find /run -type s; tail -n +2 /proc/net/unix | wc -l\")'";
    assert_eq!(output(sandbox.as_ref(), own).await, "/run/own\n1\n");
    sandbox.destroy().await.unwrap();
}

/// Returns `place kind ro|rw` of a line of mountinfo.
fn shown(line: &str) -> Option<String> {
    let (before, after) = line.split_once(" - ")?;
    let fields: Vec<_> = before.split(' ').collect();
    let mode = if fields[5].split(',').any(|option| option == "ro") {
        "ro"
    } else {
        "rw"
    };
    Some(format!("{} {} {mode}", fields[4], after.split(' ').next()?))
}

fn is_listed(mount: &str) -> bool {
    let place = mount.split(' ').next().unwrap_or_default();
    let is_system = mount.ends_with(" ro")
        && SYSTEM.iter().chain(&["/usr"]).any(|above| {
            place == *above
                || place.starts_with(&format!("{above}/"))
                || (above.ends_with('-') && place.starts_with(above))
        });
    is_system || MOUNTS.iter().any(|wanted| matches(wanted, mount))
}

fn matches(wanted: &str, mount: &str) -> bool {
    let (wanted, mount): (Vec<_>, Vec<_>) = (wanted.split(' ').collect(), mount.split(' ').collect());
    wanted[0] == mount[0] && (wanted[1] == "*" || wanted[1] == mount[1]) && wanted[2] == mount[2]
}
