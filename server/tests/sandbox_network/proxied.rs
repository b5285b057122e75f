//! What was allowed is reached through the proxy, by ordinary tools; what was not is refused and told.

use std::net::IpAddr;
use std::sync::Arc;

use backspace_server::sandbox::{Denial, Sandbox};
use backspace_server::task::host::rules::HostRules;

use crate::fixture::Backend;
use crate::inside::{outcome, output};
use crate::target::{BIG_BYTES, Target, outside};

/// NO_PROXY has 127.0.0.1, so that commands reach each other; this is the target, and loopback as well.
const ALLOWED: &str = "127.0.0.2";
const REFUSED: &str = "127.0.0.3";

struct Open {
    sandbox: Arc<dyn Sandbox>,
    target: Target,
    _backend: Backend,
}

impl Open {
    /// A sandbox that may reach the target under one of its addresses.
    async fn new() -> Self {
        let backend = Backend::reaching("127.0.0.0/8");
        let sandbox = backend.sandbox().await;
        let target = Target::start().await;
        let host = format!("{ALLOWED}:{}", target.port);
        sandbox.allow_hosts(HostRules::parse(&[host]).unwrap()).await.unwrap();
        Self {
            sandbox,
            target,
            _backend: backend,
        }
    }

    fn fill(&self, command: &str, host: &str) -> String {
        self.target.fill(command, host.parse::<IpAddr>().unwrap())
    }

