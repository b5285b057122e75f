//! What providers do to a request: errors, silence, broken streams, and what comes of each.

#![cfg(test)]

mod support {
    pub(crate) mod asking;
    pub(crate) mod fake_model;
}

use std::time::{Duration, Instant};

use backspace_server::model::transcript::Transcript;
use backspace_server::model::{ModelError, Retry};
use support::asking::{PROTOCOLS, ask, ask_once, model, models, user};
use support::fake_model::{FakeModel, Reply};

/// Clocks short enough for a test.
fn clocks(settings: &str) -> String {
    format!("[provider.p.clocks]\n{settings}\n")
}

async fn failure(protocol: &str, reply: Reply, settings: &str) -> ModelError {
    let server = FakeModel::with([reply]).await;
    let error = ask_once(&model(protocol, &server.url(), settings)).await.unwrap_err();
    assert_eq!(server.violations(), Vec::<String>::new());
    error
}

#[tokio::test]
async fn a_request_bears_its_key_version_and_headers() {
    for (protocol, target, key, value) in [
        ("anthropic", "/v1/messages", "x-api-key", "sk-test"),
        ("chat", "/chat/completions", "authorization", "Bearer sk-test"),
        ("responses", "/responses", "authorization", "Bearer sk-test"),
    ] {
        let server = FakeModel::with([Reply::hello(protocol)]).await;
        let settings = "headers = { anthropic-beta = 'a,b', x-team = 'blue' }";
        assert_eq!(
            ask_once(&model(protocol, &server.url(), settings)).await.unwrap().text,
            "hello"
        );
        let request = server.requests().pop().unwrap();
        assert_eq!(request.target, target);
        assert_eq!(request.header(key), Some(value));
        assert_eq!(request.header("anthropic-version").is_some(), protocol == "anthropic");
        assert_eq!(
            (request.header("anthropic-beta"), request.header("x-team")),
            (Some("a,b"), Some("blue"))
        );
        assert!(!request.body.contains("sk-test"));
    }
    let server = FakeModel::with([Reply::hello("chat")]).await;
    let text = format!(
        "[provider.azure]\nprotocol = 'chat'\nbase_url = '{}/openai/deployments/{{model}}'\napi_key_env = 'KEY'\n\
         key_header = 'api-key'\napi_version = '2025-04-01-preview'\n",
        server.url()
    );
    ask_once(&models(&text).resolve(Some("azure/gpt")).unwrap())
        .await
        .unwrap();
    let request = server.requests().pop().unwrap();
    assert_eq!(
        request.target,
        "/openai/deployments/gpt/chat/completions?api-version=2025-04-01-preview"
    );
    assert_eq!(
        (request.header("api-key"), request.header("authorization")),
        (Some("sk-test"), None)
    );
}

#[tokio::test]
async fn recorded_error_answers_are_typed() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/llm-streams");
    for (name, protocol, expected) in [
        ("error-01-anthropic-404-model", "anthropic", "Rejected"),
        ("error-03-anthropic-401", "anthropic", "Authentication"),
        ("error-05-openai-404-model", "responses", "Rejected"),
        ("error-07-llamacpp-400-context-overflow", "chat", "ContextTooLong"),
        ("error-09-llamacpp-401", "chat", "Authentication"),
    ] {
        let body = std::fs::read(folder.join(format!("{name}.body.json"))).unwrap();
        let meta = std::fs::read_to_string(folder.join(format!("{name}.meta.json"))).unwrap();
        let meta: serde_json::Value = serde_json::from_str(&meta).unwrap();
        let status = meta["status"].as_u64().unwrap() as u16;
        let error = failure(protocol, Reply::raw(status, "application/json", body), "").await;
        assert!(format!("{error:?}").starts_with(expected), "{name}: {error:?}");
        assert_eq!(error.retry(), Retry::Never);
    }
}

#[tokio::test]
async fn the_wait_that_a_provider_asks_for_is_heard() {
    let wait = |error: ModelError| error.retry();
    let seconds = |number| Retry::After(Some(Duration::from_secs(number)));
    let busy = || {
        Reply::json(
            429,
            r#"{"type":"error","error":{"type":"rate_limit_error","message":"m"}}"#,
        )
    };
    assert_eq!(
        wait(failure("anthropic", busy().header("retry-after", "9"), "").await),
        seconds(9)
    );
    assert_eq!(wait(failure("chat", busy(), "").await), Retry::After(None));
    let overloaded = Reply::json(
        529,
        r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#,
    );
    assert_eq!(
        wait(failure("anthropic", overloaded.clone().header("retry-after-ms", "2000"), "").await),
        seconds(2)
    );
    assert_eq!(
        wait(failure("anthropic", overloaded.header("x-should-retry", "false"), "").await),
        Retry::Never
    );
}

