//! Writing recordings.
//!
//! A line has only what is new since the last one, so that a turn costs what it adds. What is new is
//! told by the length of the conversation and the last item that was seen: items are only added until
//! all are replaced. Masking happens in each text before it is quoted, where a secret stands as it is.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::model::replay::compare::fixed_fingerprint;
use crate::model::replay::{Exchange, Outcome};
use crate::model::{Answer, Delta, Item, ModelError, ModelProvider, ModelRequest};
use crate::secret::Redactor;

/// Takes the lines of a recording.
pub trait RecordingSink: Send + Sync + 'static {
    /// Takes one exchange as a line of JSON, with its line break.
    fn take(&self, line: Vec<u8>);
}

/// Writes the exchanges of one Task. Clones write to the same place.
#[derive(Clone)]
pub struct Recorder(Arc<Inner>);

struct Inner {
    sink: Arc<dyn RecordingSink>,
    redactor: Arc<Redactor>,
    seen: Mutex<Seen>,
}

/// The conversation as of the last exchange.
#[derive(Default)]
struct Seen {
    items: usize,
    last_item: Option<[u8; 32]>,
    /// The answer to it, which need not be written again when it becomes an item.
    answer: Option<[u8; 32]>,
}

impl Recorder {
    /// Makes a recorder that masks what it writes.
    pub fn new(sink: Arc<dyn RecordingSink>, redactor: Arc<Redactor>) -> Self {
        Self(Arc::new(Inner {
            sink,
            redactor,
            seen: Mutex::default(),
        }))
    }

    fn write(&self, model: String, fixed: String, items: &[Item], outcome: Outcome) -> serde_json::Result<()> {
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let kept_items = seen.kept(items);
        *seen = Seen {
            items: items.len(),
            last_item: items.last().map(fingerprint),
            answer: match &outcome {
                Outcome::Answer(answer) => Some(fingerprint(answer)),
                Outcome::TooLong(_) | Outcome::Failed(_) => None,
            },
        };
        let exchange = Exchange {
            model,
            fixed,
            kept_items,
            new_items: items.get(kept_items..).unwrap_or_default().to_vec(),
            outcome,
        };
        let mut value = serde_json::to_value(&exchange)?;
        mask(&mut value, &self.0.redactor);
        let mut line = serde_json::to_vec(&value)?;
        line.push(b'\n');
        self.0.sink.take(line);
        Ok(())
    }
}

impl Seen {
    /// Returns how many of these items were in the exchange before, or were its answer.
    fn kept(&self, items: &[Item]) -> usize {
        let last_seen = self.items.checked_sub(1).and_then(|index| items.get(index));
        if self.last_item.is_none() || last_seen.map(fingerprint) != self.last_item {
            return 0;
        }
        let answer = match items.get(self.items) {
            Some(Item::Assistant(answer)) => Some(fingerprint(answer)),
            _ => None,
        };
        self.items + usize::from(answer.is_some() && answer == self.answer)
    }
}

fn fingerprint(value: &impl serde::Serialize) -> [u8; 32] {
    let mut hash = Hashing(Sha256::new());
    // What can't be serialized is not recorded either.
    let _written = serde_json::to_writer(&mut hash, value);
    hash.0.finalize().into()
}

struct Hashing(Sha256);

impl std::io::Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn mask(value: &mut Value, redactor: &Redactor) {
    match value {
        Value::String(text) => {
            if let std::borrow::Cow::Owned(masked) = redactor.mask(text) {
                *text = masked;
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| mask(value, redactor)),
        Value::Object(fields) => fields.values_mut().for_each(|value| mask(value, redactor)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Passes requests on to another provider and records them.
pub struct RecordingProvider {
    inner: Arc<dyn ModelProvider>,
    recorder: Recorder,
}

impl RecordingProvider {
    /// Records what `inner` is asked and answers.
    pub fn new(inner: Arc<dyn ModelProvider>, recorder: Recorder) -> Self {
        Self { inner, recorder }
    }
}

#[async_trait]
impl ModelProvider for RecordingProvider {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn answer(
        &self,
        request: ModelRequest<'_>,
        on_delta: &mut (dyn FnMut(Delta) + Send),
    ) -> Result<Answer, ModelError> {
        let ModelRequest {
            model,
            system,
            tools,
            transcript,
            max_output_tokens,
        } = request;
        let inner = ModelRequest {
            model,
            system,
            tools,
            transcript: &mut *transcript,
            max_output_tokens,
        };
        let result = self.inner.answer(inner, on_delta).await;
        let outcome = match &result {
            Ok(answer) => Outcome::Answer(answer.clone()),
            Err(error @ ModelError::ContextTooLong { .. }) => Outcome::TooLong(error.to_string()),
            Err(error) => Outcome::Failed(error.to_string()),
        };
        let full_model = format!("{}/{model}", self.inner.name());
        let fixed = fixed_fingerprint(system, tools);
        // A recording is for looking back; what can't be written down must not end the Task.
        if let Err(error) = self.recorder.write(full_model, fixed, transcript.items(), outcome) {
            tracing::warn!(%error, "a model exchange was not recorded");
        }
        result
    }
}
