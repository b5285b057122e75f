//! The agent: turns of one model request and the tool calls of its answer.
//!
//! It knows a model and a sandbox. What it does is written down through `Journal`, which the
//! orchestrator gives it: nothing is executed before the record of it is durable, and nothing of
//! Tasks, stores or forges is known here.

use async_trait::async_trait;

use crate::model::Item;
use crate::sandbox::Spill;
use crate::task::budget::Exhausted;
use crate::task::event::{EventPayload, LivePayload};
use crate::task::id::{ArtifactId, CallId};

mod answer;
mod calls;
mod compaction;
mod config;
mod context;
mod conversation;
mod digest;
mod driver;
pub mod prompt;
mod repetition;
mod spend;
mod tool;

pub use config::AgentConfig;
pub use driver::{Agent, AgentParts};
pub use tool::{Editing, specs as tool_specs};

/// How the agent's work ended.
#[derive(Debug)]
pub enum AgentEnd {
    /// The model says it is done.
    Finished {
        /// Its account of the change, in Markdown.
        summary: String,
    },
    /// A limit was reached.
    Exhausted(Exhausted),
    /// The model repeats itself or does nothing, also after a reminder.
    NoProgress {
        /// What was seen, for a person.
        message: String,
    },
    /// The model can't go on.
    Model(crate::model::ModelError),
    /// The sandbox was lost; the work tree must be restored before another try.
    Sandbox(crate::sandbox::SandboxError),
    /// The Task is to stop.
    Cancelled,
    /// Writing the record failed; the run must end at once.
    Journal(JournalError),
}

/// What the agent writes down in one transaction.
#[derive(Debug, Default)]
pub struct Record {
    /// Events, in order.
    pub events: Vec<EventPayload>,
    /// Items added to the conversation. The results of one answer may come in several `ToolResults`; they
    /// are joined when the conversation is restored.
    pub items: Vec<Item>,
    /// `Some` when these items replace the whole conversation (compaction).
    pub replaces_conversation: bool,
    /// The turn that is now finished, if one is.
    pub finished_turn: Option<u32>,
}

/// The record could not be written: the store failed, or the run lost its lease.
#[derive(Debug, thiserror::Error)]
#[error("the record of the run can't be written")]
pub struct JournalError {
    /// What the store said.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Where the agent's doings are written down.
///
/// Implementations promise: `record` returns after the record is durable; live payloads are shown
/// after all records before them.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Writes a record.
    async fn record(&self, record: Record) -> Result<(), JournalError>;

    /// Shows something live; it may be dropped.
    fn live(&self, payload: LivePayload);

    /// Returns messages from people that were not yet given to the model; marked as read by the next record.
    async fn messages(&self) -> Result<Vec<String>, JournalError>;

    /// Keeps the whole of a long output as an artifact and returns its id.
    async fn keep_output(&self, call: &CallId, spill: &Spill) -> Result<ArtifactId, JournalError>;

    /// Keeps a long text as an artifact and returns its id.
    async fn keep_text(&self, call: &CallId, text: &str) -> Result<ArtifactId, JournalError>;
}

#[cfg(test)]
mod tests;