    /// Runs commands that must print what the target says to each visitor.
    async fn assert_reached(&self, commands: &[&str]) {
        for command in commands {
            let before = self.target.hits();
            let text = output(self.sandbox.as_ref(), &self.fill(command, ALLOWED)).await;
            assert!(text.ends_with("reached\n"), "{command}: {text}");
            assert_eq!(self.target.hits(), before + 1, "{command}");
            // And the same command does not reach what was not allowed.
            let (_, text) = outcome(self.sandbox.as_ref(), &self.fill(command, REFUSED)).await;
            assert!(!text.contains("reached"), "{command}: {text}");
            assert_eq!(self.target.hits(), before + 1, "{command}: {text}");
        }
        let subject = format!("{REFUSED}:{}", self.target.port);
        let message = format!("is not an allowed host; allowed: {ALLOWED}:{}", self.target.port);
        assert_eq!(self.sandbox.take_denials(), [Denial { subject, message }]);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs curl and python3: sh tests/parts/network.sh"]
async fn ordinary_tools_reach_what_is_allowed_and_nothing_else() {
    let open = Open::new().await;
    open.assert_reached(&[
        "curl -sS --max-time 20 http://{host}:{port}/",
        "curl -sS --max-time 20 --proxytunnel http://{host}:{port}/",
        "python3 -c 'import urllib.request as r; print(r.urlopen(\"http://{host}:{port}/\", timeout=20).read().decode(), end=\"\")'",
        "python3 -c '
import http.client, os
connection = http.client.HTTPConnection(os.environ[\"HTTPS_PROXY\"].removeprefix(\"http://\"), timeout=20)
connection.set_tunnel(\"{host}\", {port})
connection.request(\"GET\", \"/\")
print(connection.getresponse().read().decode(), end=\"\")'",
        "bash -c 'exec 3<>/dev/tcp/127.0.0.1/${http_proxy##*:}
            printf \"CONNECT {host}:{port} HTTP/1.1\\r\\n\\r\\nGET / HTTP/1.0\\r\\n\\r\\n\" >&3; cat <&3'",
    ])
    .await;
    open.sandbox.destroy().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs wget and nc: sh tests/parts/network.sh"]
async fn further_tools_reach_what_is_allowed_and_nothing_else() {
    let open = Open::new().await;
    open.assert_reached(&[
        "wget -q -T 20 -t 1 -O - http://{host}:{port}/",
        "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 20 -X connect -x ${http_proxy#http://} {host} {port}",
    ])
    .await;
    open.sandbox.destroy().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs curl: sh tests/parts/network.sh"]
async fn a_refusal_is_in_words_that_the_command_shows() {
    let open = Open::new().await;
    let refused = open.fill("curl -sS --max-time 20 http://{host}:{port}/", REFUSED);
    let told = format!(
        "backspace: {REFUSED}:{port}: is not an allowed host; allowed: {ALLOWED}:{port}\n",
        port = open.target.port
    );
    assert_eq!(outcome(open.sandbox.as_ref(), &refused).await, (Some(0), told));
    let (code, text) = outcome(open.sandbox.as_ref(), &refused.replace("curl", "curl --proxytunnel")).await;
    assert_ne!(code, Some(0));
    assert!(text.contains("403"), "{text}");
    open.sandbox.destroy().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs curl: sh tests/parts/network.sh"]
async fn the_proxy_is_the_only_way() {
    let open = Open::new().await;
    for address in [ALLOWED, "127.0.0.1"] {
        let direct = open.fill("curl -sS --noproxy '*' --max-time 5 http://{host}:{port}/", address);
        assert_eq!(outside(&direct).await.0, Some(0));
        let before = open.target.hits();
        assert_ne!(outcome(open.sandbox.as_ref(), &direct).await.0, Some(0));
        assert_eq!(open.target.hits(), before);
    }
    open.sandbox.destroy().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_names_the_proxy_only_where_there_is_one() {
    let open = Open::new().await;
    let shown = "env | grep -i _proxy= | sort";
    let text = output(open.sandbox.as_ref(), shown).await;
    let names: Vec<_> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name)
        .collect();
    let mut expected = [
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "no_proxy",
    ];
    expected.sort_unstable();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, expected);
    open.sandbox.destroy().await.unwrap();

    let backend = Backend::new();
    let sandbox = backend.sandbox().await;
    sandbox.allow_hosts(HostRules::default()).await.unwrap();
    assert_eq!(output(sandbox.as_ref(), shown).await, "");
    // Nor does anything listen.
    assert_eq!(
        output(sandbox.as_ref(), "grep -c ' 0A ' /proc/net/tcp || true").await,
        "0\n"
    );
    sandbox.destroy().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs curl: sh tests/parts/network.sh"]
async fn much_crosses_in_both_directions_and_by_many_at_once() {
    let open = Open::new().await;
    let down = open.fill("curl -sS --max-time 60 http://{host}:{port}/big | wc -c", ALLOWED);
    assert_eq!(output(open.sandbox.as_ref(), &down).await, format!("{BIG_BYTES}\n"));
    let up = open.fill(
        "head -c 8388608 /dev/zero >/tmp/up && curl -sS --max-time 60 -T /tmp/up http://{host}:{port}/up",
        ALLOWED,
    );
    assert_eq!(output(open.sandbox.as_ref(), &up).await, format!("took {BIG_BYTES}\n"));
    // More at once than the tunnel has streams: the rest waits.
    let many = open.fill(
        "seq 100 | xargs -P 100 -I {} curl -sS --max-time 60 http://{host}:{port}/ | grep -c reached",
        ALLOWED,
    );
    assert_eq!(output(open.sandbox.as_ref(), &many).await, "100\n");
    open.sandbox.destroy().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs curl: sh tests/parts/network.sh"]
async fn a_destination_that_is_not_public_needs_its_range() {
    let backend = Backend::new();
    let sandbox = backend.sandbox().await;
    let target = Target::start().await;
    let host = format!("{ALLOWED}:{}", target.port);
    sandbox.allow_hosts(HostRules::parse(&[&host]).unwrap()).await.unwrap();
    let command = format!("curl -sS --max-time 20 http://{host}/");
    let told = format!("is an allowed host, but {ALLOWED} is not a public address");
    assert_eq!(
        outcome(sandbox.as_ref(), &command).await,
        (Some(0), format!("backspace: {host}: {told}\n"))
    );
    assert_eq!(target.hits(), 0);
    let denial = Denial {
        subject: host,
        message: told,
    };
    assert_eq!(sandbox.take_denials(), [denial]);
    sandbox.destroy().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs curl: sh tests/parts/network.sh"]
async fn a_flood_of_half_requests_harms_nobody_else() {
    let open = Open::new().await;
    let flood = "perl -MIO::Socket::INET -e '
        ($p) = $ENV{http_proxy} =~ /:(\\d+)$/;
        for (1..150) { $s = IO::Socket::INET->new(PeerAddr=>\"127.0.0.1:$p\") or next; print $s \"\\0\" x 1000; push @all, $s if $_ % 9; }
        print \"flooded\\n\"'";
    assert_eq!(output(open.sandbox.as_ref(), flood).await, "flooded\n");
    open.assert_reached(&["curl -sS --max-time 40 http://{host}:{port}/"])
        .await;
    open.sandbox.destroy().await.unwrap();
}
