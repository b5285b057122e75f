use serde_json::json;

use super::*;
use crate::model::{mangled, recorded};

fn finish(parser: ResponseParser) -> Result<Answer, ModelError> {
    Ok(parser.into_answer("p/m".into(), ReasoningReturn::Sealed))
}

fn parse(events: &[Value]) -> Result<Answer, ModelError> {
    let text: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
    let (parser, _) = recorded::read(ResponseParser::default(), [text.as_bytes()])?;
    finish(parser)
}

fn done(item: Value) -> Value {
    json!({ "type": "response.output_item.done", "item": item })
}

fn completed() -> Value {
    json!({ "type": "response.completed", "response": { "status": "completed", "output": [], "usage": null } })
}

fn raw(answer: &Answer) -> Value {
    serde_json::from_str(answer.raw.as_ref().unwrap().json.get()).unwrap()
}

/// Items as the expectations show them: without nulls and roles.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, value)| !value.is_null() && *name != "role")
            .map(|(name, value)| (name.clone(), without_nulls(value)))
            .collect(),
        Value::Array(values) => values.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

#[test]
fn recorded_streams_give_what_the_official_client_gives() {
    for name in recorded::names("responses-") {
        let expected = recorded::expected(&name);
        let answer = recorded::read_every_way(&name, ResponseParser::default, finish).unwrap();
        let was_cut = expected["status"] == "incomplete";
        let output = expected["output"].as_array().unwrap();
        let kept: Vec<&Value> = output
            .iter()
            .filter(|item| match item["type"].as_str().unwrap() {
                "reasoning" => item["encrypted_content"].is_string(),
                "message" => true,
                _ => !was_cut,
            })
            .collect();
        let sent_back = without_nulls(&raw(&answer));
        assert!(
            recorded::fits(&without_nulls(&json!(kept)), &sent_back),
            "{name}: {sent_back:.2000}"
        );
        let calls: Vec<(&str, &str, &str)> = kept
            .iter()
            .filter(|item| item["type"] != "reasoning" && item["type"] != "message")
            .map(|item| {
                let text = |field: &str| item[field].as_str().unwrap_or_default();
                let is_custom = item["type"] == "custom_tool_call";
                (
                    text("call_id"),
                    text("name"),
                    text(if is_custom { "input" } else { "arguments" }),
                )
            })
            .collect();
        let parsed: Vec<(&str, &str, &str)> = answer
            .tool_calls
            .iter()
            .map(|call| (call.id.as_str(), call.name.as_str(), call.arguments.as_str()))
            .collect();
        assert_eq!(parsed, calls, "{name}");
        let text: String = output
            .iter()
            .filter(|item| item["type"] == "message")
            .map(|item| item["content"][0]["text"].as_str().unwrap())
            .collect();
        assert_eq!(answer.text, text, "{name}");
        let stop = match (was_cut, calls.is_empty()) {
            (true, _) => StopReason::MaxTokens,
            (false, true) => StopReason::EndTurn,
            (false, false) => StopReason::ToolUse,
        };
        assert_eq!(answer.stop, stop, "{name}");
        let number = |pointer: &str| expected.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
        let usage = TokenUsage {
            input_uncached: number("/usage/input_tokens") - number("/usage/input_tokens_details/cached_tokens"),
            cache_read: number("/usage/input_tokens_details/cached_tokens"),
            cache_write: 0,
            output: number("/usage/output_tokens"),
            reasoning: number("/usage/output_tokens_details/reasoning_tokens"),
        };
        assert_eq!(answer.usage, usage, "{name}");
    }
}

#[test]
fn the_bytes_of_an_item_go_back_unchanged() {
    let item = r#"{"type":"reasoning", "id":"rs_1","encrypted_content":"a+/=", "summary":[],"n":1.50}"#;
    let text = format!(
        "data: {{\"type\":\"response.output_item.done\",\"item\":{item}}}\n\ndata: {}\n\n",
        completed()
    );
    let (parser, _) = recorded::read(ResponseParser::default(), [text.as_bytes()]).unwrap();
    assert_eq!(finish(parser).unwrap().raw.unwrap().json.get(), format!("[{item}]"));
}

