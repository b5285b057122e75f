use serde_json::json;

use super::*;
use crate::model::{mangled, recorded};

fn finish(parser: ChatParser) -> Result<Answer, ModelError> {
    Ok(parser.into_answer("p/m".into(), ReasoningReturn::Sealed))
}

fn parse(chunks: &[Value], end: &str) -> Result<Answer, ModelError> {
    parse_with(chunks, end, ReasoningReturn::Sealed)
}

fn parse_with(chunks: &[Value], end: &str, reasoning_return: ReasoningReturn) -> Result<Answer, ModelError> {
    let mut text: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
    text.push_str(end);
    let (parser, _) = recorded::read(ChatParser::default(), [text.as_bytes()])?;
    Ok(parser.into_answer("p/m".into(), reasoning_return))
}

fn chunk(delta: Value, finish_reason: Value) -> Value {
    json!({ "choices": [{ "index": 0, "delta": delta, "finish_reason": finish_reason }] })
}

fn raw(answer: &Answer) -> Value {
    serde_json::from_str(answer.raw.as_ref().unwrap().json.get()).unwrap()
}

#[test]
fn recorded_streams_give_what_their_chunks_hold() {
    for name in recorded::names("chat-") {
        let expected = recorded::expected(&name);
        let result = recorded::read_every_way(&name, ChatParser::default, finish);
        if let Some(error) = expected.get("error").filter(|error| !error.is_null()) {
            let message = format!("{:?}", result.unwrap_err());
            assert!(
                message.contains(error["message"].as_str().unwrap()),
                "{name}: {message}"
            );
            continue;
        }
        let answer = result.unwrap();
        let was_cut = expected["finish_reason"] == "length";
        assert_eq!(answer.text, expected["text"].as_str().unwrap(), "{name}");
        let calls: Vec<(&str, &str, &str)> = expected["tool_calls"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|_| !was_cut)
            .map(|call| {
                let text = |field: &str| call[field].as_str().unwrap();
                let arguments = text("arguments");
                (
                    text("id"),
                    text("name"),
                    if arguments.is_empty() { "{}" } else { arguments },
                )
            })
            .collect();
        let parsed: Vec<(&str, &str, &str)> = answer
            .tool_calls
            .iter()
            .map(|call| (call.id.as_str(), call.name.as_str(), call.arguments.as_str()))
            .collect();
        assert_eq!(parsed, calls, "{name}");
        let stop = match (was_cut, calls.is_empty()) {
            (true, _) => StopReason::MaxTokens,
            (false, true) => StopReason::EndTurn,
            (false, false) => StopReason::ToolUse,
        };
        assert_eq!(answer.stop, stop, "{name}");
        let number = |pointer: &str| expected.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
        let cached = number("/usage/prompt_tokens_details/cached_tokens");
        let usage = TokenUsage {
            input_uncached: number("/usage/prompt_tokens") - cached,
            cache_read: cached,
            cache_write: 0,
            output: number("/usage/completion_tokens"),
            reasoning: number("/usage/completion_tokens_details/reasoning_tokens"),
        };
        assert_eq!(answer.usage, usage, "{name}");
        let (_, deltas) = recorded::read(ChatParser::default(), [recorded::bytes(&name).as_slice()]).unwrap();
        let reasoning = deltas.iter().filter_map(|delta| match delta {
            Delta::Reasoning(text) => Some(text.chars().count()),
            Delta::Text(_) => None,
        });
        assert_eq!(
            reasoning.sum::<usize>() as u64,
            expected["reasoning_chars"].as_u64().unwrap(),
            "{name}"
        );
    }
}

#[test]
fn an_answer_is_whole_only_with_a_reason_or_with_whole_calls_and_done() {
    let text = chunk(json!({ "content": "hi" }), Value::Null);
    let call = |arguments: &str| {
        chunk(
            json!({ "tool_calls": [{ "index": 0, "id": "a", "function": { "name": "f", "arguments": arguments } }] }),
            Value::Null,
        )
    };
    let done = "data: [DONE]\n\n";
    let is_truncated = |result: Result<Answer, ModelError>| matches!(result, Err(ModelError::Truncated));
    assert!(is_truncated(parse(std::slice::from_ref(&text), "")));
    assert!(is_truncated(parse(&[call("{}")], "")));
    assert!(is_truncated(parse(&[call("{\"a\":")], done)));
    assert!(is_truncated(parse(&[], done)));
    assert_eq!(
        parse(std::slice::from_ref(&text), done).unwrap().stop,
        StopReason::EndTurn
    );
    assert_eq!(parse(&[call("{}")], "data: [DONE]").unwrap().stop, StopReason::ToolUse);
    let reason = chunk(json!({}), json!("stop"));
    assert_eq!(
        parse(&[call("{}"), reason.clone()], "").unwrap().stop,
        StopReason::ToolUse,
        "calls are trusted over `stop`"
    );
    assert_eq!(parse(&[text, reason], done).unwrap().text, "hi");
}

#[test]
fn nothing_of_a_cut_answer_can_run() {
    let call = chunk(
        json!({ "content": "x", "tool_calls": [{ "index": 0, "id": "a", "function": { "name": "f", "arguments": "{}" } }] }),
        Value::Null,
    );
    for (reason, stop) in [
        ("length", StopReason::MaxTokens),
        ("content_filter", StopReason::Refusal),
    ] {
        let answer = parse(&[call.clone(), chunk(json!({}), json!(reason))], "").unwrap();
        assert_eq!((answer.stop, answer.tool_calls.len()), (stop, 0));
        assert_eq!(raw(&answer), json!({ "role": "assistant", "content": "x" }));
    }
}

