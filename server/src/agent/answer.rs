//! Asking the model: live deltas out, one whole answer in, another model when the first stays away.
//!
//! A change to a fallback holds for the rest of the run: going back would pay for the whole prompt
//! again at each swing.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::agent::{AgentEnd, Editing, Journal, JournalError, Record, tool_specs};
use crate::model::catalog::ResolvedModel;
use crate::model::retry::{
    AnswerError, AnswerObserver, GoOn, RetryBudget, RetryPolicy, ScheduledRetry, answer_with_retry,
};
use crate::model::transcript::Transcript;
use crate::model::{Answer, Delta, ModelError, ModelRequest};
use crate::secret::{MaskedPiece, MaskedStream, Redactor};
use crate::task::budget::Exhausted;
use crate::task::event::{EventPayload, LivePayload};

/// The models of a Task, in the order in which they are tried.
pub(super) struct ModelLine {
    pub(super) models: Vec<ResolvedModel>,
    pub(super) current: usize,
    pub(super) system: String,
    pub(super) redactor: Arc<Redactor>,
    pub(super) retry_policy: RetryPolicy,
    pub(super) retry_budget: RetryBudget,
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
    /// Returns the model that is asked now.
    pub(super) fn current(&self) -> Option<&ResolvedModel> {
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
        let mut view = DeltaView::new(question, self.redactor.clone());
        loop {
            let Some(model) = self.models.get(self.current) else {
                let message = "no model is configured".to_owned();
                return Err(AgentEnd::Model(ModelError::Rejected { message }));
            };
            let error = match self.ask_one(model, transcript, question, &mut view).await? {
                Ok(answer) => return Ok(Asked::Answer(answer)),
                Err(error @ ModelError::ContextTooLong { .. }) => return Ok(Asked::TooLong(error)),
                Err(error) => error,
            };
            let Some(next) = self.models.get(self.current + 1).filter(|_| another_may_help(&error)) else {
                return Err(AgentEnd::Model(error));
            };
            let message = format!("{} can't go on ({error}); {} takes over", model.name, next.name);
            let message = self.redactor.mask(&message).into_owned();
            let record = Record {
                events: vec![EventPayload::Warning { message }],
                ..Record::default()
            };
            question.journal.record(record).await.map_err(AgentEnd::Journal)?;
            view.start_anew();
            self.current += 1;
        }
    }

    async fn ask_one(
        &self,
        model: &ResolvedModel,
        transcript: &mut Transcript,
        question: &Question<'_>,
        view: &mut DeltaView<'_>,
    ) -> Result<Result<Answer, ModelError>, AgentEnd> {
        let editing = if model.applies_patch {
            Editing::Patch
        } else {
            Editing::Exact
        };
        let request = ModelRequest {
            model: &model.model,
            system: &self.system,
            tools: tool_specs(editing),
            transcript,
            max_output_tokens: None,
        };
        let provider = model.provider.as_ref();
        let (policy, budget) = (&self.retry_policy, &self.retry_budget);
        let span = chat_span(model);
        let answering =
            answer_with_retry(provider, request, policy, budget, question.cancel, view).instrument(span.clone());
        let answer = tokio::select! {
            biased;
            () = until(question.deadline) => return Err(AgentEnd::Exhausted(Exhausted::Time)),
            answer = answering => answer,
        };
        match answer {
            Ok(answer) => {
                let usage = &answer.usage;
                let input = usage.input_uncached + usage.cache_read + usage.cache_write;
                span.record("gen_ai.usage.input_tokens", input);
                span.record("gen_ai.usage.output_tokens", usage.output);
                view.finish();
                Ok(Ok(answer))
            }
            Err(AnswerError::Model { error, .. }) => Ok(Err(error)),
            Err(AnswerError::Cancelled) => Err(AgentEnd::Cancelled),
            Err(AnswerError::GivenUp) => Err(match view.failure.take() {
                Some(failure) => AgentEnd::Journal(failure),
                None => AgentEnd::Cancelled,
            }),
        }
    }
}

/// Opens the span of a request, with the words of
/// <https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/>; what is said is in none of them.
fn chat_span(model: &ResolvedModel) -> tracing::Span {
    tracing::info_span!(
        "chat",
        otel.name = format!("chat {}", model.model),
        otel.kind = "client",
        gen_ai.operation.name = "chat",
        gen_ai.request.model = model.model,
        gen_ai.usage.input_tokens = tracing::field::Empty,
        gen_ai.usage.output_tokens = tracing::field::Empty,
    )
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

/// Shows a message while it is written, masked, and records the tries that failed.
struct DeltaView<'a> {
    question: &'a Question<'a>,
    redactor: Arc<Redactor>,
    stream: MaskedStream,
    received_bytes: u64,
    attempt: u32,
    failure: Option<JournalError>,
}

impl<'a> DeltaView<'a> {
    fn new(question: &'a Question<'a>, redactor: Arc<Redactor>) -> Self {
        Self {
            question,
            stream: MaskedStream::new(redactor.clone()),
            redactor,
            received_bytes: 0,
            attempt: 1,
            failure: None,
        }
    }

    /// Voids what was shown: another try begins.
    fn start_anew(&mut self) {
        self.stream = MaskedStream::new(self.redactor.clone());
        self.received_bytes = 0;
        self.attempt += 1;
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

#[async_trait]
impl AnswerObserver for DeltaView<'_> {
    fn delta(&mut self, delta: Delta) {
        let Delta::Text(text) = delta else {
            return;
        };
        let pieces = self.stream.push(self.received_bytes, text.as_bytes());
        self.received_bytes += text.len() as u64;
        for piece in pieces {
            self.send(piece);
        }
    }

    async fn retry_scheduled(&mut self, retry: ScheduledRetry) -> GoOn {
        self.start_anew();
        let event = EventPayload::RetryScheduled {
            component: "model".into(),
            attempt: retry.attempt,
            delay: retry.delay,
            message: self.redactor.mask(&retry.message).into_owned(),
        };
        let record = Record {
            events: vec![event],
            ..Record::default()
        };
        match self.question.journal.record(record).await {
            Ok(()) => GoOn::Yes,
            Err(failure) => {
                self.failure = Some(failure);
                GoOn::No
            }
        }
    }
}
