//! Tool calls of Chat Completions, from their parts.
//!
//! Servers differ in all of it: the index may be missing or always 0, id and name may come once, in
//! each part, or never, arguments may be text, an object, or null. So a part belongs to the call with
//! its index unless it bears another id, or begins anew what is already whole.

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::model::ToolCall;
use crate::model::conversation::{is_object, object_text};

/// A call in the making.
#[derive(Clone, Debug, Default)]
struct PartialCall {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
    /// Fields we do not know, e.g. a signature that must go back.
    extra: Map<String, Value>,
}

/// Collects calls.
#[derive(Clone, Debug, Default)]
pub(super) struct CallCollector {
    calls: Vec<PartialCall>,
}

impl CallCollector {
    /// Takes a part of a call.
    pub(super) fn add(&mut self, part: &Value) {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        let function = part.get("function").unwrap_or(part);
        let (id, name) = (text(part.get("id")), text(function.get("name")));
        let index = part.get("index").and_then(Value::as_u64);
        let call = match self.find(index, &id, &name) {
            Some(position) => self.calls.get_mut(position),
            None => {
                self.calls.push(PartialCall {
                    index,
                    ..PartialCall::default()
                });
                self.calls.last_mut()
            }
        };
        let Some(call) = call else { return };
        if call.id.is_empty() {
            call.id = id;
        }
        if call.name.is_empty() {
            call.name = name;
        }
        match function.get("arguments") {
            Some(Value::String(arguments)) => call.arguments.push_str(arguments),
            Some(object @ Value::Object(_)) => call.arguments = object.to_string(),
            _ => {}
        }
        let known = ["index", "id", "type", "function", "name", "arguments"];
        let extra = part.as_object().into_iter().flatten();
        for (name, value) in extra.filter(|(name, value)| !known.contains(&name.as_str()) && !value.is_null()) {
            call.extra.insert(name.clone(), value.clone());
        }
    }

    fn find(&self, index: Option<u64>, id: &str, name: &str) -> Option<usize> {
        let position = match index {
            Some(_) => self.calls.iter().rposition(|call| call.index == index)?,
            None if !id.is_empty() => self.calls.iter().rposition(|call| call.id == id)?,
            None => self.calls.len().checked_sub(1)?,
        };
        let call = self.calls.get(position)?;
        let other_id = !id.is_empty() && !call.id.is_empty() && id != call.id;
        let begins_anew =
            id.is_empty() && !name.is_empty() && !call.name.is_empty() && is_object(call.arguments.trim());
        (!other_id && !begins_anew).then_some(position)
    }

    /// Returns whether nothing came.
    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Returns whether the arguments of all calls are whole.
    pub(super) fn are_whole(&self) -> bool {
        let mut arguments = self.calls.iter().map(|call| call.arguments.trim());
        arguments.all(|arguments| arguments.is_empty() || is_object(arguments))
    }