#[test]
fn errors_inside_the_stream_count_wherever_they_stand() {
    let text = chunk(json!({ "content": "hi" }), json!("stop"));
    for (end, expected) in [
        (
            "data: {\"error\":{\"code\":502,\"message\":\"upstream\"},\"choices\":[{\"delta\":{\"content\":\"\"}}]}\n\n",
            "Overloaded",
        ),
        (
            "event: error\ndata: {\"error\":{\"message\":\"m\",\"type\":\"invalid_request_error\"}}\n\n",
            "Rejected",
        ),
        (
            "event: error\ndata: {\"message\":\"m\",\"code\":\"rate_limit_exceeded\"}\n\n",
            "RateLimited",
        ),
        (
            "data: {\"object\":\"error\",\"message\":\"maximum context length\",\"code\":400}\n\n",
            "ContextTooLong",
        ),
        ("data: <html>\n\n", "Protocol"),
        (
            "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"error\"}]}\n\n",
            "Overloaded",
        ),
    ] {
        let error = format!("{:?}", parse(std::slice::from_ref(&text), end).unwrap_err());
        assert!(error.starts_with(expected), "{end}: {error}");
    }
}

#[test]
fn chunks_without_choices_and_unknown_fields_are_no_fault() {
    let answer = parse(
        &[
            json!({ "choices": [], "prompt_filter_results": [{ "prompt_index": 0 }] }),
            json!({ "choices": [{ "index": 1, "delta": { "content": "another choice" } }] }),
            chunk(json!({ "role": "assistant", "content": null, "tool_calls": null, "refusal": null }), Value::Null),
            json!({ "brand_new": true }),
            chunk(json!({ "content": [{ "type": "thinking", "thinking": [{ "type": "text", "text": "hm" }] }, { "type": "text", "text": "a" }] }), Value::Null),
            chunk(json!({ "content": "b", "brand_new": 1 }), json!("stop")),
            json!({ "choices": [], "usage": { "prompt_tokens": 10, "completion_tokens": 2, "prompt_cache_hit_tokens": 4 } }),
        ],
        "data: [DONE]\n\n",
    )
    .unwrap();
    assert_eq!(
        (
            answer.text.as_str(),
            answer.usage.input_uncached,
            answer.usage.cache_read
        ),
        ("ab", 6, 4)
    );
}

#[test]
fn reasoning_goes_back_as_set() {
    let detail = |text: &str, signature: Value| json!({ "type": "reasoning.text", "index": 0, "text": text, "signature": signature });
    let sealed = json!({ "type": "reasoning.encrypted", "index": 1, "data": "xyz" });
    let chunks = [
        chunk(
            json!({ "reasoning": "let", "reasoning_details": [detail("let", Value::Null)] }),
            Value::Null,
        ),
        chunk(
            json!({ "reasoning": " me", "reasoning_details": [detail(" me", json!("sig")), sealed] }),
            Value::Null,
        ),
        chunk(json!({ "content": "ok" }), json!("stop")),
    ];
    let details = json!([detail("let me", json!("sig")), sealed]);
    let base = json!({ "role": "assistant", "content": "ok" });
    let with = |fields: Value| {
        let mut message = base.clone();
        message
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        message
    };
    for (setting, expected) in [
        (ReasoningReturn::Never, base.clone()),
        (ReasoningReturn::Sealed, with(json!({ "reasoning_details": details }))),
        (
            ReasoningReturn::Plain,
            with(json!({ "reasoning_details": details, "reasoning_content": "let me" })),
        ),
    ] {
        assert_eq!(raw(&parse_with(&chunks, "", setting).unwrap()), expected, "{setting:?}");
    }
}

#[test]
fn a_refusal_is_text_and_a_reason() {
    let answer = parse(&[chunk(json!({ "refusal": "I will not." }), json!("stop"))], "").unwrap();
    assert_eq!(
        (answer.text.as_str(), answer.stop),
        ("I will not.", StopReason::Refusal)
    );
}

#[test]
fn a_whole_completion_is_taken_in_place_of_a_stream() {
    let mut parser = ChatParser::default();
    let body = json!({ "choices": [{ "index": 0, "finish_reason": "tool_calls", "message": { "role": "assistant", "content": null,
        "tool_calls": [{ "id": "a", "type": "function", "function": { "name": "f", "arguments": "{}" } }] } }],
        "usage": { "prompt_tokens": 3, "completion_tokens": 1 } });
    parser.whole(&body.to_string(), &mut |_| {}).unwrap();
    let answer = finish(parser).unwrap();
    assert_eq!(
        (answer.tool_calls[0].id.as_str(), answer.usage.input_uncached),
        ("a", 3)
    );
    for not_whole in [
        "{}",
        "x",
        r#"{"choices":[{"message":{"content":"a"},"finish_reason":null}]}"#,
    ] {
        assert!(
            ChatParser::default().whole(not_whole, &mut |_| {}).is_err(),
            "{not_whole}"
        );
    }
}

#[test]
fn damaged_streams_are_read_the_same_however_they_are_cut() {
    mangled::check("chat-", ChatParser::default, finish);
}
