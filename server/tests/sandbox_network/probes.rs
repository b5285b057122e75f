//! Ways out that must be shut, each tried outside before and after.

use crate::fixture::Backend;
use crate::inside::outcome;
use crate::target::{ADDRESSES, Target, outside};

/// Tries probes that visit the target: outside each gets there, inside none does.
async fn assert_shut(probes: &[&str]) {
    let target = Target::start().await;
    let backend = Backend::new();
    let sandbox = backend.sandbox().await;
    for address in ADDRESSES {
        for probe in probes {
            let probe = target.fill(probe, address);
            let before = target.hits();
            let told = outside(&probe).await;
            assert_eq!(target.hits(), before + 1, "outside: {probe}: {told:?}");
            let (code, text) = outcome(sandbox.as_ref(), &probe).await;
            assert_ne!(code, Some(0), "{probe}: {text}");
            // A visit from inside would have been counted before this one.
            outside(&probe).await;
            assert_eq!(target.hits(), before + 2, "inside: {probe}: {text}");
        }
    }
    sandbox.destroy().await.unwrap();
}

/// Tries commands that succeed outside and must fail inside.
async fn assert_refused(probes: &[(&str, &str)]) {
    let backend = Backend::new();
    let sandbox = backend.sandbox().await;
    for address in ADDRESSES {
        for (control, probe) in probes {
            let [control, probe] = [control, probe].map(|text| text.replace("{host}", &address.to_string()));
            let (code, text) = outside(&control).await;
            assert_eq!(code, Some(0), "outside: {control}: {text}");
            let (code, text) = outcome(sandbox.as_ref(), &probe).await;
            assert!(!matches!(code, Some(0 | 127)), "inside: {probe}: {code:?} {text}");
        }
    }
    sandbox.destroy().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs curl and python3: sh tests/parts/network.sh"]
async fn connections_go_nowhere() {
    assert_shut(&[
        "curl -sS --max-time 5 http://{host}:{port}/",
        "python3 -c 'import urllib.request as r; r.urlopen(\"http://{host}:{port}/\", timeout=5).read()'",
        "bash -c 'exec 3<>/dev/tcp/{host}/{port}; printf \"GET / HTTP/1.0\\r\\n\\r\\n\" >&3; grep -q reached <&3'",
        "perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(PeerAddr=>\"{host}:{port}\",Timeout=>3) or exit 7;
            print $s \"GET / HTTP/1.0\\r\\n\\r\\n\"; print <$s>'",
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs python3: sh tests/parts/network.sh"]
async fn datagrams_go_nowhere() {
    // A question for a name, as a resolver asks it.
    assert_shut(&["python3 -c '
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(5)
s.sendto(b\"\\x12\\x34\\x01\\x00\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x01a\\x03org\\x00\\x00\\x01\\x00\\x01\", (\"{host}\", {udp}))
s.recv(512)'"])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs python3: sh tests/parts/network.sh"]
async fn raw_sockets_are_refused() {
    let raw = "python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)'";
    let packets = "python3 -c 'import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0x300)'";
    let machine = "python3 -c 'import socket; socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)'";
    // Outside whoever has the right to: root of a namespace of its own.
    let with_right = |probe: &str| format!("unshare -rn {probe}");
    assert_refused(&[(&with_right(raw), raw), (&with_right(packets), packets)]).await;
    assert_refused(&[(machine, machine)]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs wget, nc and ssh: sh tests/parts/network.sh"]
async fn connections_of_further_tools_go_nowhere() {
    assert_shut(&[
        "wget -q -T 5 -t 1 -O - http://{host}:{port}/",
        "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 {host} {port} | grep -q reached",
        "ssh -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectTimeout=3 \
            -p {port} nobody@{host} true",
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs ping: sh tests/parts/network.sh"]
async fn echo_requests_are_refused() {
    let ping = "ping -c 1 -W 2 {host}";
    assert_refused(&[(ping, ping)]).await;
}
