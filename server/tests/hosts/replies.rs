//! What a provider answers, from the file of a scripted model: the same turns, in Anthropic's words, task after task.

use std::path::Path;

use serde_json::Value;

use crate::support::fake_model::Reply;

/// For so many tasks, one after another.
const TASKS: usize = 50;

/// Returns the answers of a script.
pub fn of_script(script: &Path) -> std::io::Result<Vec<Reply>> {
    let text = std::fs::read_to_string(script)?;
    let script: Value = toml::from_str(&text).map_err(std::io::Error::other)?;
    let turns = script["turn"].as_array().cloned().unwrap_or_default();
    let task: Vec<Reply> = turns.iter().enumerate().map(reply).collect();
    Ok(std::iter::repeat_n(task, TASKS).flatten().collect())
}

fn reply((number, turn): (usize, &Value)) -> Reply {
    let calls = turn["call"].as_array().cloned().unwrap_or_default();
    let ids: Vec<String> = (0..calls.len()).map(|call| format!("call_{number}_{call}")).collect();
    let calls: Vec<_> = ids
        .iter()
        .zip(&calls)
        .map(|(id, call)| {
            (
                id.as_str(),
                call["tool"].as_str().unwrap_or_default(),
                call["arguments"].clone(),
            )
        })
        .collect();
    Reply::anthropic_calls(turn["say"].as_str().unwrap_or("I go on."), &calls)
}
