//! Writing recordings.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::model::replay::{Exchange, Outcome, fixed_fingerprint};
use crate::model::{Answer, Delta, Item, ModelError, ModelProvider, ModelRequest};
use crate::secret::Secret;

/// Writes the exchanges of one Task. Clones write to the same place.
#[derive(Clone)]
pub struct Recorder(Arc<Mutex<State>>);

struct State {
    out: Box<dyn Write + Send>,
    secrets: Vec<Secret>,
    /// The conversation as of the last exchange; compared by length, because items are only added
    /// until all are replaced.
    seen_items: usize,
    seen_first: Option<String>,
    /// The answer to it, which need not be written again when it becomes an item.
    seen_answer: Option<String>,
}

/// How often a text may be quoted inside quoted text: arguments of a call inside a line of JSON are twice.
const QUOTING_DEPTH: usize = 4;

impl Recorder {
    /// Makes a recorder that masks `secrets` in what it writes.
    pub fn new(out: Box<dyn Write + Send>, secrets: Vec<Secret>) -> Self {
        Self(Arc::new(Mutex::new(State {
            out,
            secrets,
            seen_items: 0,
            seen_first: None,
            seen_answer: None,
        })))
    }

    fn write(&self, model: String, fixed: String, items: &[Item], outcome: Outcome) -> std::io::Result<()> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = items
            .first()
            .map(|item| serde_json::to_string(item).unwrap_or_default());
        let goes_on = first == state.seen_first && items.len() >= state.seen_items;
        let mut kept_items = if goes_on { state.seen_items } else { 0 };
        if let (true, Some(Item::Assistant(answer))) = (goes_on, items.get(kept_items))
            && state.seen_answer.is_some()
            && serde_json::to_string(answer).ok() == state.seen_answer
        {
            kept_items += 1;
        }
        let exchange = Exchange {
            model,
            fixed,
            kept_items,
            new_items: items.get(kept_items..).unwrap_or_default().to_vec(),
            outcome,
        };
        let mut line = serde_json::to_string(&exchange)?;
        for secret in &state.secrets {
            mask(&mut line, secret.expose())?;
        }
        state.seen_answer = match &exchange.outcome {
            Outcome::Answer(answer) => Some(serde_json::to_string(answer)?),
            Outcome::Failed(_) => None,
        };
        line.push('\n');
        state.seen_items = items.len();
        state.seen_first = first;
        state.out.write_all(line.as_bytes())?;
        state.out.flush()
    }
}

/// Masks a secret however often it was quoted.
fn mask(line: &mut String, secret: &str) -> std::io::Result<()> {
    let mut quoted = secret.to_owned();
    let mut forms = Vec::new();
    for _ in 0..QUOTING_DEPTH {
        let outer = serde_json::to_string(&quoted)?;
        outer
            .get(1..outer.len().saturating_sub(1))
            .unwrap_or_default()
            .clone_into(&mut quoted);
        forms.push(quoted.clone());
    }
    // The longest first: the shorter may be parts of it.
    for form in forms.iter().rev().filter(|form| !form.is_empty()) {
        *line = line.replace(form.as_str(), "[secret]");
    }
    Ok(())
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
            Err(error) => Outcome::Failed(error.to_string()),
        };
        let full_model = format!("{}/{model}", self.inner.name());
        let fixed = fixed_fingerprint(system, tools);
        // A recording is for looking back; a full disk must not end the Task.
        if let Err(error) = self.recorder.write(full_model, fixed, transcript.items(), outcome) {
            tracing::warn!(%error, "a model exchange was not recorded");
        }
        result
    }
}