#[tokio::test]
async fn the_type_of_a_success_decides_how_it_is_read() {
    for protocol in PROTOCOLS {
        let page = Reply::raw(200, "text/html; charset=utf-8", "<html>login</html>");
        let error = failure(protocol, page, "").await;
        assert!(matches!(error, ModelError::Protocol { .. }), "{error:?}");
        assert_eq!(error.retry(), Retry::After(None), "a proxy's page passes");

        let error = r#"{"error":{"type":"overloaded_error","code":"server_error","message":"m"}}"#;
        let error = failure(protocol, Reply::json(200, error), "").await;
        assert!(matches!(error, ModelError::Overloaded { .. }), "{error:?}");

        let error = failure(protocol, Reply::json(200, "{}"), "").await;
        assert!(matches!(error, ModelError::Protocol { .. }), "{error:?}");

        let server = FakeModel::with([
            Reply::hello(protocol).without_header("content-type"),
            Reply::hello(protocol).header("content-type", "text/plain"),
        ])
        .await;
        let model = model(protocol, &server.url(), "");
        for _ in 0..2 {
            assert_eq!(ask_once(&model).await.unwrap().text, "hello");
        }
    }
    let whole = r#"{"choices":[{"message":{"content":"whole"},"finish_reason":"stop"}]}"#;
    let server = FakeModel::with([Reply::json(200, whole)]).await;
    assert_eq!(ask_once(&model("chat", &server.url(), "")).await.unwrap().text, "whole");
}

