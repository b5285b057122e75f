//! No way out: neither to the host's loopback nor to its unix sockets. The same client reaches both outside.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::Command;

use crate::fixture::Backend;
use crate::inside::{outcome, output};

/// Perl is part of every Debian and does what shells differ in.
fn tcp_client(port: u16) -> String {
    format!(
        "perl -MIO::Socket::INET -e 'exit(IO::Socket::INET->new(PeerAddr=>\"127.0.0.1:{port}\",Timeout=>3) ? 0 : 7)'"
    )
}

fn abstract_client(name: &str) -> String {
    format!(
        "perl -MSocket -e 'socket(S,AF_UNIX,SOCK_STREAM,0) or exit 3; exit(connect(S,pack(\"S a*\",AF_UNIX,\"\\0{name}\")) ? 0 : 7)'"
    )
}

fn outside(command: &str) -> Option<i32> {
    Command::new("sh").args(["-c", command]).status().unwrap().code()
}

#[tokio::test]
async fn a_listener_on_the_hosts_loopback_is_out_of_reach() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = tcp_client(listener.local_addr().unwrap().port());
    assert_eq!(outside(&client), Some(0));
    let backend = Backend::new();
    let sandbox = backend.sandbox().await;
    assert_eq!(outcome(sandbox.as_ref(), &client).await.0, Some(7));
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn an_abstract_socket_of_the_host_is_out_of_reach() {
    let name = format!("backspace-test-{}", std::process::id());
    let _listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let client = abstract_client(&name);
    assert_eq!(outside(&client), Some(0));
    let backend = Backend::new();
    let sandbox = backend.sandbox().await;
    assert_eq!(outcome(sandbox.as_ref(), &client).await.0, Some(7));
    sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn the_loopback_inside_works_and_is_the_only_interface() {
    let backend = Backend::new();
    let sandbox = backend.sandbox().await;
    let server = "perl -MIO::Socket::INET -e '
        my $l = IO::Socket::INET->new(Listen=>1, LocalAddr=>\"127.0.0.1:0\") or exit 3;
        my $c = IO::Socket::INET->new(PeerAddr=>\"127.0.0.1:\".$l->sockport, Timeout=>3) or exit 4;
        print \"reached\\n\"'";
    assert_eq!(output(sandbox.as_ref(), server).await, "reached\n");
    let interfaces = output(sandbox.as_ref(), "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '").await;
    let real: Vec<_> = interfaces.lines().filter(|name| !TUNNELS.contains(name)).collect();
    assert_eq!(real, ["lo"]);
    sandbox.destroy().await.unwrap();

    // The kernel makes these in every network namespace when their modules are loaded; they are down.
    const TUNNELS: [&str; 7] = ["sit0", "tunl0", "gre0", "gretap0", "erspan0", "ip6tnl0", "ip_vti0"];
}

#[tokio::test]
async fn names_are_not_resolved() {
    let backend = Backend::new();
    let sandbox = backend.sandbox().await;
    assert_ne!(outcome(sandbox.as_ref(), "getent hosts example.org").await.0, Some(0));
    output(sandbox.as_ref(), "getent hosts localhost").await;
    sandbox.destroy().await.unwrap();
}
