//! Names are not resolved inside. Outside, the same tool asks a name server that the test made.

use crate::fixture::Backend;
use crate::inside::{outcome, output};
use crate::target::outside;

/// A name server that knows every name, in a network namespace where it is the only host, and one question to it.
const NAME_SERVER: &str = r#"
import socket, subprocess, sys, threading
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
def serve():
    while True:
        query, asker = server.recvfrom(512)
        question = query[12:query.index(b"\0", 12) + 5]
        known = question[-4:-2] == b"\0\1"
        answer = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\xc0\0\2\7" if known else b""
        counts = b"\0\1" + (b"\0\1" if known else b"\0\0") + b"\0\0\0\0"
        server.sendto(query[:2] + b"\x81\x80" + counts + question + answer, asker)
threading.Thread(target=serve, daemon=True).start()
sys.exit(subprocess.call(["getent", "hosts", "probe.test"]))
"#;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs python3 and ip: sh tests/parts/network.sh"]
async fn names_are_not_resolved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    std::fs::write(folder.path().join("server.py"), NAME_SERVER).unwrap();
    std::fs::write(folder.path().join("resolv.conf"), "nameserver 127.0.0.1\n").unwrap();
    let control = format!(
        "unshare -rnm sh -c 'ip link set lo up && mount --bind {path}/resolv.conf /etc/resolv.conf && python3 {path}/server.py'"
    );
    let (code, text) = outside(&control).await;
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(text.split_whitespace().collect::<Vec<_>>(), ["192.0.2.7", "probe.test"]);

    let backend = Backend::new();
    let sandbox = backend.sandbox().await;
    let (code, text) = outcome(sandbox.as_ref(), "getent hosts probe.test").await;
    assert_eq!((code, text.as_str()), (Some(2), ""));
    output(sandbox.as_ref(), "getent hosts localhost").await;
    sandbox.destroy().await.unwrap();
}
