use serde_json::json;

use super::*;
use crate::model::{mangled, recorded};

fn finish(parser: MessageParser) -> Result<Answer, ModelError> {
    parser.into_answer("anthropic/m".into())
}

fn parse(events: &[Value]) -> Result<Answer, ModelError> {
    let text: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
    let (parser, _) = recorded::read(MessageParser::default(), [text.as_bytes()])?;
    finish(parser)
}

/// Blocks as the official client shows them, without fields that are null.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.clone(), without_nulls(value)))
            .collect(),
        Value::Array(values) => values.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

#[test]
fn recorded_streams_give_what_the_official_client_gives() {
    for name in recorded::names("anthropic-") {
        let expected = recorded::expected(&name);
        let answer = recorded::read_every_way(&name, MessageParser::default, finish).unwrap();
        let was_cut = expected["stop_reason"] == "max_tokens";
        let blocks = expected["content"].as_array().unwrap();
        let is_blank = |block: &Value| block["text"].as_str().is_some_and(|text| text.trim().is_empty());
        let goes_back = |block: &&Value| !(was_cut && block["type"] == "tool_use" || is_blank(block));
        let kept: Vec<&Value> = blocks.iter().filter(goes_back).collect();
        let raw: Value = serde_json::from_str(answer.raw.as_ref().unwrap().json.get()).unwrap();
        assert!(
            without_nulls(&raw) == without_nulls(&json!(kept)),
            "{name}: {raw:.2000}"
        );

        let text: String = blocks.iter().filter_map(|block| block["text"].as_str()).collect();
        assert_eq!(answer.text, text, "{name}");
        let calls: Vec<(&str, Value)> = kept
            .iter()
            .filter(|block| block["type"] == "tool_use")
            .map(|block| (block["id"].as_str().unwrap(), block["input"].clone()))
            .collect();
        let parsed: Vec<(&str, Value)> = answer
            .tool_calls
            .iter()
            .map(|call| (call.id.as_str(), serde_json::from_str(&call.arguments).unwrap()))
            .collect();
        assert_eq!(parsed, calls, "{name}");
        let stop = match expected["stop_reason"].as_str().unwrap() {
            "max_tokens" => StopReason::MaxTokens,
            "tool_use" => StopReason::ToolUse,
            _ => StopReason::EndTurn,
        };
        assert_eq!(answer.stop, stop, "{name}");
        let number = |pointer: &str| expected.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
        let usage = TokenUsage {
            input_uncached: number("/usage/input_tokens"),
            cache_read: number("/usage/cache_read_input_tokens"),
            cache_write: number("/usage/cache_creation_input_tokens"),
            output: number("/usage/output_tokens"),
            reasoning: number("/usage/output_tokens_details/thinking_tokens"),
        };
        assert_eq!(answer.usage, usage, "{name}");
    }
}

fn start(index: u64, block: Value) -> Value {
    json!({ "type": "content_block_start", "index": index, "content_block": block })
}

fn delta(index: u64, delta: Value) -> Value {
    json!({ "type": "content_block_delta", "index": index, "delta": delta })
}

fn stop(reason: &str) -> [Value; 2] {
    [
        json!({ "type": "message_delta", "delta": { "stop_reason": reason }, "usage": { "output_tokens": 3, "input_tokens": 0 } }),
        json!({ "type": "message_stop" }),
    ]
}

fn events(body: &[Value], reason: &str) -> Vec<Value> {
    let head = json!({ "type": "message_start", "message": { "usage": {
        "input_tokens": 9, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 4, "output_tokens": 1 } } });
    [&[head], body, &stop(reason)].concat()
}

#[test]
fn blocks_are_kept_by_index_and_unknown_ones_are_no_fault() {
    let answer = parse(&events(
        &[
            start(1, json!({ "type": "tool_use", "id": "b", "name": "bash" })),
            start(0, json!({ "type": "text", "text": "" })),
            delta(1, json!({ "type": "input_json_delta", "partial_json": "" })),
            delta(0, json!({ "type": "text_delta", "text": "hi" })),
            json!({ "type": "ping" }),
            json!({ "type": "brand_new", "x": 1 }),
            delta(
                1,
                json!({ "type": "input_json_delta", "partial_json": "{\"a\":1e999,\"b\":" }),
            ),
            delta(1, json!({ "type": "input_json_delta", "partial_json": "[]}" })),
            delta(0, json!({ "type": "brand_new_delta", "y": 1 })),
            start(2, json!({ "type": "brand_new_block", "z": { "deep": [1] } })),
        ],
        "tool_use",
    ))
    .unwrap();
    assert_eq!(
        answer.raw.unwrap().json.get(),
        concat!(
            r#"[{"text":"hi","type":"text"},"#,
            r#"{"id":"b","name":"bash","type":"tool_use","input":{"a":1e999,"b":[]}},"#,
            r#"{"type":"brand_new_block","z":{"deep":[1]}}]"#
        )
    );
    assert_eq!(
        answer.tool_calls,
        [ToolCall {
            id: "b".into(),
            name: "bash".into(),
            arguments: "{\"a\":1e999,\"b\":[]}".into()
        }]
    );
    let usage = TokenUsage {
        input_uncached: 9,
        cache_read: 5,
        cache_write: 4,
        output: 3,
        reasoning: 0,
    };
    assert_eq!(answer.usage, usage);
}

