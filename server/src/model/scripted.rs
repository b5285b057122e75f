//! A model that answers from a script: tests, demonstrations and benchmarks without a key or a network.
//!
//! The turn is chosen by how many answers the conversation already has, not by a counter in here, so
//! that a run that was resumed goes on where it stopped and one provider serves many Tasks. After a
//! compaction, which removes answers, `[scripted turn N]` in a user message tells the count.
//! The form of a script is described in `docs/scripted-model.md`.

mod script;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use uuid::Uuid;

use crate::model::{
    Answer, Delta, Item, ModelError, ModelProvider, ModelRequest, StopReason, TokenUsage, ToolCall, ToolSpec,
};
use script::{Script, ScriptFault, ScriptedFailure, ScriptedTurn};

/// Longest part of a text that is shown at once.
const PIECE_CHARS: usize = 16;

/// Answers from the scripts of one folder, or from one script.
#[derive(Debug)]
pub struct Scripted {
    path: PathBuf,
    loaded: Mutex<HashMap<String, (SystemTime, Arc<Script>)>>,
}

impl Scripted {
    /// Makes a provider; `path` is a folder of `<model>.toml`, or one such file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            loaded: Mutex::default(),
        }
    }

    /// Returns the names of its scripts, in order.
    pub fn names(&self) -> Vec<String> {
        if self.path.is_file() {
            return self
                .path
                .file_stem()
                .and_then(|stem| stem.to_str())
                .map(str::to_owned)
                .into_iter()
                .collect();
        }
        let entries = std::fs::read_dir(&self.path).into_iter().flatten().flatten();
        let files = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<String> = files
            .filter_map(|file| file.strip_suffix(".toml").map(str::to_owned))
            .filter(|name| is_script_name(name))
            .collect();
        names.sort();
        names
    }

    /// Returns a script, read again only when its file has changed.
    fn script(&self, name: &str) -> Result<Arc<Script>, ModelError> {
        let rejected = |message: String| ModelError::Rejected { message };
        // The name comes from whoever made the Task: it must not leave the folder.
        if !is_script_name(name) {
            return Err(rejected(format!("`{name}` is not the name of a script")));
        }
        let file = if self.path.is_file() {
            self.path.clone()
        } else {
            self.path.join(format!("{name}.toml"))
        };
        let changed = std::fs::metadata(&file).and_then(|metadata| metadata.modified());
        let changed = changed.map_err(|error| rejected(format!("there is no script `{name}`: {error}")))?;
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, script)) = loaded.get(name)
            && *at == changed
        {
            return Ok(script.clone());
        }
        let text = std::fs::read_to_string(&file).map_err(|error| rejected(format!("script `{name}`: {error}")))?;
        let script =
            Script::parse(&text).map_err(|ScriptFault(fault)| rejected(format!("script `{name}`: {fault}")))?;
        let script = Arc::new(script);
        loaded.insert(name.to_owned(), (changed, script.clone()));
        Ok(script)
    }
}

/// Returns whether a name may be that of a file in a folder of ours: it can't leave the folder.
pub(crate) fn is_script_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

#[async_trait]
impl ModelProvider for Scripted {
    fn name(&self) -> &str {
        "scripted"
    }

    async fn answer(
        &self,
        request: ModelRequest<'_>,
        on_delta: &mut (dyn FnMut(Delta) + Send),
    ) -> Result<Answer, ModelError> {
        let script = self.script(request.model)?;
        let attempt = request.transcript.count_try();
        let items = request.transcript.items();
        let index = turns_taken(items);
        let Some(turn) = script.turn(index) else {
            return Err(ModelError::Rejected {
                message: format!(
                    "script `{}` has {} turns, and one more was asked for",
                    request.model,
                    script.turns()
                ),
            });
        };
        check_expectations(request.model, index, &turn, items)?;
        if turn.delay > Duration::ZERO {
            tokio::time::sleep(turn.delay).await;
        }
        if let Some(failure) = turn.failure_of_try(attempt) {
            if failure == ScriptedFailure::Truncated {
                let half = turn.say.len() / 2;
                on_delta(Delta::Text(turn.say.chars().take(half).collect()));
            }
            return Err(failure.error(turn.retry_after));
        }
        for piece in pieces(&turn.say) {
            on_delta(Delta::Text(piece.to_owned()));
            if turn.piece_delay > Duration::ZERO {
                tokio::time::sleep(turn.piece_delay).await;
            }
        }
        Ok(answer(request.model, turn, request.system, request.tools, items))
    }
}

