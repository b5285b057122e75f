//! Asking the model: live deltas out, one whole answer in, another model when the first stays away.
//!
//! A change to a fallback holds for the rest of the run: going back would pay for the whole prompt
//! again at each swing.

use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::agent::{AgentEnd, AgentModel, Journal, Record, TOOL_SPECS};
use crate::model::transcript::Transcript;
use crate::model::{Answer, Delta, ModelError, ModelRequest};
use crate::secret::{MaskedPiece, MaskedStream, Redactor};
use crate::task::budget::Exhausted;
use crate::task::event::{EventPayload, LivePayload};

/// The models of a Task, in the order in which they are tried.
pub(super) struct ModelLine {
    models: Vec<AgentModel>,
    current: usize,
    system: String,
    redactor: Arc<Redactor>,
}

/// What asking gave.
pub(super) enum Asked {
    /// A whole answer.
    Answer(Answer),
    /// The conversation does not fit.
    TooLong(ModelError),
}

/// What a question is asked under.
pub(super) struct Question<'a> {
    pub(super) journal: &'a dyn Journal,
    pub(super) cancel: &'a CancellationToken,
    /// When the agent's time is over.
    pub(super) deadline: Option<Instant>,
    /// The turn whose message is shown while it is written; nothing is shown when `None`.
    pub(super) shown_turn: Option<u32>,
}

impl ModelLine {
    pub(super) fn new(first: AgentModel, fallbacks: Vec<AgentModel>, system: String, redactor: Arc<Redactor>) -> Self {
        let models = std::iter::once(first).chain(fallbacks).collect();
        Self {
            models,
            current: 0,
            system,
            redactor,
        }
    }

    /// Returns the model that is asked now.
    pub(super) fn current(&self) -> Option<&AgentModel> {
        self.models.get(self.current)
    }

    pub(super) fn system(&self) -> &str {
        &self.system
    }

    /// Asks until there is an answer, no model is left, or the time is over.
    pub(super) async fn ask(
        &mut self,
        transcript: &mut Transcript,
        question: &Question<'_>,
    ) -> Result<Asked, AgentEnd> {
        loop {
            let Some(model) = self.models.get(self.current) else {
                let message = "no model is configured".to_owned();
                return Err(AgentEnd::Model(ModelError::Rejected { message }));
            };
            let error = match self.ask_one(model, transcript, question).await? {
                Ok(answer) => return Ok(Asked::Answer(answer)),
                Err(error @ ModelError::ContextTooLong { .. }) => return Ok(Asked::TooLong(error)),
                Err(error) => error,
            };
            let Some(next) = self.models.get(self.current + 1).filter(|_| another_may_help(&error)) else {
                return Err(AgentEnd::Model(error));
            };
            let message = format!(
                "{} can't go on ({error}); {} takes over",
                model.full_name(),
                next.full_name()
            );
            let message = self.redactor.mask(&message).into_owned();
            let record = Record {
                events: vec![EventPayload::Warning { message }],
                ..Record::default()
            };
            question.journal.record(record).await.map_err(AgentEnd::Journal)?;
            self.current += 1;
        }
    }

    async fn ask_one(
        &self,
        model: &AgentModel,
        transcript: &mut Transcript,
        question: &Question<'_>,
    ) -> Result<Result<Answer, ModelError>, AgentEnd> {
        let mut view = DeltaView::new(question, self.redactor.clone());
        let mut on_delta = |delta: Delta| view.take(delta);
        let request = ModelRequest {
            model: &model.name,
            system: &self.system,
            tools: &TOOL_SPECS,
            transcript,
            max_output_tokens: model.max_output_tokens,
        };
        let answer = tokio::select! {
            biased;
            () = question.cancel.cancelled() => return Err(AgentEnd::Cancelled),
            () = until(question.deadline) => return Err(AgentEnd::Exhausted(Exhausted::Time)),
            answer = model.provider.answer(request, &mut on_delta) => answer,
        };
        if answer.is_ok() {
            view.finish();
        }
        Ok(answer)
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Whether another model may answer what this one did not.
fn another_may_help(error: &ModelError) -> bool {
    match error {
        ModelError::RateLimited { .. }
        | ModelError::Overloaded { .. }
        | ModelError::SpendingCap { .. }
        | ModelError::Authentication { .. }
        | ModelError::Protocol { .. }
        | ModelError::Truncated
        | ModelError::Transport { .. } => true,
        ModelError::ContextTooLong { .. } | ModelError::Refused { .. } | ModelError::Rejected { .. } => false,
    }
}

/// Shows a message while it is written, masked.
struct DeltaView<'a> {
    question: &'a Question<'a>,
    stream: MaskedStream,
    received_bytes: u64,
    attempt: u32,
}

impl<'a> DeltaView<'a> {
    fn new(question: &'a Question<'a>, redactor: Arc<Redactor>) -> Self {
        Self {
            question,
            stream: MaskedStream::new(redactor),
            received_bytes: 0,
            attempt: 1,
        }
    }

    fn take(&mut self, delta: Delta) {
        let Delta::Text(text) = delta else {
            return;
        };
        let pieces = self.stream.push(self.received_bytes, text.as_bytes());
        self.received_bytes += text.len() as u64;
        for piece in pieces {
            self.send(piece);
        }
    }

    fn finish(&mut self) {
        if let Some(piece) = self.stream.finish() {
            self.send(piece);
        }
    }

    fn send(&self, piece: MaskedPiece) {
        if let Some(turn) = self.question.shown_turn {
            self.question.journal.live(LivePayload::AssistantDelta {
                turn,
                text: String::from_utf8_lossy(&piece.data).into_owned(),
                offset: piece.offset,
                attempt: self.attempt,
            });
        }
    }
}
