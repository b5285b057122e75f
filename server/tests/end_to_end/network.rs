//! Hosts from the settings, the request and the repository, to what commands reach and what people are told.

use backspace_sdk::{Error, v1};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::event_log::Follower;
use crate::repository::Repository;
use crate::script::{bash, finish, good, turn, write};
use crate::server::Launch;
use crate::site::{Site, spec};

/// Starts a destination that answers every request with `reached`, and returns its port.
async fn destination() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    #[expect(clippy::disallowed_methods, reason = "a test has no Jobs")]
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            drop(stream.read(&mut [0; 4096]).await);
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\nreached\n";
            drop(stream.write_all(answer).await);
        }
    });
    port
}

/// A repository whose set-up and check need a host, and which asks for one that no server allows.
fn repository(site: &Site, port: u16, more: &str) -> Repository {
    let settings = format!(
        "[setup]\ncommands = [\"{}\"]\n[verify]\ncommands = [\"grep -q good out.txt\"]\n[sandbox]\n\
         network_hosts = [\"localhost:{port}\", \"elsewhere.example.com\"]\n{more}",
        visit(&format!("localhost:{port}"))
    );
    site.repository(
        "project",
        "true",
        &[(".backspace.toml", &settings), ("out.txt", "bad\n")],
    )
}

/// A command that must get there, also where the environment says that loopback needs no proxy.
fn visit(host: &str) -> String {
    format!("curl -sS --fail --noproxy '' --max-time 30 http://{host}/")
}

fn serve<'a>(site: &'a Site, port: u16) -> Launch<'a> {
    site.serve()
        .flag("--allowed-hosts", "@npm")
        .flag("--allowed-hosts", &format!("localhost:{port}"))
        .flag("--private-ranges", "127.0.0.0/8")
        .flag("--private-ranges", "::1/128")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_reaches_what_the_server_allows_and_refusals_are_in_the_pull_request() {
    let site = Site::new();
    let port = destination().await;
    let repository = repository(&site, port, "image = \"debian:12\"\n");
    let fetch = format!(
        "{} >fetched.txt; {} || true",
        visit(&format!("localhost:{port}")),
        visit("elsewhere.example.com")
    );
    site.script(
        "model",
        json!([
            { "expect": format!("Only these hosts can be reached, through the proxy that is set: localhost:{port}."), "call": [bash(&fetch)] },
            turn(&[write("out.txt", "good\n"), bash(&visit("further.example.com"))]),
            turn(&[finish("It is good now.")]),
        ]),
    );
    let server = serve(&site, port).start().await;
    let mut follower = Follower::run(&server.client(), spec(&repository, "model"));
    let result = follower.success().await;
    assert!(result.patch.contains("+reached"), "{}", result.patch);
    let told: Vec<_> = follower
        .visible()
        .into_iter()
        .filter(|line| line.starts_with("denied ") || line.starts_with("warning "))
        .collect();
    let allowed = format!("registry.npmjs.org, registry.yarnpkg.com, localhost:{port}");
    let expected = [
        format!(
            "warning elsewhere.example.com can't be reached: it was asked for, and is not allowed by this server, \
             which allows {allowed}"
        ),
        "warning the image debian:12 has no effect: sandboxes of this server are local and have the tools of its own \
         machine"
            .to_owned(),
        "denied egress elsewhere.example.com:80".to_owned(),
        "denied egress further.example.com:80".to_owned(),
    ];
    assert_eq!(told, expected);
    let [pull_request] = site.pull_requests().try_into().unwrap();
    let body = pull_request["body"].as_str().unwrap();
    assert!(body.contains("elsewhere.example.com:80"), "{body}");
    server.terminate().await;
}