    /// Returns the calls, and the form in which they go back. Ids that are missing or not unique are made.
    pub(super) fn finish(self) -> (Vec<ToolCall>, Vec<Value>) {
        let mut calls: Vec<ToolCall> = Vec::new();
        let mut raw = Vec::new();
        for mut partial in self.calls {
            if partial.id.is_empty() || calls.iter().any(|call| call.id == partial.id) {
                partial.id = format!("call_{}", Uuid::new_v4().simple());
            }
            if partial.arguments.trim().is_empty() {
                partial.arguments = "{}".to_owned();
            }
            let mut fields = partial.extra;
            let function = serde_json::json!({ "name": partial.name, "arguments": object_text(&partial.arguments) });
            fields.insert("id".to_owned(), Value::from(partial.id.as_str()));
            fields.insert("type".to_owned(), Value::from("function"));
            fields.insert("function".to_owned(), function);
            raw.push(Value::Object(fields));
            calls.push(ToolCall {
                id: partial.id,
                name: partial.name,
                arguments: partial.arguments,
            });
        }
        (calls, raw)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Returns the calls of these parts, with `?` for ids that were made.
    fn collect(parts: Value) -> Vec<(String, String, String)> {
        let mut collector = CallCollector::default();
        let mut given = Vec::new();
        for part in parts.as_array().unwrap() {
            given.extend(part["id"].as_str().map(str::to_owned));
            collector.add(part);
        }
        let id = |id: String| if given.contains(&id) { id } else { "?".to_owned() };
        let calls = collector.finish().0;
        calls
            .into_iter()
            .map(|call| (id(call.id), call.name, call.arguments))
            .collect()
    }

    fn call(id: &str, name: &str, arguments: &str) -> (String, String, String) {
        (id.into(), name.into(), arguments.into())
    }

    #[test]
    fn every_habit_of_servers_gives_the_same_calls() {
        let two = [call("a", "f", "{\"x\":1}"), call("b", "g", "{}")];
        let part = |index: Value, id: Value, name: Value, arguments: Value| json!({ "index": index, "id": id, "type": "function", "function": { "name": name, "arguments": arguments } });
        let null = Value::Null;
        for (habit, parts) in [
            (
                "id and name once",
                json!([
                    part(json!(0), json!("a"), json!("f"), json!("")),
                    part(json!(0), null.clone(), null.clone(), json!("{\"x\"")),
                    part(json!(0), json!(""), json!(""), json!(":1}")),
                    part(json!(1), json!("b"), json!("g"), json!("{}")),
                ]),
            ),
            (
                "id and name in each part",
                json!([
                    part(json!(0), json!("a"), json!("f"), json!("{\"x\"")),
                    part(json!(0), json!("a"), json!("f"), json!(":1}")),
                    part(json!(1), json!("b"), json!("g"), json!("{")),
                    part(json!(1), json!("b"), json!("g"), json!("}")),
                ]),
            ),
            (
                "whole calls without an index",
                json!([
                    { "id": "a", "function": { "name": "f", "arguments": { "x": 1 } } },
                    { "id": "b", "function": { "name": "g", "arguments": {} } },
                ]),
            ),
            (
                "always index 0",
                json!([
                    part(json!(0), json!("a"), json!("f"), json!("{\"x\":1}")),
                    part(json!(0), json!("b"), json!("g"), json!("{")),
                    part(json!(0), null.clone(), null.clone(), json!("}")),
                ]),
            ),
            (
                "interleaved",
                json!([
                    part(json!(0), json!("a"), json!("f"), json!("{\"x\"")),
                    part(json!(1), json!("b"), json!("g"), null.clone()),
                    part(json!(0), null.clone(), null.clone(), json!(":1}")),
                ]),
            ),
        ] {
            assert_eq!(collect(parts), two, "{habit}");
        }
        let made = [call("?", "f", "{\"x\":1}"), call("?", "g", "{}")];
        for (habit, parts) in [
            (
                "no ids",
                json!([
                    part(json!(0), json!(""), json!("f"), json!("{\"x\":1}")),
                    part(json!(1), null.clone(), json!("g"), json!("{}"))
                ]),
            ),
            (
                "no ids and no index",
                json!([
                    { "function": { "name": "f", "arguments": "{\"x\":1}" } },
                    { "function": { "name": "g", "arguments": "{}" } },
                ]),
            ),
            (
                "no ids and always index 0",
                json!([
                    part(json!(0), null.clone(), json!("f"), json!("{\"x\":1}")),
                    part(json!(0), null.clone(), json!("g"), null.clone())
                ]),
            ),
            (
                "the old form",
                json!([{ "name": "f", "arguments": "{\"x\":" }, { "arguments": "1}" }, { "name": "g" }]),
            ),
        ] {
            assert_eq!(collect(parts), made, "{habit}");
        }
    }

    #[test]
    fn the_form_that_goes_back_keeps_unknown_fields_and_repairs_arguments() {
        let mut collector = CallCollector::default();
        collector.add(&json!({ "index": 0, "id": "a", "extra_content": { "signature": "s" }, "function": { "name": "f", "arguments": "{" } }));
        collector.add(&json!({ "index": 1, "id": "a", "function": { "name": "f", "arguments": "" } }));
        assert!(!collector.are_whole());
        let (calls, raw) = collector.finish();
        assert_ne!(calls[0].id, calls[1].id, "ids are unique in an answer");
        assert_eq!(
            raw,
            [
                json!({ "id": "a", "type": "function", "extra_content": { "signature": "s" },
                    "function": { "name": "f", "arguments": "{\"malformed_arguments\":\"{\"}" } }),
                json!({ "id": calls[1].id, "type": "function", "function": { "name": "f", "arguments": "{}" } }),
            ]
        );
    }
}
