//! Turns of scripted models.

use serde_json::{Value, json};

/// A turn with calls.
pub fn turn(calls: &[Value]) -> Value {
    json!({ "call": calls })
}

pub fn call(tool: &str, arguments: Value) -> Value {
    json!({ "tool": tool, "arguments": arguments })
}

pub fn bash(command: &str) -> Value {
    call("bash", json!({ "command": command }))
}

pub fn write(path: &str, content: &str) -> Value {
    call("write_file", json!({ "path": path, "content": content }))
}

pub fn finish(summary: &str) -> Value {
    call("finish", json!({ "summary": summary }))
}

/// The script that does the usual change in two turns.
pub fn good() -> Value {
    json!([turn(&[write("out.txt", "good\n")]), turn(&[finish("It is good now.")])])
}
