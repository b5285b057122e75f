//! The turn loop.
//!
//! Before anything runs, the answer that asked for it is durable; what had begun when a server died is
//! told to the model and never run again. Every state of the loop follows from the recorded items, so
//! a restored agent goes on as the lost one would have. It waits for the model and for commands, and
//! for nobody else.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::agent::answer::{Asked, ModelLine, Question};
use crate::agent::calls::{Permission, prepare};
use crate::agent::conversation::{self, Touched};
use crate::agent::repetition::{Repetition, Suspicion};
use crate::agent::spend::add_request;
use crate::agent::tool::Shell;
use crate::agent::{AgentConfig, AgentEnd, Journal, JournalError, Record, context, prompt};
use crate::model::catalog::ResolvedModel;
use crate::model::retry::{RetryBudget, RetryPolicy};
use crate::model::transcript::Transcript;
use crate::model::{Answer, Item, ModelError, StopReason};
use crate::sandbox::Sandbox;
use crate::secret::Redactor;
use crate::task::budget::{AgentBudget, Usage};
use crate::task::event::{CutText, EventPayload, ToolOutcome};

/// Empty answers in a row that end the work; each one before brings a reminder.
const MAX_EMPTY_ANSWERS: u32 = 3;

/// The model is warned when this part of a limit is used: 17 of 20.
const WARN_NUMERATOR: u32 = 17;
const WARN_DENOMINATOR: u32 = 20;

/// What an agent is made of.
pub struct AgentParts {
    /// Settings.
    pub config: AgentConfig,
    /// The model to ask.
    pub model: ResolvedModel,
    /// Models to go on with when it stays unavailable, in order.
    pub fallbacks: Vec<ResolvedModel>,
    /// How requests are tried again.
    pub retry_policy: RetryPolicy,
    /// What all Tasks together may spend on that.
    pub retry_budget: RetryBudget,
    /// Where its tools run.
    pub sandbox: Arc<dyn Sandbox>,
    /// The system prompt; `prompt::system()`.
    pub system: String,
    /// The conversation so far; a new Task's holds one item, `prompt::task(…)`, which the caller has recorded.
    pub transcript: Transcript,
    /// What it may spend.
    pub budget: AgentBudget,
    /// What the Task has spent so far.
    pub usage: Usage,
    /// Wall time used before now; the agent's clock runs on from `Agent::new`.
    pub elapsed: Duration,
    /// Masks what is shown.
    pub redactor: Arc<Redactor>,
    /// The first turn that is not finished: 1 for a new Task.
    pub turn: u32,
}

/// An agent at work on one Task.
pub struct Agent {
    pub(super) config: AgentConfig,
    pub(super) line: ModelLine,
    pub(super) sandbox: Arc<dyn Sandbox>,
    pub(super) shell: Shell,
    pub(super) transcript: Transcript,
    pub(super) partial_results: Vec<crate::model::ToolResult>,
    pub(super) usage: Usage,
    pub(super) redactor: Arc<Redactor>,
    pub(super) turn: u32,
    pub(super) touched: Touched,
    pub(super) repetition: Repetition,
    pub(super) answered_since_compaction: bool,
    budget: AgentBudget,
    elapsed_before: Duration,
    started: Instant,
    empty_answers: u32,
    was_reminded_to_finish: bool,
    was_warned: bool,
}

impl Agent {
    /// Makes an agent; its clock starts now.
    pub fn new(parts: AgentParts) -> Self {
        let restored = conversation::restore(parts.transcript.items());
        let touched = Touched::collect(&restored.items);
        Self {
            config: parts.config,
            line: ModelLine {
                models: std::iter::once(parts.model).chain(parts.fallbacks).collect(),
                current: 0,
                system: parts.system,
                redactor: parts.redactor.clone(),
                retry_policy: parts.retry_policy,
                retry_budget: parts.retry_budget,
            },
            sandbox: parts.sandbox,
            shell: Shell::default(),
            transcript: Transcript::new(restored.items),
            partial_results: restored.partial_results,
            usage: parts.usage,
            redactor: parts.redactor,
            turn: parts.turn,
            touched,
            repetition: Repetition::default(),
            answered_since_compaction: true,
            budget: parts.budget,
            elapsed_before: parts.elapsed,
            started: Instant::now(),
            empty_answers: 0,
            was_reminded_to_finish: false,
            was_warned: false,
        }
    }

    /// Works until the model is done or something ends it. May be called again, e.g. after `tell`.
    ///
    /// Dropping the future kills what runs and records nothing more: to the next run it is as after a crash.
    pub async fn run(&mut self, journal: &dyn Journal, cancel: &CancellationToken) -> AgentEnd {
        if let Err(end) = self.settle_open_calls(ToolOutcome::Interrupted, journal).await {
            return end;
        }
        loop {
            if let Err(end) = self.begin_turn(journal, cancel).await {
                return end;
            }
            let span = tracing::info_span!("turn", turn.number = self.turn);
            match self.step(journal, cancel).instrument(span).await {
                Ok(None) => {}
                Ok(Some(end)) | Err(end) => return end,
            }
        }
    }

