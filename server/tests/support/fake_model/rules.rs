//! What the real providers refuse.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Request;

type Checked = Result<(), String>;

/// Checks a request against the rules of the protocol that its path belongs to.
pub(super) fn check(request: &Request) -> Checked {
    let path = request.target.split('?').next().unwrap();
    let rules: fn(&Request, &Value) -> Checked = match path {
        path if path.ends_with("/v1/messages") => messages,
        path if path.ends_with("/chat/completions") => chat,
        path if path.ends_with("/responses") => responses,
        other => return Err(format!("no endpoint {other}")),
    };
    ensure(
        request.header("content-type") == Some("application/json"),
        "content-type must be application/json",
    )?;
    let body: Value = serde_json::from_str(&request.body).map_err(|error| format!("the body is not JSON: {error}"))?;
    ensure(
        body["model"].as_str().is_some_and(|model| !model.is_empty()),
        "model: field required",
    )?;
    ensure(body["stream"] == true, "stream: must be true here")?;
    rules(request, &body)
}

fn ensure(holds: bool, violation: impl Into<String>) -> Checked {
    if holds { Ok(()) } else { Err(violation.into()) }
}

fn list<'a>(value: &'a Value, name: &str) -> Result<&'a Vec<Value>, String> {
    value[name].as_array().ok_or(format!("{name}: must be a list"))
}

fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str, String> {
    value[name].as_str().ok_or(format!("{name}: must be a string"))
}

fn of_type<'a>(blocks: &'a [Value], kind: &str) -> impl Iterator<Item = &'a Value> {
    blocks.iter().filter(move |block| block["type"] == kind)
}

fn messages(request: &Request, body: &Value) -> Checked {
    ensure(
        request.header("anthropic-version").is_some(),
        "anthropic-version: header is required",
    )?;
    ensure(
        body["max_tokens"].as_u64().is_some_and(|tokens| tokens > 0),
        "max_tokens: field required",
    )?;
    let marks = request.body.matches("\"cache_control\"").count();
    ensure(
        marks <= 4,
        format!("A maximum of 4 blocks with cache_control may be provided. Found {marks}."),
    )?;
    for tool in body["tools"].as_array().into_iter().flatten() {
        ensure(
            tool["input_schema"]["type"] == "object",
            "tools: input_schema.type must be object",
        )?;
    }
    let all = list(body, "messages")?;
    ensure(!all.is_empty(), "messages: at least one message is required")?;
    let mut ids = BTreeSet::new();
    let mut open: Vec<&str> = Vec::new();
    for (index, message) in all.iter().enumerate() {
        let role = if index % 2 == 0 { "user" } else { "assistant" };
        ensure(
            message["role"] == role,
            format!("messages.{index}: roles must alternate"),
        )?;
        let content = list(message, "content")?;
        ensure(
            !content.is_empty(),
            format!("messages.{index}: all messages must have non-empty content"),
        )?;
        for block in of_type(content, "text") {
            ensure(
                !text(block, "text")?.trim().is_empty(),
                format!("messages.{index}: text content blocks must contain non-whitespace text"),
            )?;
        }
        for block in of_type(content, "thinking") {
            ensure(
                !text(block, "signature")?.is_empty(),
                "thinking.signature: field required",
            )?;
            ensure(block.get("cache_control").is_none(), "thinking blocks can't be cached")?;
        }
        let results: Vec<&str> = content
            .iter()
            .take_while(|block| block["type"] == "tool_result")
            .map(|block| text(block, "tool_use_id"))
            .collect::<Result<_, _>>()?;
        ensure(
            of_type(content, "tool_result").count() == results.len(),
            "tool_result blocks must come first",
        )?;
        ensure(
            results == open,
            format!(
                "messages.{index}: `tool_use` ids {open:?} were found without `tool_result` blocks immediately after, or the other way round: {results:?}"
            ),
        )?;
        open.clear();
        for block in of_type(content, "tool_use") {
            let id = text(block, "id")?;
            let is_word = id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
            ensure(
                is_word && !id.is_empty(),
                format!("tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$': {id}"),
            )?;
            ensure(ids.insert(id), "messages: `tool_use` ids must be unique")?;
            ensure(
                block["input"].is_object(),
                "tool_use.input: Input should be a valid dictionary",
            )?;
            open.push(id);
        }
    }
    ensure(open.is_empty(), "messages: the last `tool_use` has no result")
}

