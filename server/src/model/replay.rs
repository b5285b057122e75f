//! Recorded exchanges with models, and a provider that answers from them without a network.
//!
//! A recording holds one JSON line per exchange with only what is new in it: the items since the last
//! exchange, and the answer or the failure. Headers and keys are never part of it, and secrets are
//! masked in what is. A replay gives the recorded answers in order and tells where the conversation
//! it was shown is another than the recorded one. It goes past tries that failed: repeating them would
//! only wait again.

mod compare;
mod recorder;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::model::transcript::Transcript;
use crate::model::{Answer, Delta, Item, ModelError, ModelProvider, ModelRequest};
use crate::secret::Redactor;
use compare::{divergence, fixed_fingerprint};
pub use recorder::{Recorder, RecordingProvider, RecordingSink};

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
    /// The conversation did not fit the model's window.
    TooLong(String),
    /// With another failure, as a sentence.
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

/// Hears of the first divergence.
type OnFirst = Box<dyn Fn(&Divergence) + Send + Sync>;

/// Answers from a recording.
pub struct ReplayProvider {
    on_divergence: OnDivergence,
    on_first: Option<OnFirst>,
    redactor: Arc<Redactor>,
    state: Mutex<State>,
}

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
            on_first: None,
            redactor: Arc::default(),
            state: Mutex::new(State {
                exchanges: exchanges.collect::<Result<_, _>>()?,
                next: 0,
                conversation: Vec::new(),
                divergences: Vec::new(),
            }),
        })
    }

    /// Masks what it is asked as the recording was masked, so that a mask is no divergence.
    pub fn masked_by(mut self, redactor: Arc<Redactor>) -> Self {
        self.redactor = redactor;
        self
    }

    /// Tells of the first divergence.
    pub fn telling(mut self, on_first: impl Fn(&Divergence) + Send + Sync + 'static) -> Self {
        self.on_first = Some(Box::new(on_first));
        self
    }

    /// Goes past so many exchanges that were answered: a replay that goes on after a restart.
    pub fn after(self, answered: usize) -> Self {
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            for _ in 0..answered {
                state.go_on();
            }
        }
        self
    }

    /// Returns the model of the first exchange.
    pub fn recorded_model(&self) -> Option<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.exchanges.first().map(|exchange| exchange.model.clone())
    }

    /// Returns where the conversation was another so far.
    pub fn divergences(&self) -> Vec<Divergence> {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .divergences
            .clone()
    }

    /// Returns how many recorded answers were not asked for.
    pub fn remaining(&self) -> usize {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = state.exchanges.iter().skip(state.next);
        rest.filter(|exchange| exchange.is_answered()).count()
    }

    fn advance(&self, fixed: &str, transcript: &Transcript) -> Result<Arc<Exchange>, ModelError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(exchange) = state.go_on() else {
            return Err(ModelError::Rejected {
                message: format!("the recording has {} exchanges, and one more was asked for", state.next),
            });
        };
        let recorded = &state.conversation;
        let found = divergence(
            state.next,
            &exchange,
            recorded,
            fixed,
            transcript.items(),
            &self.redactor,
        );
        let Some(divergence) = found else {
            return Ok(exchange);
        };
        tracing::debug!(exchange = divergence.exchange, what = %divergence.what, "the replayed conversation diverges");
        if let (true, Some(on_first)) = (state.divergences.is_empty(), &self.on_first) {
            on_first(&divergence);
        }
        state.divergences.push(divergence.clone());
        match self.on_divergence {
            OnDivergence::Report => Ok(exchange),
            OnDivergence::Fail => Err(ModelError::Rejected {
                message: divergence.to_string(),
            }),
        }
    }
}

impl Exchange {
    fn is_answered(&self) -> bool {
        match self.outcome {
            Outcome::Answer(_) | Outcome::TooLong(_) => true,
            Outcome::Failed(_) => false,
        }
    }
}

impl std::fmt::Display for Divergence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "exchange {} diverges in {}: recorded `{}`, now `{}`",
            self.exchange, self.what, self.recorded, self.now
        )
    }
}

impl State {
    /// Goes on to the next exchange that was answered.
    fn go_on(&mut self) -> Option<Arc<Exchange>> {
        loop {
            let exchange = self.exchanges.get(self.next).cloned()?;
            self.next += 1;
            self.go_on_to(&exchange);
            if exchange.is_answered() {
                return Some(exchange);
            }
        }
    }

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
            Outcome::TooLong(message) | Outcome::Failed(message) => Err(ModelError::ContextTooLong {
                message: message.clone(),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