/// Runs a Task that asks for other hosts than its set-up needs; returns why it failed, its log and the port.
async fn failed_set_up(asked_host: &str) -> (v1::Failure, Follower, u16) {
    let site = Site::new();
    let port = destination().await;
    let repository = repository(&site, port, "");
    site.script("fix", good());
    let server = serve(&site, port).start().await;
    let asked = v1::TaskSpec {
        environment: Some(v1::Environment {
            allowed_hosts: vec![asked_host.into()],
            ..v1::Environment::default()
        }),
        ..spec(&repository, "fix")
    };
    let mut follower = Follower::run(&server.client(), asked);
    let (failure, _) = follower.failure().await;
    server.terminate().await;
    (failure, follower, port)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_wins_over_the_file_and_none_means_none() {
    let (failure, follower, _) = failed_set_up("none").await;
    assert!(
        failure.message.starts_with("set-up command `curl"),
        "{}",
        failure.message
    );
    // Without a proxy nothing is carried out, so nothing is refused there.
    assert_eq!(follower.count("denied "), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_during_set_up_is_told_with_the_failure() {
    let (failure, follower, port) = failed_set_up("@npm").await;
    assert!(failure.message.contains("403"), "{}", failure.message);
    assert_eq!(follower.count(&format!("denied egress localhost:{port}")), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_more_than_the_server_allows_is_refused() {
    let site = Site::new();
    let repository = site.red_repository();
    let server = serve(&site, 1234).start().await;
    let asked = v1::TaskSpec {
        environment: Some(v1::Environment {
            allowed_hosts: vec!["registry.npmjs.org".into(), "*.npmjs.org".into(), "http://a.org".into()],
            ..v1::Environment::default()
        }),
        ..spec(&repository, "fix")
    };
    let error = match server.client().run_task(asked).next().await.unwrap() {
        Err(Error::Call(error)) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(error.code, tonic::Code::InvalidArgument);
    let fields: Vec<_> = error
        .violations
        .iter()
        .map(|violation| violation.field.as_str())
        .collect();
    assert_eq!(
        fields,
        ["spec.environment.allowed_hosts[1]", "spec.environment.allowed_hosts[2]"]
    );
    assert_eq!(
        error.violations[0].description,
        "*.npmjs.org is not allowed by this server; it allows registry.npmjs.org, registry.yarnpkg.com, localhost:1234"
    );
    server.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn set_up_commands_reach_hosts_of_their_own_and_the_agent_does_not() {
    let site = Site::new();
    let port = destination().await;
    let visit = visit(&format!("localhost:{port}"));
    for (name, cache) in [("kept", true), ("anew", false)] {
        let settings = format!(
            "[setup]\ncommands = [\"{visit} >got\"]\nnetwork_hosts = [\"localhost:{port}\"]\ncache = {cache}\n\
             [verify]\ncommands = [\"grep -q good out.txt\"]\n"
        );
        let files = [
            (".backspace.toml", settings.as_str()),
            (".gitignore", "got\n"),
            ("out.txt", "bad\n"),
        ];
        let repository = site.repository(name, "true", &files);
        let look = format!("cat got; {visit} || echo refused; echo good >out.txt");
        site.script(
            "look",
            json!([turn(&[bash(&look)]), { "expect": ["reached\n", "refused\n"], "call": [finish("Done.")] }]),
        );
        let server = serve(&site, port).start().await;
        Follower::run(&server.client(), spec(&repository, "look"))
            .success()
            .await;
        server.terminate().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_lowers_the_limits_of_its_tasks() {
    let site = Site::new();
    let settings = "[verify]\ncommands = [\"grep -q good out.txt\"]\n[limits]\nmax_turns = 2\n";
    let files = [(".backspace.toml", settings), ("out.txt", "bad\n")];
    let repository = site.repository("project", "true", &files);
    site.script(
        "model",
        json!([turn(&[write("out.txt", "half good\n")]), { "repeat": 5, "call": [bash("echo step {n}")] }]),
    );
    let server = site.serve().start().await;
    let mut follower = Follower::run(&server.client(), spec(&repository, "model"));
    let (failure, _) = follower.failure().await;
    assert_eq!(
        failure.message,
        "the limit max_turns was reached before the work was done"
    );
    assert_eq!(follower.count("call "), 2);
    server.terminate().await;
}