#[tokio::test]
async fn a_redirect_is_refused_and_the_key_stays() {
    let elsewhere = FakeModel::start().await;
    let redirect = Reply::raw(307, "text/plain", "").header("location", format!("{}/v1/messages", elsewhere.url()));
    let error = failure("anthropic", redirect, "").await;
    assert!(matches!(error, ModelError::Rejected { .. }), "{error:?}");
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn each_clock_ends_its_own_silence() {
    let first_event = "event: ping\ndata: {\"type\":\"ping\"}\n\n";
    let text =
        "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"x\"}}\n\n";
    let tick = Duration::from_millis(20);
    let pings = |reply: Reply| reply.then_repeatedly(100, tick, first_event).then_hang();
    let comments = |reply: Reply| reply.then_repeatedly(100, tick, ": keep-alive\n\n").then_hang();
    for (clock, settings, reply) in [
        (
            "no response",
            "headers = 0.1",
            Reply::hello("anthropic").without_response(),
        ),
        (
            "no part of the answer for 0.1 s",
            "first_data = 0.1",
            Reply::stream("").then_hang(),
        ),
        (
            "no part of the answer for 0.1 s",
            "first_data = 0.1",
            pings(Reply::stream("")),
        ),
        (
            "no byte for 0.1 s",
            "any_byte = 0.1",
            Reply::stream(first_event).then_hang(),
        ),
        (
            "no part of the answer for 0.15 s",
            "data = 0.15",
            pings(Reply::stream(text)),
        ),
        (
            "no part of the answer for 0.15 s",
            "data = 0.15",
            comments(Reply::stream(text)),
        ),
    ] {
        let started = Instant::now();
        let error = failure("anthropic", reply, &clocks(settings)).await;
        assert!(
            matches!(&error, ModelError::Transport { message, .. } if message.contains(clock)),
            "{settings}: {error:?}"
        );
        assert!(started.elapsed() < Duration::from_secs(5));
        assert_eq!(error.retry(), Retry::After(None));
    }
}

#[tokio::test]
async fn an_answer_that_is_slow_but_alive_is_taken() {
    let whole = String::from_utf8(Reply::anthropic_text("slow").bytes()).unwrap();
    let events: Vec<&str> = whole.split_inclusive("\n\n").collect();
    let mut reply = Reply::stream("").delayed(Duration::from_millis(30));
    for event in events {
        reply = reply.then(Duration::from_millis(30), event);
    }
    let settings = clocks("headers = 2\nfirst_data = 2\nany_byte = 2\ndata = 2");
    let server = FakeModel::with([reply]).await;
    assert_eq!(
        ask_once(&model("anthropic", &server.url(), &settings))
            .await
            .unwrap()
            .text,
        "slow"
    );
}

#[tokio::test]
async fn a_stream_that_ends_or_breaks_early_gives_nothing() {
    for protocol in PROTOCOLS {
        let whole = Reply::hello(protocol).bytes();
        let half = whole.len() / 2;
        let ended = failure(protocol, Reply::stream(&whole[..half]), "").await;
        assert!(matches!(ended, ModelError::Truncated), "{protocol}: {ended:?}");
        let broken = failure(protocol, Reply::hello(protocol).cut_after(half), "").await;
        assert!(matches!(broken, ModelError::Transport { .. }), "{protocol}: {broken:?}");
        assert_eq!(
            (ended.retry(), broken.retry()),
            (Retry::After(None), Retry::After(None))
        );
    }
}

#[tokio::test]
async fn what_follows_a_whole_answer_is_not_waited_for_long() {
    for protocol in PROTOCOLS {
        let whole = Reply::hello(protocol).bytes();
        let server = FakeModel::with([Reply::stream(whole).then_hang()]).await;
        let started = Instant::now();
        assert_eq!(
            ask_once(&model(protocol, &server.url(), "")).await.unwrap().text,
            "hello"
        );
        assert!(
            started.elapsed() < Duration::from_secs(3),
            "{protocol}: {:?}",
            started.elapsed()
        );
    }
}

#[tokio::test]
async fn dropping_a_request_closes_its_connection() {
    let server = FakeModel::with([Reply::hello("anthropic").hanging_after(100)]).await;
    let model = model("anthropic", &server.url(), "");
    let mut transcript = Transcript::new(vec![user("hello")]);
    {
        let asking = ask(&model, &mut transcript);
        tokio::pin!(asking);
        tokio::select! {
            result = &mut asking => panic!("{result:?}"),
            () = server.request_came() => {}
        }
    }
    tokio::time::timeout(Duration::from_secs(5), server.client_left())
        .await
        .unwrap();
}

#[tokio::test]
async fn too_large_a_response_is_given_up() {
    let piece = format!("data: {}\n\n", "x".repeat(17 * 1024 * 1024));
    let error = failure("chat", Reply::stream(piece), "").await;
    assert!(
        matches!(&error, ModelError::Protocol { message } if message.contains("larger than")),
        "{error:?}"
    );
    let body = format!("{{\"x\":\"{}\"}}", "x".repeat(17 * 1024 * 1024));
    let error = failure("chat", Reply::json(200, body), "").await;
    assert!(
        matches!(&error, ModelError::Protocol { message } if message.contains("larger than")),
        "{error:?}"
    );
}

#[tokio::test]
async fn what_can_not_be_reached_is_said_with_its_cause() {
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let refused = ask_once(&model("chat", &format!("http://{free}"), ""))
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, ModelError::Transport { message, .. } if message.contains("refused")),
        "{refused:?}"
    );
    let server = FakeModel::start().await;
    let no_tls = server.url().replace("http:", "https:");
    let error = ask_once(&model("chat", &no_tls, "")).await.unwrap_err();
    assert!(
        matches!(error, ModelError::Transport { .. }),
        "a TLS provider is installed: {error:?}"
    );
}

/// Runs in a process of its own, started by the test below with a proxy in its environment.
#[tokio::test]
async fn child_behind_a_proxy() {
    if std::env::var_os("HTTP_PROXY").is_some_and(|proxy| proxy.to_string_lossy().starts_with("http://127.0.0.1")) {
        let answer = ask_once(&model("anthropic", "http://model.invalid", "")).await.unwrap();
        assert_eq!(answer.text, "through the proxy");
    }
}

#[tokio::test]
async fn a_proxy_of_the_environment_is_used() {
    let proxy = FakeModel::with([Reply::anthropic_text("through the proxy")]).await;
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
    child
        .args(["--exact", "child_behind_a_proxy"])
        .env("HTTP_PROXY", proxy.url())
        .env("http_proxy", proxy.url());
    child
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .stdout(std::process::Stdio::null());
    assert!(child.status().await.unwrap().success());
    assert_eq!(
        proxy.requests().pop().unwrap().target,
        "http://model.invalid/v1/messages"
    );
}
