//! The first request of a Task as each provider gets it: system prompt, tools and cache markers.
//!
//! The snapshots hold the whole request but for the long texts, which are compared with their sources.

#![cfg(test)]

mod support {
    pub(crate) mod asking;
    pub(crate) mod fake_model;
}

use backspace_server::agent::{Editing, prompt, tool_specs};
use backspace_server::model::ModelRequest;
use backspace_server::model::transcript::Transcript;
use serde_json::{Value, json};
use support::asking::{PROTOCOLS, model, user};
use support::fake_model::{FakeModel, Reply};

/// Set `UPDATE_SNAPSHOTS=1` to write the file anew after a change that is meant.
fn assert_snapshot(name: &str, text: &str) {
    let path = format!("{}/tests/snapshots/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        text, committed,
        "{name} differs; run with UPDATE_SNAPSHOTS=1 if that is meant"
    );
}

/// Puts names in place of the texts that have a source of their own, and counts each.
fn shorten(value: &mut Value, editing: Editing, found: &mut Vec<String>) {
    match value {
        Value::String(text) if text == prompt::system() => {
            found.push("system.md".into());
            *text = "{{system.md}}".into();
        }
        Value::String(text) => {
            if let Some(tool) = tool_specs(editing).iter().find(|tool| tool.description == text) {
                found.push(tool.name.into());
                *text = format!("{{{{description of {}}}}}", tool.name);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| shorten(value, editing, found)),
        Value::Object(fields) => fields.values_mut().for_each(|value| shorten(value, editing, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_first_request_is_as_committed() {
    for protocol in PROTOCOLS {
        for (editing, name) in [(Editing::Exact, "exact"), (Editing::Patch, "patch")] {
            let server = FakeModel::with([match protocol {
                "anthropic" => Reply::anthropic(&[json!({ "type": "text", "text": "ok" })], "end_turn"),
                "chat" => Reply::chat("ok", &[]),
                _ => Reply::responses_calls("ok", &[]),
            }])
            .await;
            let model = model(protocol, &server.url(), "");
            let request = ModelRequest {
                model: &model.model,
                system: prompt::system(),
                tools: tool_specs(editing),
                transcript: &mut Transcript::new(vec![user("<task>\nFix it.\n</task>\n")]),
                max_output_tokens: None,
            };
            model.provider.answer(request, &mut |_| {}).await.unwrap();
            assert_eq!(server.violations(), Vec::<String>::new(), "{protocol}");
            let mut body = server.requests()[0].json();
            for tool in tool_specs(editing) {
                let schema: Value = serde_json::from_str(tool.schema).unwrap();
                assert!(
                    holds(&body, &schema),
                    "{protocol}: the schema of {} is another",
                    tool.name
                );
            }
            remove_schemas(&mut body);
            let mut found = Vec::new();
            shorten(&mut body, editing, &mut found);
            found.sort();
            let mut right: Vec<String> = tool_specs(editing).iter().map(|tool| tool.name.to_owned()).collect();
            right.push("system.md".into());
            right.sort();
            assert_eq!(found, right, "{protocol}: each text is sent once and whole");
            let text = format!("{}\n", serde_json::to_string_pretty(&body).unwrap());
            assert_snapshot(&format!("request_{protocol}_{name}.json"), &text);
        }
    }
}

fn holds(value: &Value, wanted: &Value) -> bool {
    value == wanted
        || match value {
            Value::Array(values) => values.iter().any(|value| holds(value, wanted)),
            Value::Object(fields) => fields.values().any(|value| holds(value, wanted)),
            _ => false,
        }
}

/// Schemas were compared whole; in the snapshot only their place matters.
fn remove_schemas(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(remove_schemas),
        Value::Object(fields) => {
            for (name, field) in fields {
                if matches!(name.as_str(), "input_schema" | "parameters") {
                    *field = "{{schema}}".into();
                } else {
                    remove_schemas(field);
                }
            }
        }
        _ => {}
    }
}