#[test]
fn the_item_at_its_end_counts_not_what_came_before() {
    let answer = parse(&[
        json!({ "type": "response.created", "response": {} }),
        json!({ "type": "response.output_item.added", "item": { "type": "function_call", "id": "fc_old", "call_id": "x", "name": "" } }),
        json!({ "type": "response.function_call_arguments.delta", "item_id": "fc_new", "delta": "{\"lost\":" }),
        json!({ "type": "response.brand_new", "x": 1 }),
        done(json!({ "type": "function_call", "id": "fc_new", "call_id": "a", "name": "f", "arguments": "", "status": "completed" })),
        done(json!({ "type": "function_call", "id": "fc_2", "call_id": "a", "name": "g", "arguments": "{}" })),
        done(json!({ "type": "brand_new_item", "z": 1 })),
        completed(),
    ])
    .unwrap();
    let calls: Vec<(&str, &str)> = answer
        .tool_calls
        .iter()
        .map(|call| (call.name.as_str(), call.arguments.as_str()))
        .collect();
    assert_eq!(calls, [("f", "{}"), ("g", "{}")]);
    assert_eq!(answer.tool_calls[0].id, "a");
    assert_ne!(answer.tool_calls[1].id, "a", "ids are unique in an answer");
    assert_eq!(raw(&answer)[1]["call_id"], answer.tool_calls[1].id.as_str());
    assert_eq!(raw(&answer)[2], json!({ "type": "brand_new_item", "z": 1 }));
}

#[test]
fn nothing_of_a_cut_answer_can_run() {
    let call = |status: &str| {
        done(json!({ "type": "function_call", "call_id": "a", "name": "f", "arguments": "{}", "status": status }))
    };
    let incomplete = |reason: &str| json!({ "type": "response.incomplete", "response": { "status": "incomplete", "incomplete_details": { "reason": reason } } });
    for (events, stop) in [
        (
            [call("completed"), incomplete("max_output_tokens")],
            StopReason::MaxTokens,
        ),
        ([call("completed"), incomplete("content_filter")], StopReason::Refusal),
        ([call("incomplete"), completed()], StopReason::MaxTokens),
    ] {
        let answer = parse(&events).unwrap();
        assert_eq!(
            (answer.stop, answer.tool_calls.len(), raw(&answer)),
            (stop, 0, json!([]))
        );
    }
    assert!(matches!(parse(&[call("completed")]), Err(ModelError::Truncated)));
}

#[test]
fn the_final_response_has_the_last_word_unless_it_leaves_items_out() {
    let reasoning = |sealed: &str| json!({ "type": "reasoning", "encrypted_content": sealed });
    let end = |output: Value| json!({ "type": "response.completed", "response": { "status": "completed", "output": output } });
    let [text, call] = [
        json!({ "type": "message", "content": [{ "type": "output_text", "text": "x" }] }),
        json!({ "type": "function_call", "call_id": "a", "name": "f", "arguments": "{}" }),
    ];
    let at =
        |index: u64, item: &Value| json!({ "type": "response.output_item.done", "output_index": index, "item": item });
    let swapped = parse(&[at(1, &call), at(0, &text), end(json!([]))]).unwrap();
    assert_eq!(
        raw(&swapped),
        json!([text, call]),
        "items stand where they belong, not where they came"
    );
    for (output, expected) in [
        (json!([reasoning("final")]), "final"),
        (json!([]), "done"),
        (json!([reasoning("final"), reasoning("more")]), "done"),
        (json!([{ "type": "message", "content": [] }]), "done"),
    ] {
        let answer = parse(&[done(reasoning("done")), end(output)]).unwrap();
        assert_eq!(raw(&answer), json!([reasoning(expected)]));
    }
}

