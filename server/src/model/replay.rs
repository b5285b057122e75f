//! Recorded exchanges with models, and a provider that answers from them without a network.
//!
//! A recording holds one JSON line per exchange with only what is new in it: the items since the last
//! exchange, and the answer or the failure. Headers and keys are never part of it, and known secrets
//! are masked in what is. A replay gives the recorded answers in order and tells where the
//! conversation it was shown is another than the recorded one.

mod recorder;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::model::transcript::Transcript;
use crate::model::{Answer, Delta, Item, ModelError, ModelProvider, ModelRequest, ToolSpec};
pub use recorder::{Recorder, RecordingProvider};

/// Longest part of a value that a divergence shows.
const SHOWN_CHARS: usize = 200;

/// One exchange.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// `{provider}/{model}` that was asked.
    pub model: String,
    /// Fingerprint of system prompt and tools.
    pub fixed: String,
    /// Items that this one has in common with the exchange before and its answer.
    pub kept_items: usize,
    /// The items after them.
    pub new_items: Vec<Item>,
    /// What came.
    pub outcome: Outcome,
}

/// How an exchange ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// With an answer.
    Answer(Answer),
    /// With a failure, as a sentence.
    Failed(String),
}

/// A place where a replay saw another conversation than the recorded one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// The exchange, from 1.
    pub exchange: usize,
    /// What differs, e.g. `item 4`.
    pub what: String,
    /// As recorded, shortened to where it differs.
    pub recorded: String,
    /// As it was now.
    pub now: String,
}

/// What a replay does where the conversation is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDivergence {
    /// Notes it and goes on with the recorded answer.
    Report,
    /// Notes it and fails the request.
    Fail,
}

/// A recording could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The file can't be read.
    #[error("the recording {} can't be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A line is not an exchange.
    #[error("line {line} of the recording is not an exchange")]
    Malformed {
        /// Its number, from 1.
        line: usize,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// Answers from a recording.
#[derive(Debug)]
pub struct ReplayProvider {
    on_divergence: OnDivergence,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    exchanges: Vec<Arc<Exchange>>,
    /// Which exchange is next.
    next: usize,
    /// The recorded conversation up to there.
    conversation: Vec<Item>,
    divergences: Vec<Divergence>,
}

impl ReplayProvider {
    /// Reads a recording.
    pub fn open(path: &Path, on_divergence: OnDivergence) -> Result<Self, ReplayError> {
        let text = std::fs::read_to_string(path).map_err(|source| ReplayError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, on_divergence)
    }

    /// Reads a recording that is at hand.
    pub fn parse(text: &str, on_divergence: OnDivergence) -> Result<Self, ReplayError> {
        let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
        let exchanges = lines.map(|(number, line)| match serde_json::from_str(line) {
            Ok(exchange) => Ok(Arc::new(exchange)),
            Err(source) => Err(ReplayError::Malformed { line: number, source }),
        });
        Ok(Self {
            on_divergence,
            state: Mutex::new(State {
                exchanges: exchanges.collect::<Result<_, _>>()?,
                next: 0,
                conversation: Vec::new(),
                divergences: Vec::new(),
            }),
        })
    }

    /// Returns where the conversation was another so far.
    pub fn divergences(&self) -> Vec<Divergence> {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .divergences
            .clone()
    }

    /// Returns how many recorded exchanges were not asked for.
    pub fn remaining(&self) -> usize {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.exchanges.len().saturating_sub(state.next)
    }

    fn advance(&self, fixed: &str, transcript: &Transcript) -> Result<Arc<Exchange>, ModelError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(exchange) = state.exchanges.get(state.next).cloned() else {
            return Err(ModelError::Rejected {
                message: format!("the recording has {} exchanges, and one more was asked for", state.next),
            });
        };
        state.next += 1;
        state.go_on_to(&exchange);
        let Some(divergence) = divergence(state.next, &exchange, fixed, &state.conversation, transcript.items()) else {
            return Ok(exchange);
        };
        tracing::warn!(exchange = divergence.exchange, what = %divergence.what, "the replayed conversation diverges");
        state.divergences.push(divergence.clone());
        match self.on_divergence {
            OnDivergence::Report => Ok(exchange),
            OnDivergence::Fail => Err(ModelError::Rejected {
                message: format!(
                    "exchange {} diverges in {}: recorded `{}`, now `{}`",
                    divergence.exchange, divergence.what, divergence.recorded, divergence.now
                ),
            }),
        }
    }
}