/// Returns how many turns of the script were taken before this request.
fn turns_taken(items: &[Item]) -> usize {
    let mut taken = 0;
    for item in items {
        match item {
            Item::Assistant(_) => taken += 1,
            Item::User { text } => {
                let said = text
                    .rsplit_once("[scripted turn ")
                    .and_then(|(_, rest)| rest.split_once(']'));
                if let Some(number) = said.and_then(|(number, _)| number.trim().parse().ok()) {
                    taken = number;
                }
            }
            Item::ToolResults { .. } => {}
        }
    }
    taken
}

fn check_expectations(model: &str, index: usize, turn: &ScriptedTurn, items: &[Item]) -> Result<(), ModelError> {
    let seen = match items.last() {
        Some(Item::ToolResults { results }) => results.iter().map(|result| result.content.as_str()).collect(),
        Some(Item::User { text }) => vec![text.as_str()],
        Some(Item::Assistant(_)) | None => vec![],
    };
    for expected in &turn.expect {
        if !seen.iter().any(|text| text.contains(expected.as_str())) {
            let shown: String = seen.join("\n").chars().take(300).collect();
            return Err(ModelError::Rejected {
                message: format!(
                    "script `{model}`, turn {}: expected `{expected}` in what the model was last shown, which was: {shown}",
                    index + 1
                ),
            });
        }
    }
    Ok(())
}

/// Cuts a text into the pieces in which it is shown.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.char_indices().nth(PIECE_CHARS).map_or(rest.len(), |(end, _)| end);
        let (piece, after) = rest.split_at_checked(end)?;
        rest = after;
        Some(piece)
    })
}

fn answer(model: &str, turn: ScriptedTurn, system: &str, tools: &[ToolSpec], items: &[Item]) -> Answer {
    let usage = turn.usage.unwrap_or_else(|| estimate(&turn, system, tools, items));
    let tool_calls: Vec<ToolCall> = turn
        .calls
        .into_iter()
        .map(|(name, arguments)| ToolCall {
            id: format!("call_{}", Uuid::new_v4().simple()),
            name,
            arguments,
        })
        .collect();
    let stop = turn.stop.unwrap_or(if tool_calls.is_empty() {
        StopReason::EndTurn
    } else {
        StopReason::ToolUse
    });
    Answer {
        text: turn.say,
        tool_calls: if stop == StopReason::MaxTokens {
            vec![]
        } else {
            tool_calls
        },
        stop,
        usage,
        model: format!("scripted/{model}"),
        raw: None,
    }
}

/// Estimates tokens at four bytes each; everything before the last answer counts as cached.
fn estimate(turn: &ScriptedTurn, system: &str, tools: &[ToolSpec], items: &[Item]) -> TokenUsage {
    let bytes_of = |item: &Item| match item {
        Item::User { text } => text.len(),
        Item::Assistant(answer) => {
            answer.text.len() + answer.tool_calls.iter().map(|call| call.arguments.len()).sum::<usize>()
        }
        Item::ToolResults { results } => results.iter().map(|result| result.content.len()).sum(),
    };
    let tokens = |bytes: usize| bytes.div_ceil(4) as u64;
    let fixed = system.len()
        + tools
            .iter()
            .map(|tool| tool.description.len() + tool.schema.len())
            .sum::<usize>();
    let last = items.iter().rposition(|item| matches!(item, Item::Assistant(_)));
    let (cached, new) = items.split_at_checked(last.unwrap_or(0)).unwrap_or((items, &[]));
    let (cached, new) = (
        cached.iter().map(bytes_of).sum::<usize>(),
        new.iter().map(bytes_of).sum::<usize>(),
    );
    let said = turn.say.len()
        + turn
            .calls
            .iter()
            .map(|(name, arguments)| name.len() + arguments.len())
            .sum::<usize>();
    TokenUsage {
        input_uncached: tokens(if last.is_some() { new } else { fixed + new }),
        cache_read: if last.is_some() { tokens(fixed + cached) } else { 0 },
        output: tokens(said).max(1),
        ..TokenUsage::default()
    }
}

#[cfg(test)]
mod tests;