    /// Adds a message of the orchestrator's to the conversation: red checks, a restored work tree.
    pub async fn tell(&mut self, text: String, journal: &dyn Journal) -> Result<(), JournalError> {
        // A message must not come between calls and their results.
        if let Err(AgentEnd::Journal(error)) = self.settle_open_calls(ToolOutcome::Interrupted, journal).await {
            return Err(error);
        }
        self.add(vec![Item::User { text }], journal).await
    }

    /// Puts another sandbox in place of one that was lost.
    pub fn replace_sandbox(&mut self, sandbox: Arc<dyn Sandbox>) {
        self.sandbox = sandbox;
        self.shell = Shell::default();
    }

    /// Returns what the Task has spent so far.
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// Returns the first turn that is not finished.
    pub fn turn(&self) -> u32 {
        self.turn
    }

    /// Returns the wall time used so far, earlier runs included.
    pub fn elapsed(&self) -> Duration {
        self.elapsed_before + self.started.elapsed()
    }

    /// Returns what is left of the agent's time.
    pub(super) fn remaining(&self) -> Duration {
        self.budget.time().saturating_sub(self.elapsed())
    }

    /// Reads what people said, and ends the work where there is to be no further turn.
    async fn begin_turn(&mut self, journal: &dyn Journal, cancel: &CancellationToken) -> Result<(), AgentEnd> {
        if cancel.is_cancelled() {
            return Err(AgentEnd::Cancelled);
        }
        self.hear(journal).await.map_err(AgentEnd::Journal)?;
        if let Some(summary) = conversation::finished(self.transcript.items()) {
            let summary = self.redactor.mask(&summary).into_owned();
            return Err(AgentEnd::Finished { summary });
        }
        if let Some(exhausted) = self.budget.exhausted(&self.usage, self.elapsed()) {
            return Err(AgentEnd::Exhausted(exhausted));
        }
        self.warn_near_the_limit(journal).await.map_err(AgentEnd::Journal)
    }

    async fn step(&mut self, journal: &dyn Journal, cancel: &CancellationToken) -> Result<Option<AgentEnd>, AgentEnd> {
        let deadline = self
            .started
            .checked_add(self.budget.time().saturating_sub(self.elapsed_before));
        let silent = Question {
            journal,
            cancel,
            deadline,
            shown_turn: None,
        };
        if self.answered_since_compaction && self.is_nearly_full() {
            self.compact(&silent).await?;
        }
        let question = Question {
            shown_turn: Some(self.turn),
            ..silent
        };
        match self.line.ask(&mut self.transcript, &question).await? {
            Asked::Answer(answer) => self.take(answer, journal, cancel).await,
            Asked::TooLong(error) if !self.answered_since_compaction => Ok(Some(AgentEnd::Model(error))),
            Asked::TooLong(_) => {
                self.compact(&Question {
                    shown_turn: None,
                    ..question
                })
                .await?;
                Ok(None)
            }
        }
    }

    /// Takes in messages from people.
    async fn hear(&mut self, journal: &dyn Journal) -> Result<(), JournalError> {
        let messages = journal.messages().await?;
        if messages.is_empty() {
            return Ok(());
        }
        let items = messages
            .iter()
            .map(|text| Item::User {
                text: prompt::message(text),
            })
            .collect();
        self.was_reminded_to_finish = false;
        self.add(items, journal).await
    }

    async fn add(&mut self, items: Vec<Item>, journal: &dyn Journal) -> Result<(), JournalError> {
        journal
            .record(Record {
                items: items.clone(),
                ..Record::default()
            })
            .await?;
        for item in items {
            self.transcript.push(item);
        }
        Ok(())
    }

    /// Tells the model once that little is left, so that what is kept is worth keeping.
    async fn warn_near_the_limit(&mut self, journal: &dyn Journal) -> Result<(), JournalError> {
        let grow = |number: u64| number.saturating_mul(WARN_DENOMINATOR.into()) / u64::from(WARN_NUMERATOR);
        let later = Usage {
            input_tokens: grow(self.usage.input_tokens),
            cached_input_tokens: grow(self.usage.cached_input_tokens),
            output_tokens: grow(self.usage.output_tokens),
            turns: self.usage.turns.saturating_mul(WARN_DENOMINATOR) / WARN_NUMERATOR,
            cost_micro_usd: self.usage.cost_micro_usd.map(grow),
            ..self.usage
        };
        let elapsed = self.elapsed() * WARN_DENOMINATOR / WARN_NUMERATOR;
        if self.was_warned || self.budget.exhausted(&later, elapsed).is_none() {
            return Ok(());
        }
        self.was_warned = true;
        self.add(
            vec![Item::User {
                text: prompt::REMINDER_LIMIT.to_owned(),
            }],
            journal,
        )
        .await
    }

