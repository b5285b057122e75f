//! A journal in memory, and a stage that holds everything around one agent. Journal and sandbox write
//! into one diary, so that a test can tell what came before what.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

pub(super) use super::memory_sandbox::{MemorySandbox, sandbox};
pub(super) use super::scripted_model::{Move, ScriptedModel, answer, call, finish, say};
use crate::agent::{Agent, AgentConfig, AgentEnd, AgentParts, Journal, JournalError, Record, prompt};
use crate::model::Item;
use crate::model::retry::{RetryBudget, RetryPolicy};
use crate::model::transcript::Transcript;
use crate::sandbox::Spill;
use crate::secret::{Redactor, Secret};
use crate::task::budget::{AgentBudget, Limits, Usage};
use crate::task::event::{EventPayload, LivePayload, ToolOutcome};
use crate::task::id::{ArtifactId, CallId};

pub(super) const SECRET: &str = "s3cr3t-value-of-the-server-0123456789";

/// What happened, in order.
pub(super) type Diary = Arc<Mutex<Vec<String>>>;

#[derive(Default)]
pub(super) struct MemoryJournal {
    diary: Diary,
    pub(super) records: Mutex<Vec<Record>>,
    pub(super) live: Mutex<Vec<LivePayload>>,
    pub(super) messages: Mutex<Vec<String>>,
    pub(super) kept: Mutex<Vec<String>>,
}

impl MemoryJournal {
    pub(super) fn events(&self) -> Vec<EventPayload> {
        self.records
            .lock()
            .unwrap()
            .iter()
            .flat_map(|record| record.events.clone())
            .collect()
    }

    /// The conversation as a later run would find it.
    pub(super) fn items(&self) -> Vec<Item> {
        let mut items = vec![first_item()];
        for record in self.records.lock().unwrap().iter() {
            if record.replaces_conversation {
                items.clear();
            }
            items.extend(record.items.iter().cloned());
        }
        items
    }

    /// Ends of calls, as `id outcome output`.
    pub(super) fn ends(&self) -> Vec<(String, ToolOutcome, String)> {
        let ends = self.events().into_iter().filter_map(|event| match event {
            EventPayload::ToolCallFinished {
                call_id,
                outcome,
                output,
                ..
            } => Some((call_id.to_string(), outcome, output.text)),
            _ => None,
        });
        ends.collect()
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn record(&self, record: Record) -> Result<(), JournalError> {
        let kinds: Vec<&str> = record.items.iter().map(kind).collect();
        let turn = record
            .finished_turn
            .map_or_else(String::new, |turn| format!(" end of turn {turn}"));
        self.diary
            .lock()
            .unwrap()
            .push(format!("record {}{turn}", kinds.join("+")));
        self.records.lock().unwrap().push(record);
        Ok(())
    }

    fn live(&self, payload: LivePayload) {
        self.live.lock().unwrap().push(payload);
    }

    async fn messages(&self) -> Result<Vec<String>, JournalError> {
        Ok(std::mem::take(&mut self.messages.lock().unwrap()))
    }

    async fn keep_output(&self, call: &CallId, spill: &Spill) -> Result<ArtifactId, JournalError> {
        self.kept.lock().unwrap().push(spill.path.clone());
        Ok(ArtifactId::new(format!("output-{call}")))
    }

    async fn keep_text(&self, call: &CallId, text: &str) -> Result<ArtifactId, JournalError> {
        self.kept.lock().unwrap().push(text.to_owned());
        Ok(ArtifactId::new(format!("text-{call}")))
    }
}

fn kind(item: &Item) -> &'static str {
    match item {
        Item::User { .. } => "user",
        Item::Assistant(_) => "assistant",
        Item::ToolResults { .. } => "results",
    }
}

pub(super) fn first_item() -> Item {
    Item::User {
        text: "do the task".into(),
    }
}

/// Everything around one agent.
pub(super) struct Stage {
    pub(super) diary: Diary,
    pub(super) model: Arc<ScriptedModel>,
    pub(super) sandbox: Arc<MemorySandbox>,
    pub(super) journal: MemoryJournal,
    pub(super) cancel: CancellationToken,
}

impl Stage {
    pub(super) fn new(moves: Vec<Move>) -> Self {
        let diary = Diary::default();
        Self {
            model: ScriptedModel::new("test", moves),
            sandbox: sandbox(&diary),
            journal: MemoryJournal {
                diary: diary.clone(),
                ..MemoryJournal::default()
            },
            cancel: CancellationToken::new(),
            diary,
        }
    }

    pub(super) fn parts(&self) -> AgentParts {
        AgentParts {
            config: AgentConfig::default(),
            model: self.model.model(),
            fallbacks: Vec::new(),
            retry_policy: RetryPolicy::default(),
            retry_budget: RetryBudget::default(),
            sandbox: self.sandbox.clone(),
            system: prompt::system().into(),
            transcript: Transcript::new(vec![first_item()]),
            budget: AgentBudget::new(Limits::default(), Duration::ZERO),
            usage: Usage {
                cost_micro_usd: Some(0),
                ..Usage::default()
            },
            elapsed: Duration::ZERO,
            redactor: Arc::new(Redactor::new([Secret::new(SECRET)])),
            turn: 1,
        }
    }

    pub(super) async fn run(&self) -> AgentEnd {
        self.run_parts(self.parts()).await
    }

    pub(super) async fn run_parts(&self, parts: AgentParts) -> AgentEnd {
        Agent::new(parts).run(&self.journal, &self.cancel).await
    }

    pub(super) fn diary(&self) -> Vec<String> {
        self.diary.lock().unwrap().clone()
    }
}

/// The summary of a finished run; panics on any other end.
pub(super) fn summary(end: AgentEnd) -> String {
    match end {
        AgentEnd::Finished { summary } => summary,
        other => panic!("the run ended otherwise: {other:?}"),
    }
}