fn chat(_: &Request, body: &Value) -> Checked {
    let all = list(body, "messages")?;
    let mut open: Vec<&str> = Vec::new();
    let mut before = "";
    for (index, message) in all.iter().enumerate() {
        let role = text(message, "role")?;
        ensure(
            role == "tool" || open.is_empty(),
            format!(
                "messages.{index}: An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. {open:?} had none"
            ),
        )?;
        match role {
            "system" | "developer" => ensure(index == 0, "the system message must be the first")?,
            "user" => {
                ensure(!text(message, "content")?.is_empty(), "user content must not be empty")?;
                ensure(before != "user", "Conversation roles must alternate user/assistant")?;
            }
            "assistant" => {
                let calls = message["tool_calls"].as_array().map_or(&[][..], Vec::as_slice);
                ensure(
                    message["content"].is_string() || !calls.is_empty(),
                    "assistant: content or tool_calls is required",
                )?;
                for call in calls {
                    ensure(call["type"] == "function", "tool_calls.type must be function")?;
                    let arguments = text(&call["function"], "arguments")?;
                    let parsed: Value =
                        serde_json::from_str(arguments).map_err(|error| format!("arguments: {error}"))?;
                    ensure(parsed.is_object(), "arguments must be an object")?;
                    open.push(text(call, "id")?);
                }
            }
            "tool" => {
                let id = text(message, "tool_call_id")?;
                let position = open.iter().position(|known| *known == id);
                open.remove(position.ok_or(format!(
                    "messages.{index}: tool message {id} has no preceding tool_calls"
                ))?);
                text(message, "content")?;
            }
            other => return Err(format!("messages.{index}: unknown role {other}")),
        }
        before = role;
    }
    ensure(
        before == "user" || before == "tool",
        "the last message must be a user's or a tool's",
    )?;
    ensure(open.is_empty(), "the last tool_calls have no results")
}

fn responses(_: &Request, body: &Value) -> Checked {
    ensure(body["store"] == false, "store: must be false here")?;
    let (mut called, mut answered) = (BTreeSet::new(), BTreeSet::new());
    let mut after_reasoning = false;
    for (index, item) in list(body, "input")?.iter().enumerate() {
        let kind = text(item, "type")?;
        ensure(
            !after_reasoning || matches!(kind, "reasoning" | "message" | "function_call"),
            format!("input.{index}: Item 'reasoning' was provided without its required following item"),
        )?;
        after_reasoning = kind == "reasoning";
        match kind {
            "message" => {
                let wanted = if item["role"] == "assistant" {
                    "output_text"
                } else {
                    "input_text"
                };
                for part in list(item, "content")? {
                    ensure(
                        part["type"] == wanted,
                        format!("input.{index}: {} content must be {wanted}", item["role"]),
                    )?;
                    text(part, "text")?;
                }
            }
            "reasoning" => {
                ensure(
                    item["encrypted_content"].is_string(),
                    format!(
                        "Item with id '{}' not found. Items are not persisted when `store` is set to false.",
                        item["id"]
                    ),
                )?;
            }
            "function_call" => {
                serde_json::from_str::<Value>(text(item, "arguments")?).map_err(|error| error.to_string())?;
                ensure(called.insert(text(item, "call_id")?), "call_id must be unique")?;
            }
            "function_call_output" => {
                let id = text(item, "call_id")?;
                text(item, "output")?;
                ensure(
                    called.contains(id),
                    format!("No tool call found for function call output with call_id {id}."),
                )?;
                ensure(answered.insert(id), format!("two outputs for {id}"))?;
            }
            other => return Err(format!("input.{index}: unknown type {other}")),
        }
    }
    ensure(
        called == answered,
        format!(
            "No tool output found for function call {:?}.",
            called.difference(&answered)
        ),
    )
}
