//! The form of a script, and its turns with all repetitions and substitutions done.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::model::{ModelError, StopReason, TokenUsage};

/// A script that can't be used, as a sentence.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ScriptFault(pub(super) String);

/// A script.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Script {
    turn: Vec<TurnForm>,
}

/// A turn as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TurnForm {
    #[serde(default)]
    say: String,
    #[serde(default)]
    call: Vec<CallForm>,
    #[serde(default)]
    expect: OneOrMany,
    fail: Option<ScriptedFailure>,
    fail_times: Option<u32>,
    retry_after_ms: Option<u64>,
    #[serde(default)]
    delay_ms: u64,
    #[serde(default)]
    piece_delay_ms: u64,
    #[serde(default = "one")]
    repeat: usize,
    stop: Option<StopReason>,
    usage: Option<UsageForm>,
}

fn one() -> usize {
    1
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CallForm {
    tool: String,
    arguments: Option<Value>,
    raw_arguments: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct UsageForm {
    input_uncached: u64,
    cache_read: u64,
    cache_write: u64,
    output: u64,
    reasoning: u64,
}

/// How a scripted request fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ScriptedFailure {
    Overloaded,
    RateLimited,
    Context,
    Truncated,
    Auth,
    Refused,
    Spending,
    Rejected,
    Protocol,
    Transport,
}

impl ScriptedFailure {
    pub(super) fn error(self, retry_after: Option<Duration>) -> ModelError {
        let message = "the script says so".to_owned();
        match self {
            Self::Overloaded => ModelError::Overloaded { message, retry_after },
            Self::RateLimited => ModelError::RateLimited { retry_after },
            Self::Context => ModelError::ContextTooLong { message },
            Self::Truncated => ModelError::Truncated,
            Self::Auth => ModelError::Authentication { message },
            Self::Refused => ModelError::Refused { message },
            Self::Spending => ModelError::SpendingCap { message },
            Self::Rejected => ModelError::Rejected { message },
            Self::Protocol => ModelError::Protocol { message },
            Self::Transport => ModelError::Transport { message, source: None },
        }
    }
}

/// A turn to be taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ScriptedTurn {
    pub(super) say: String,
    /// Tool and arguments.
    pub(super) calls: Vec<(String, String)>,
    pub(super) expect: Vec<String>,
    pub(super) delay: Duration,
    pub(super) piece_delay: Duration,
    pub(super) retry_after: Option<Duration>,
    pub(super) stop: Option<StopReason>,
    pub(super) usage: Option<TokenUsage>,
    fail: Option<(ScriptedFailure, u32)>,
}

impl ScriptedTurn {
    /// Returns how the `attempt`th try of this turn fails, from 1.
    pub(super) fn failure_of_try(&self, attempt: u32) -> Option<ScriptedFailure> {
        self.fail
            .filter(|(_, times)| attempt <= *times)
            .map(|(failure, _)| failure)
    }
}

impl Script {
    /// Reads a script.
    pub(super) fn parse(text: &str) -> Result<Self, ScriptFault> {
        let script: Self = toml::from_str(text).map_err(|error| ScriptFault(error.to_string()))?;
        for (number, turn) in (1..).zip(&script.turn) {
            let fault = |message: &str| Err(ScriptFault(format!("turn {number}: {message}")));
            if turn.repeat == 0 {
                return fault("`repeat` must be 1 or more");
            }
            if turn.fail.is_none() && (turn.fail_times.is_some() || turn.retry_after_ms.is_some()) {
                return fault("`fail_times` and `retry_after_ms` need `fail`");
            }
            if turn.say.is_empty() && turn.call.is_empty() && turn.fail.is_none() {
                return fault("a turn must `say`, `call` or `fail`");
            }
            for call in &turn.call {
                if call.arguments.is_some() && call.raw_arguments.is_some() {
                    return fault("a call has `arguments` or `raw_arguments`, not both");
                }
                if call.arguments.as_ref().is_some_and(|arguments| !arguments.is_object()) {
                    return fault("`arguments` must be a table; for anything else there is `raw_arguments`");
                }
            }
        }
        Ok(script)
    }

    /// Returns the number of turns, repetitions counted.
    pub(super) fn turns(&self) -> usize {
        self.turn.iter().map(|turn| turn.repeat).sum()
    }

    /// Returns the turn after `taken` others.
    pub(super) fn turn(&self, taken: usize) -> Option<ScriptedTurn> {
        let mut before = 0;
        for form in &self.turn {
            if taken < before + form.repeat {
                return Some(form.turn(taken - before + 1));
            }
            before += form.repeat;
        }
        None
    }
}

impl TurnForm {
    /// Makes the `n`th repetition, from 1.
    fn turn(&self, n: usize) -> ScriptedTurn {
        let n = n.to_string();
        let substitute = |text: &str| text.replace("{n}", &n);
        let expect = match &self.expect {
            OneOrMany::One(text) => std::slice::from_ref(text),
            OneOrMany::Many(texts) => texts.as_slice(),
        };
        let has_answer = !self.say.is_empty() || !self.call.is_empty();
        let fail_times = self.fail_times.unwrap_or(if has_answer { 1 } else { u32::MAX });
        ScriptedTurn {
            say: substitute(&self.say),
            calls: self
                .call
                .iter()
                .map(|call| (call.tool.clone(), call.text(&substitute)))
                .collect(),
            expect: expect.iter().map(|text| substitute(text)).collect(),
            delay: Duration::from_millis(self.delay_ms),
            piece_delay: Duration::from_millis(self.piece_delay_ms),
            retry_after: self.retry_after_ms.map(Duration::from_millis),
            stop: self.stop,
            usage: self.usage.map(|usage| TokenUsage {
                input_uncached: usage.input_uncached,
                cache_read: usage.cache_read,
                cache_write: usage.cache_write,
                output: usage.output,
                reasoning: usage.reasoning,
            }),
            fail: self.fail.map(|failure| (failure, fail_times)),
        }
    }
}

impl CallForm {
    fn text(&self, substitute: &dyn Fn(&str) -> String) -> String {
        match (&self.raw_arguments, &self.arguments) {
            (Some(raw), _) => substitute(raw),
            (None, Some(arguments)) => substituted(arguments, substitute).to_string(),
            (None, None) => "{}".to_owned(),
        }
    }
}

fn substituted(value: &Value, substitute: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::from(substitute(text)),
        Value::Array(values) => values.iter().map(|value| substituted(value, substitute)).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), substituted(value, substitute)))
            .collect(),
        other => other.clone(),
    }
}
