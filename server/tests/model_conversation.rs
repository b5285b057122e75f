//! What goes back to a provider over many turns: the same bytes, the same thoughts, a result for every call.

#![cfg(test)]

mod support {
    pub(crate) mod asking;
    pub(crate) mod fake_model;
}

use backspace_server::model::transcript::Transcript;
use backspace_server::model::{Item, StopReason, ToolResult};
use serde_json::{Value, json};
use support::asking::{PROTOCOLS, ask, model, models, results, user};
use support::fake_model::{FakeModel, Reply};

fn reply(protocol: &str, turn: usize) -> Reply {
    let (first, second) = (format!("id_{turn}_a"), format!("id_{turn}_b"));
    let calls = [
        (
            first.as_str(),
            "bash",
            json!({ "command": format!("echo {turn} ä \"q\"") }),
        ),
        (second.as_str(), "bash", json!({})),
    ];
    let text = format!("turn {turn}");
    match protocol {
        "anthropic" => Reply::anthropic(
            &[
                json!({ "type": "thinking", "thinking": format!("thought {turn}"), "signature": format!("sig+/{turn}=") }),
                json!({ "type": "redacted_thinking", "data": format!("opaque {turn}") }),
                json!({ "type": "text", "text": text }),
                json!({ "type": "tool_use", "id": first, "name": "bash", "input": calls[0].2 }),
                json!({ "type": "tool_use", "id": second, "name": "bash", "input": {} }),
            ],
            "tool_use",
        ),
        "chat" => Reply::chat(&text, &calls),
        _ => Reply::responses_calls(&text, &calls),
    }
}

/// Returns a request up to the end of its messages, without the markers that move.
fn prefix(body: &str) -> String {
    let body = body.replace(",\"cache_control\":{\"type\":\"ephemeral\"}", "");
    let end = body
        .rfind("],\"max_tokens\"")
        .or_else(|| body.rfind("],\"stream\""))
        .unwrap();
    body[..end].to_owned()
}

#[tokio::test]
async fn fifty_turns_each_begin_with_the_bytes_of_the_one_before() {
    for protocol in PROTOCOLS {
        let server = FakeModel::with((0..50).map(|turn| reply(protocol, turn))).await;
        let model = model(protocol, &server.url(), "");
        let mut transcript = Transcript::new(vec![user("fix it"), user("and be quick")]);
        for turn in 0..50 {
            let (answer, _) = ask(&model, &mut transcript).await.unwrap();
            assert_eq!((answer.stop, answer.tool_calls.len()), (StopReason::ToolUse, 2));
            let result = results(&answer, &format!("output {turn}\n"));
            transcript.push(Item::Assistant(answer));
            transcript.push(result);
            if turn % 7 == 3 {
                transcript.push(user("a message from a person"));
            }
        }
        assert_eq!(server.violations(), Vec::<String>::new(), "{protocol}");
        let prefixes: Vec<String> = server.requests().iter().map(|request| prefix(&request.body)).collect();
        assert_eq!(prefixes.len(), 50);
        for (turn, pair) in prefixes.windows(2).enumerate() {
            assert!(
                pair[1].starts_with(&pair[0]) && pair[1].len() > pair[0].len(),
                "{protocol}, turn {turn}"
            );
        }
        assert_eq!(server.connections(), 1, "{protocol}: one connection serves all turns");
    }
}

#[tokio::test]
async fn a_restored_conversation_is_sent_with_the_same_bytes() {
    for protocol in PROTOCOLS {
        let server = FakeModel::with((0..4).map(|turn| reply(protocol, turn))).await;
        let model = model(protocol, &server.url(), "");
        let mut transcript = Transcript::new(vec![user("fix it")]);
        for turn in 0..3 {
            let (answer, _) = ask(&model, &mut transcript).await.unwrap();
            let result = results(&answer, &format!("output {turn}"));
            transcript.push(Item::Assistant(answer));
            transcript.push(result);
        }
        let stored = serde_json::to_string(transcript.items()).unwrap();
        let mut restored = Transcript::new(serde_json::from_str(&stored).unwrap());
        ask(&model, &mut restored).await.unwrap();
        let requests = server.requests();
        assert!(
            prefix(&requests[3].body).starts_with(&prefix(&requests[2].body)),
            "{protocol}"
        );
        assert_eq!(server.violations(), Vec::<String>::new(), "{protocol}");
    }
}

#[tokio::test]
async fn thinking_and_sealed_reasoning_go_back_unchanged_before_their_calls() {
    for (protocol, pointer, expected) in [
        (
            "anthropic",
            "/messages/1/content",
            json!([
                { "type": "thinking", "thinking": "thought 0", "signature": "sig+/0=" },
                { "type": "redacted_thinking", "data": "opaque 0" },
                { "type": "text", "text": "turn 0" },
                { "type": "tool_use", "id": "id_0_a", "name": "bash", "input": { "command": "echo 0 ä \"q\"" } },
                { "type": "tool_use", "id": "id_0_b", "name": "bash", "input": {} },
            ]),
        ),
        (
            "responses",
            "/input/1",
            json!({ "type": "reasoning", "id": "rs_turn 0", "summary": [], "encrypted_content": "sealed turn 0" }),
        ),
    ] {
        let server = FakeModel::with((0..2).map(|turn| reply(protocol, turn))).await;
        let model = model(protocol, &server.url(), "");
        let mut transcript = Transcript::new(vec![user("fix it")]);
        let (answer, _) = ask(&model, &mut transcript).await.unwrap();
        let result = results(&answer, "ok");
        transcript.push(Item::Assistant(answer));
        transcript.push(result);
        ask(&model, &mut transcript).await.unwrap();
        assert_eq!(server.violations(), Vec::<String>::new());
        let second: Value = server.requests()[1].json();
        assert_eq!(second.pointer(pointer), Some(&expected), "{protocol}");
    }
}

