//! Everything that is inside, compared with lists that don't change: variables, mounts, descriptors, sockets.
//!
//! What a machine may lack is left out of the comparison; what nobody listed fails it.

use backspace_server::jobs::Jobs;
use backspace_server::sandbox::SandboxProvider as _;
use backspace_server::sandbox::local::LocalProvider;

use crate::fixture::{Backend, config};
use crate::inside::{output, spec};
use crate::listed::{compare_descriptors_and_sockets, compare_mounts, matches};

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

    compare_mounts(sandbox.as_ref(), &MOUNTS[..16], is_listed).await;

    // Each table has one line, its heading, when there is no socket.
    for table in ["tcp", "tcp6", "udp", "udp6", "raw", "raw6", "unix", "packet"] {
        let count = output(
            sandbox.as_ref(),
            &format!("test ! -e /proc/net/{table} || tail -n +2 /proc/net/{table} | wc -l"),
        )
        .await;
        assert!(matches!(count.trim(), "" | "0"), "{table}: {count}");
    }
    compare_descriptors_and_sockets(sandbox.as_ref()).await;
    // The control: a socket inside is seen by the same look.
    let own = "perl -MIO::Socket::UNIX -e 'my $s = IO::Socket::UNIX->new(Local => \"/run/own\", Listen => 1) or exit 3; system(\"find /run -type s; tail -n +2 /proc/net/unix | wc -l\")'";
    assert_eq!(output(sandbox.as_ref(), own).await, "/run/own\n1\n");
    sandbox.destroy().await.unwrap();
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