#[test]
fn nothing_of_a_cut_answer_can_run_or_break_the_next_request() {
    let body = [
        start(0, json!({ "type": "thinking", "thinking": "", "signature": "" })),
        delta(0, json!({ "type": "thinking_delta", "thinking": "hm" })),
        start(1, json!({ "type": "tool_use", "id": "b", "name": "bash", "input": {} })),
        delta(1, json!({ "type": "input_json_delta", "partial_json": "{}" })),
    ];
    for (reason, expected) in [
        ("max_tokens", StopReason::MaxTokens),
        ("model_context_window_exceeded", StopReason::MaxTokens),
        ("refusal", StopReason::Refusal),
    ] {
        let answer = parse(&events(&body, reason)).unwrap();
        assert_eq!((answer.stop, answer.tool_calls.len()), (expected, 0), "{reason}");
        assert_eq!(answer.raw.unwrap().json.get(), "[]", "{reason}");
    }
}

#[test]
fn stop_reasons_are_told_apart() {
    let text = [start(0, json!({ "type": "text", "text": "x" }))];
    for (reason, expected) in [
        ("end_turn", StopReason::EndTurn),
        ("stop_sequence", StopReason::EndTurn),
        ("tool_use", StopReason::EndTurn),
        ("pause_turn", StopReason::Pause),
        ("compaction", StopReason::Pause),
        ("brand_new", StopReason::EndTurn),
    ] {
        assert_eq!(parse(&events(&text, reason)).unwrap().stop, expected, "{reason}");
    }
}

#[test]
fn broken_arguments_reach_the_agent_as_written_and_the_provider_as_an_object() {
    let body = [
        start(0, json!({ "type": "tool_use", "id": "", "name": "bash" })),
        delta(0, json!({ "type": "input_json_delta", "partial_json": "{\"a\":" })),
        start(1, json!({ "type": "tool_use", "id": "same", "name": "bash" })),
        start(
            2,
            json!({ "type": "tool_use", "id": "same", "name": "bash", "input": { "x": 1 } }),
        ),
    ];
    let answer = parse(&events(&body, "tool_use")).unwrap();
    let arguments: Vec<&str> = answer.tool_calls.iter().map(|call| call.arguments.as_str()).collect();
    assert_eq!(arguments, ["{\"a\":", "{}", "{\"x\":1}"]);
    let raw: Value = serde_json::from_str(answer.raw.unwrap().json.get()).unwrap();
    assert_eq!(raw[0]["input"], json!({ "malformed_arguments": "{\"a\":" }));
    let ids: std::collections::BTreeSet<&str> = answer.tool_calls.iter().map(|call| call.id.as_str()).collect();
    assert_eq!(ids.len(), 3, "ids are made where they are missing or twice: {ids:?}");
    for (call, block) in answer.tool_calls.iter().zip(raw.as_array().unwrap()) {
        assert_eq!(block["id"], call.id.as_str());
    }
}

#[test]
fn an_error_event_ends_a_stream_that_http_called_a_success() {
    let error = json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } });
    let body = [start(0, json!({ "type": "text", "text": "x" })), error];
    let result = parse(&events(&body, "end_turn"));
    assert!(matches!(result, Err(ModelError::Overloaded { .. })), "{result:?}");
}

#[test]
fn text_of_spaces_does_not_go_back() {
    let body = [start(0, json!({ "type": "text", "text": "\n\n" }))];
    let answer = parse(&events(&body, "end_turn")).unwrap();
    assert_eq!((answer.text.as_str(), answer.raw.unwrap().json.get()), ("\n\n", "[]"));
}

#[test]
fn a_whole_message_is_taken_in_place_of_a_stream() {
    let mut parser = MessageParser::default();
    let body = json!({ "type": "message", "stop_reason": "tool_use", "usage": { "input_tokens": 1, "output_tokens": 2 },
        "content": [{ "type": "text", "text": "hi" }, { "type": "tool_use", "id": "t", "name": "bash", "input": { "a": 1 } }] });
    parser.whole(&body.to_string(), &mut |_| {}).unwrap();
    let answer = finish(parser).unwrap();
    assert_eq!(
        (answer.text.as_str(), answer.tool_calls[0].arguments.as_str()),
        ("hi", "{\"a\":1}")
    );
    for not_whole in ["{}", "[]", "x", r#"{"content":[],"stop_reason":null}"#] {
        assert!(
            MessageParser::default().whole(not_whole, &mut |_| {}).is_err(),
            "{not_whole}"
        );
    }
}

#[test]
fn damaged_streams_are_read_the_same_however_they_are_cut() {
    mangled::check("anthropic-", MessageParser::default, finish);
}