#[tokio::test]
async fn another_provider_can_take_over_in_the_middle() {
    for (first, second) in [
        ("chat", "anthropic"),
        ("anthropic", "responses"),
        ("responses", "chat"),
        ("anthropic", "anthropic"),
    ] {
        let server = FakeModel::start().await;
        let text = [("one", first), ("two", second)].map(|(name, protocol)| {
            format!(
                "[provider.{name}]\nprotocol = '{protocol}'\nbase_url = '{}'\n",
                server.url()
            )
        });
        let models = models(&text.concat());
        let [one, two] = ["one/m", "two/m"].map(|name| models.resolve(Some(name)).unwrap());
        // The second answer's ids are those of the first again where the protocol allows it.
        let repeated = || Reply::chat("look", &[("0", "bash", json!({ "command": "ls" }))]);
        for turn in [98, 99] {
            server.push(if first == "chat" {
                repeated()
            } else {
                reply(first, turn)
            });
        }
        let mut transcript = Transcript::new(vec![user("fix it")]);
        for _ in 0..2 {
            let (answer, _) = ask(&one, &mut transcript).await.unwrap();
            let result = results(&answer, "ok");
            transcript.push(Item::Assistant(answer));
            transcript.push(result);
        }
        server.push(reply(second, 7));
        let (answer, _) = ask(&two, &mut transcript).await.unwrap();
        assert_eq!(answer.model, "two/m");
        let result = results(&answer, "ok");
        transcript.push(Item::Assistant(answer));
        transcript.push(result);
        server.push(reply(second, 8));
        ask(&two, &mut transcript).await.unwrap();
        assert_eq!(server.violations(), Vec::<String>::new(), "{first} then {second}");
        let last = server.requests().pop().unwrap().body;
        assert!(
            !last.contains("sig+/99=") && !last.contains("sealed turn 99"),
            "foreign thoughts are not sent: {last}"
        );
    }
}

#[tokio::test]
async fn a_broken_conversation_is_mended_before_it_is_sent() {
    for protocol in PROTOCOLS {
        let server = FakeModel::with((0..2).map(|turn| reply(protocol, turn))).await;
        let model = model(protocol, &server.url(), "");
        let mut transcript = Transcript::new(vec![user(" ")]);
        let (answer, _) = ask(&model, &mut transcript).await.unwrap();
        let only_second = Item::ToolResults {
            results: vec![
                ToolResult {
                    call_id: "id_0_b".into(),
                    content: String::new(),
                    is_error: true,
                },
                ToolResult {
                    call_id: "stray".into(),
                    content: "nobody asked".into(),
                    is_error: false,
                },
            ],
        };
        transcript.push(Item::Assistant(answer));
        transcript.push(only_second);
        ask(&model, &mut transcript).await.unwrap();
        assert_eq!(server.violations(), Vec::<String>::new(), "{protocol}");
        let body = server.requests().pop().unwrap().body;
        assert!(
            body.contains("The call was interrupted") && body.contains("nobody asked"),
            "{body}"
        );
    }
}

#[tokio::test]
async fn the_fake_provider_refuses_what_the_real_one_refuses() {
    let server = FakeModel::start().await;
    let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let call = json!({ "type": "function_call", "call_id": "a", "name": "f", "arguments": "{}" });
    for (path, body, violation) in [
        (
            "/v1/messages",
            json!({ "max_tokens": 1, "messages": [{ "role": "assistant", "content": [{ "type": "text", "text": "x" }] }] }),
            "roles must alternate",
        ),
        ("/v1/messages", json!({ "messages": [] }), "max_tokens: field required"),
        (
            "/v1/messages",
            json!({ "max_tokens": 1, "messages": [{ "role": "user", "content": [{ "type": "text", "text": " " }] }] }),
            "non-whitespace",
        ),
        (
            "/v1/messages",
            json!({ "max_tokens": 1, "messages": [{ "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "a" }] }] }),
            "the other way round",
        ),
        (
            "/chat/completions",
            json!({ "messages": [{ "role": "user", "content": "a" }, { "role": "tool", "tool_call_id": "a", "content": "" }] }),
            "has no preceding tool_calls",
        ),
        (
            "/chat/completions",
            json!({ "messages": [{ "role": "user", "content": "a" }, { "role": "user", "content": "a" }] }),
            "must alternate",
        ),
        (
            "/responses",
            json!({ "store": false, "input": [call] }),
            "No tool output found",
        ),
        (
            "/responses",
            json!({ "store": false, "input": [{ "type": "function_call_output", "call_id": "a", "output": "" }] }),
            "No tool call found",
        ),
        ("/other", json!({}), "no endpoint"),
    ] {
        let mut body = body;
        body["model"] = json!("m");
        body["stream"] = json!(true);
        let request = client
            .post(format!("{}{path}", server.url()))
            .header("anthropic-version", "x")
            .json(&body);
        assert_eq!(request.send().await.unwrap().status(), 400);
        let last = server.violations().pop().unwrap();
        assert!(last.contains(violation), "{path}: {last}");
    }
}
