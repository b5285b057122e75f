//! Over HTTP/1.1 and JSON.

use serde_json::Value;

use super::*;
use crate::api::origin::OriginConfig;

const JSON: &str = "content-type: application/json\r\n";

fn json(body: &str) -> Value {
    let start = body.find('{').expect("a JSON object");
    let end = body.rfind('}').expect("a JSON object");
    serde_json::from_str(&body[start..=end]).unwrap_or_else(|error| panic!("{error}: {body}"))
}

#[tokio::test]
async fn calls_answer_in_canonical_json_with_headers_that_bind_browsers() {
    let edge = Edge::start(ApiConfig::default()).await;
    let (head, body) = edge.http("GET /api/v1/server-info", "", "").await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert_eq!(json(&body)["maxLimits"]["maxDuration"], "3600s");
    for header in [
        "content-type: application/json",
        "x-content-type-options: nosniff",
        "content-security-policy: default-src 'none'",
        "cache-control: no-store",
        "x-request-id: ",
    ] {
        assert!(head.contains(header), "{head}");
    }
    assert!(!head.contains("access-control"), "{head}");
    let (head, body) = edge.http("GET /health", "", "").await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert_eq!(json(&body)["status"], "healthy");
}

#[tokio::test]
async fn a_failed_call_is_a_status_with_every_violation() {
    let edge = Edge::start(ApiConfig::default()).await;
    let (head, body) = edge
        .http("GET /api/v1/tasks?pageSize=-1&pageToken=x&states=0", "", "")
        .await;
    assert!(head.starts_with("http/1.1 400"), "{head}");
    let status = json(&body);
    assert_eq!(status["code"], 3);
    let violations = status["details"][1]["fieldViolations"].as_array().unwrap();
    let fields: Vec<_> = violations
        .iter()
        .map(|violation| violation["field"].as_str().unwrap())
        .collect();
    assert_eq!(fields, ["states[0]", "page_size", "page_token"]);
    let (head, body) = edge
        .http("POST /api/v1/tasks/nobody:message", JSON, "{\"requestId\":\"x\"}")
        .await;
    assert!(head.starts_with("http/1.1 400"), "{head}");
    assert_eq!(
        json(&body)["details"][1]["fieldViolations"].as_array().unwrap().len(),
        3,
        "{body}"
    );
}

#[tokio::test]
async fn what_is_no_call_is_refused_each_for_its_reason() {
    let edge = Edge::start(ApiConfig::default()).await;
    for (line, headers, body, code, reason) in [
        ("GET /nope", "", "", 404, "NO_ROUTE"),
        ("POST /api/v1/tasks/x:fly", "", "", 404, "NO_ROUTE"),
        ("PUT /api/v1/tasks", "", "", 405, "METHOD_NOT_ALLOWED"),
        ("POST /api/v1/tasks/x", "", "", 405, "METHOD_NOT_ALLOWED"),
        (
            "POST /api/v1/tasks",
            "content-type: text/plain\r\n",
            "{}",
            415,
            "INVALID_ARGUMENT",
        ),
        ("POST /api/v1/tasks", JSON, "{\"spek\":1}", 400, "INVALID_ARGUMENT"),
        ("POST /api/v1/code", JSON, "[]", 400, "INVALID_ARGUMENT"),
        ("GET /api/v1/tasks/x/events?after=x", "", "", 400, "INVALID_ARGUMENT"),
        (
            "GET /api/v1/tasks/x/artifacts/y?offset=-1",
            "",
            "",
            400,
            "INVALID_ARGUMENT",
        ),
        ("GET /api/v1/tasks/%ff", "", "", 400, "INVALID_ARGUMENT"),
    ] {
        let (head, body) = edge.http(line, headers, body).await;
        assert!(head.starts_with(&format!("http/1.1 {code}")), "{line}: {head}");
        assert_eq!(json(&body)["details"][0]["reason"], reason, "{line}: {body}");
    }
    let large = format!("{{\"requestId\":\"{}\"}}", "x".repeat(300_000));
    let (head, _) = edge.http("POST /api/v1/tasks", JSON, &large).await;
    assert!(head.starts_with("http/1.1 413"), "{head}");
}

#[tokio::test]
async fn a_caller_needs_its_token_and_health_does_not() {
    let edge = Edge::start_with_token(ApiConfig::default()).await;
    let (head, body) = edge.http("GET /api/v1/server-info", "", "").await;
    assert!(
        head.starts_with("http/1.1 401") && head.contains("www-authenticate: bearer"),
        "{head}"
    );
    assert_eq!(json(&body)["details"][0]["reason"], "UNAUTHENTICATED");
    let (head, _) = edge
        .http("GET /api/v1/server-info", "authorization: Bearer secret\r\n", "")
        .await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let (head, _) = edge.http("GET /health", "", "").await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
}

#[tokio::test]
async fn a_caller_that_is_too_fast_is_told_when_to_come_back() {
    let edge = Edge::start(ApiConfig {
        rate_limit: RateLimitConfig {
            starts_per_minute: 1,
            ..RateLimitConfig::default()
        },
        ..ApiConfig::default()
    })
    .await;
    let (head, _) = edge.http("POST /api/v1/code", JSON, "[]").await;
    assert!(head.starts_with("http/1.1 400"), "{head}");
    let (head, _) = edge.http("POST /api/v1/code", JSON, "[]").await;
    assert!(head.starts_with("http/1.1 429"), "{head}");
    assert!(
        head.contains("retry-after: 60") || head.contains("retry-after: 59"),
        "{head}"
    );
}

#[tokio::test]
async fn without_tokens_pages_of_other_sites_and_rebound_names_are_refused() {
    let edge = Edge::start(ApiConfig {
        origin: OriginConfig {
            allowed_origins: vec!["https://tools.test".into()],
            allowed_hosts: vec![],
        },
        ..ApiConfig::default()
    })
    .await;
    let line = "GET /api/v1/server-info";
    let own = format!("host: {0}\r\norigin: http://{0}\r\n", edge.address);
    for (headers, code) in [
        (own.as_str(), 200),
        ("host: evil.test\r\n", 403),
        ("origin: http://evil.test\r\n", 403),
        ("origin: https://tools.test\r\n", 200),
    ] {
        let (head, _) = edge.http(line, headers, "").await;
        assert!(head.starts_with(&format!("http/1.1 {code}")), "{headers}: {head}");
        let shares = head.contains("access-control-allow-origin: https://tools.test");
        assert_eq!(shares, headers.contains("tools.test"), "{head}");
    }
    let ask = "access-control-request-method: POST\r\n";
    for (origin, code) in [("https://tools.test", 204), ("http://evil.test", 403)] {
        let headers = format!("origin: {origin}\r\n{ask}");
        let (head, _) = edge.http("OPTIONS /api/v1/tasks", &headers, "").await;
        assert!(head.starts_with(&format!("http/1.1 {code}")), "{head}");
    }
}