    fn is_nearly_full(&self) -> bool {
        let Some(model) = self.line.current() else {
            return false;
        };
        let limit = model.window_tokens / 100 * self.config.compaction_percent;
        context::tokens(self.line.system(), self.transcript.items()) >= limit
    }

    /// Records an answer and does what it asks for.
    async fn take(
        &mut self,
        answer: Answer,
        journal: &dyn Journal,
        cancel: &CancellationToken,
    ) -> Result<Option<AgentEnd>, AgentEnd> {
        self.answered_since_compaction = true;
        let price = self.line.current().and_then(|model| model.price);
        add_request(&mut self.usage, &answer.usage, price.as_ref());
        self.usage.turns += 1;
        if answer.tool_calls.is_empty() {
            return self.take_text(answer, journal).await;
        }
        self.empty_answers = 0;
        self.was_reminded_to_finish = false;
        let permission = match answer.stop {
            StopReason::ToolUse | StopReason::EndTurn => Permission::AtMost(self.config.max_calls_per_turn),
            StopReason::MaxTokens | StopReason::Pause | StopReason::Refusal => Permission::AnswerWasCut,
        };
        let prepared = prepare(&answer.tool_calls, self.turn, permission);
        let mut events = self.answer_events(&answer);
        events.extend(prepared.iter().map(|prepared| self.started(prepared)));
        let record = Record {
            events,
            items: vec![Item::Assistant(answer.clone())],
            ..Record::default()
        };
        journal.record(record).await.map_err(AgentEnd::Journal)?;
        self.transcript.push(Item::Assistant(answer));
        match self.run_calls(&prepared, journal, cancel).await? {
            Suspicion::None | Suspicion::Remind => Ok(None),
            Suspicion::GiveUp => Ok(Some(AgentEnd::NoProgress {
                message: "the model repeated the same calls with the same results, also after reminders".into(),
            })),
        }
    }

    /// Takes an answer without calls: the turn ends with it.
    async fn take_text(&mut self, answer: Answer, journal: &dyn Journal) -> Result<Option<AgentEnd>, AgentEnd> {
        let is_empty = answer.text.trim().is_empty();
        self.empty_answers = if is_empty && answer.stop != StopReason::Pause {
            self.empty_answers + 1
        } else {
            0
        };
        let mut end = None;
        let reminder = match answer.stop {
            StopReason::Pause => None,
            StopReason::Refusal => {
                let message = self.redactor.mask(&answer.text).into_owned();
                end = Some(AgentEnd::Model(ModelError::Refused { message }));
                None
            }
            _ if self.empty_answers >= MAX_EMPTY_ANSWERS => {
                let message = format!("the model gave {MAX_EMPTY_ANSWERS} empty answers in a row");
                end = Some(AgentEnd::NoProgress { message });
                None
            }
            StopReason::MaxTokens => Some(prompt::REMINDER_CUT),
            StopReason::EndTurn | StopReason::ToolUse if is_empty => Some(prompt::REMINDER_EMPTY),
            // A text after changes is an end. Before any, it may be a question or an announcement: say once that
            // nobody answers, and then believe it.
            StopReason::EndTurn | StopReason::ToolUse => {
                let believed = !self.touched.changed.is_empty() || self.was_reminded_to_finish;
                self.was_reminded_to_finish = true;
                (!believed).then_some(prompt::REMINDER_NO_CALL)
            }
        };
        let events = self.answer_events(&answer);
        // Providers refuse an empty answer when it is sent back, so it does not enter the conversation.
        let keeps_answer = !is_empty || answer.stop == StopReason::Pause;
        let mut items: Vec<Item> = Vec::new();
        if keeps_answer {
            items.push(Item::Assistant(answer));
        }
        items.extend(reminder.map(|text| Item::User { text: text.to_owned() }));
        let record = Record {
            events,
            items: items.clone(),
            replaces_conversation: false,
            finished_turn: Some(self.turn),
        };
        journal.record(record).await.map_err(AgentEnd::Journal)?;
        self.end_turn();
        for item in items {
            self.transcript.push(item);
        }
        Ok(end)
    }

    /// Counts a turn whose end is on disk.
    pub(super) fn end_turn(&mut self) {
        let usage = &self.usage;
        let (input_tokens, output_tokens) = (usage.input_tokens, usage.output_tokens);
        tracing::info!(input_tokens, output_tokens, "turn finished");
        self.turn += 1;
    }

    fn answer_events(&self, answer: &Answer) -> Vec<EventPayload> {
        let mut events = Vec::new();
        if !answer.text.trim().is_empty() {
            events.push(EventPayload::AssistantMessage {
                turn: self.turn,
                text: CutText::new(self.redactor.mask(&answer.text)),
                model: answer.model.clone(),
            });
        }
        events.push(EventPayload::UsageUpdated { usage: self.usage });
        events
    }
}