#[test]
fn a_cut_that_the_server_calls_complete_is_seen_by_its_length() {
    let response = |arguments: &str| {
        let call = json!({ "type": "function_call", "call_id": "a", "name": "f", "arguments": arguments, "status": "completed" });
        json!({ "status": "completed", "output": [call], "usage": { "output_tokens": 12 } }).to_string()
    };
    let read = |arguments: &str, limit: Option<u32>| {
        let mut parser = ResponseParser::new(limit);
        parser.whole(&response(arguments), &mut |_| {}).unwrap();
        let answer = finish(parser).unwrap();
        let sent_back = raw(&answer)[0]["arguments"].as_str().map(str::to_owned);
        (answer.stop, answer.tool_calls.len(), sent_back)
    };
    assert_eq!(read("{", Some(12)), (StopReason::MaxTokens, 0, None));
    assert_eq!(read("{}", Some(12)), (StopReason::ToolUse, 1, Some("{}".into())));
    let mended = Some(r#"{"malformed_arguments":"{"}"#.to_owned());
    assert_eq!(read("{", Some(13)), (StopReason::ToolUse, 1, mended.clone()));
    assert_eq!(read("{", None), (StopReason::ToolUse, 1, mended));
}

#[test]
fn failures_are_typed() {
    let failed =
        |error: Value| json!({ "type": "response.failed", "response": { "status": "failed", "error": error } });
    for (event, expected) in [
        (failed(json!({ "code": "server_error", "message": "m" })), "Overloaded"),
        (
            failed(json!({ "code": "rate_limit_exceeded", "message": "m" })),
            "RateLimited",
        ),
        (
            failed(json!({ "code": "context_length_exceeded", "message": "m" })),
            "ContextTooLong",
        ),
        (failed(Value::Null), "Overloaded"),
        (
            json!({ "type": "error", "code": "insufficient_quota", "message": "m" }),
            "SpendingCap",
        ),
        (
            json!({ "type": "error", "error": { "type": "invalid_request_error", "message": "m" } }),
            "Rejected",
        ),
        (
            json!({ "type": "response.completed", "response": { "status": "brand_new" } }),
            "Protocol",
        ),
    ] {
        let error = format!("{:?}", parse(std::slice::from_ref(&event)).unwrap_err());
        assert!(error.starts_with(expected), "{event}: {error}");
    }
}

#[test]
fn a_refusal_and_a_response_without_item_events_are_read() {
    let refusal =
        json!({ "type": "message", "role": "assistant", "content": [{ "type": "refusal", "refusal": "No." }] });
    let answer = parse(&[done(refusal), completed()]).unwrap();
    assert_eq!((answer.text.as_str(), answer.stop), ("No.", StopReason::Refusal));

    let message = json!({ "type": "message", "content": [{ "type": "output_text", "text": "hi" }] });
    let response = json!({ "status": "completed", "output": [message], "usage":
        { "input_tokens": 9, "output_tokens": 1, "input_tokens_details": { "cached_tokens": 4, "cache_write_tokens": 2 } } });
    let event = json!({ "type": "response.completed", "response": response });
    let answer = parse(&[event]).unwrap();
    assert_eq!(
        (
            answer.text.as_str(),
            answer.usage.input_uncached,
            answer.usage.cache_write
        ),
        ("hi", 3, 2)
    );

    let mut parser = ResponseParser::default();
    parser.whole(&response.to_string(), &mut |_| {}).unwrap();
    assert_eq!(finish(parser).unwrap().text, "hi");
    assert!(ResponseParser::default().whole("{}", &mut |_| {}).is_err());
}

#[test]
fn damaged_streams_are_read_the_same_however_they_are_cut() {
    mangled::check("responses-", ResponseParser::default, finish);
}