impl State {
    /// Makes the recorded conversation that of an exchange.
    fn go_on_to(&mut self, exchange: &Exchange) {
        let before = self.next.checked_sub(2).and_then(|index| self.exchanges.get(index));
        if let Some(Outcome::Answer(answer)) = before.map(|exchange| &exchange.outcome) {
            self.conversation.push(Item::Assistant(answer.clone()));
        }
        self.conversation.truncate(exchange.kept_items);
        self.conversation.extend(exchange.new_items.iter().cloned());
    }
}

/// Returns the first difference between what was recorded and what is asked.
fn divergence(number: usize, exchange: &Exchange, fixed: &str, recorded: &[Item], now: &[Item]) -> Option<Divergence> {
    let found = |what: String, recorded: String, now: String| {
        Some(Divergence {
            exchange: number,
            what,
            recorded,
            now,
        })
    };
    for (index, pair) in recorded.iter().zip(now).enumerate() {
        let (was, is) = (comparable(pair.0), comparable(pair.1));
        if was != is {
            let (was, is) = around_difference(&was, &is);
            return found(format!("item {}", index + 1), was, is);
        }
    }
    if recorded.len() != now.len() {
        return found(
            "the number of items".into(),
            recorded.len().to_string(),
            now.len().to_string(),
        );
    }
    if exchange.fixed != fixed {
        return found(
            "system prompt or tools".into(),
            exchange.fixed.clone(),
            fixed.to_owned(),
        );
    }
    None
}

/// Returns an item as text without what differs between two runs that say the same: ids of calls.
fn comparable(item: &Item) -> String {
    let mut value = serde_json::to_value(item).unwrap_or_default();
    strip_ids(&mut value);
    value.to_string()
}

fn strip_ids(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !matches!(name.as_str(), "id" | "call_id" | "raw" | "usage"));
            fields.values_mut().for_each(strip_ids);
        }
        Value::Array(values) => values.iter_mut().for_each(strip_ids),
        _ => {}
    }
}

fn around_difference(left: &str, right: &str) -> (String, String) {
    let same = left
        .chars()
        .zip(right.chars())
        .take_while(|(left, right)| left == right)
        .count();
    let from = same.saturating_sub(40);
    let shown = |text: &str| text.chars().skip(from).take(SHOWN_CHARS).collect();
    (shown(left), shown(right))
}

/// Returns a fingerprint of what is the same in every request of a Task.
fn fixed_fingerprint(system: &str, tools: &[ToolSpec]) -> String {
    let mut hash = Sha256::new();
    hash.update(system);
    for tool in tools {
        for part in [tool.name, tool.description, tool.schema] {
            hash.update([0]);
            hash.update(part);
        }
    }
    hash.finalize()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[async_trait]
impl ModelProvider for ReplayProvider {
    fn name(&self) -> &str {
        "replay"
    }

    async fn answer(
        &self,
        request: ModelRequest<'_>,
        on_delta: &mut (dyn FnMut(Delta) + Send),
    ) -> Result<Answer, ModelError> {
        let fixed = fixed_fingerprint(request.system, request.tools);
        let exchange = self.advance(&fixed, request.transcript)?;
        match &exchange.outcome {
            Outcome::Answer(answer) => {
                if !answer.text.is_empty() {
                    on_delta(Delta::Text(answer.text.clone()));
                }
                Ok(answer.clone())
            }
            // The retry that followed is the next exchange, whatever the failure was.
            Outcome::Failed(message) => Err(ModelError::Overloaded {
                message: message.clone(),
                retry_after: Some(std::time::Duration::ZERO),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
