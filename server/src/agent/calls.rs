//! Running the calls of one answer and writing down how each ended.
//!
//! Calls run one after the other; neighbours that only read run together. A call that took long is
//! recorded at once when others follow it, so that people see it and a crash can't lose it; else all
//! of a turn's ends share one durable record. Results are a prefix of the calls at every moment.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::agent::conversation::open_calls;
use crate::agent::driver::Agent;
use crate::agent::repetition::{Effect, Suspicion};
use crate::agent::tool::{Call, Reply, ToolContext, ToolError};
use crate::agent::{AgentEnd, Journal, JournalError, Record, prompt};
use crate::model::{Item, ToolCall, ToolResult};
use crate::sandbox::SandboxError;
use crate::task::event::{CutText, EventPayload, LivePayload, MAX_EVENT_TEXT_BYTES, ToolOutcome};
use crate::task::id::CallId;
use crate::task::text_cut::head;

/// A call that took this long is recorded before the next one begins.
const RECORD_AT_ONCE: Duration = Duration::from_millis(500);

/// Characters of a tool's name that are shown; a model may make up any.
const MAX_NAME_CHARS: usize = 64;

/// A call of the answer at hand.
pub(super) struct Prepared {
    call_id: CallId,
    provider_id: String,
    tool: String,
    arguments: String,
    call: Result<Call, String>,
}

/// A call that ended, not yet recorded.
struct Ended {
    events: Vec<EventPayload>,
    result: ToolResult,
}

/// Returns the id of a call in events: unique in a Task even where a provider repeats its own.
fn call_id(turn: u32, index: usize) -> CallId {
    CallId::new(format!("t{turn}.{}", index + 1))
}

/// Which calls of an answer may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Permission {
    /// The first so many.
    AtMost(usize),
    /// None: the answer was cut, so that any call may be half of what was meant.
    AnswerWasCut,
}

/// Reads the calls of an answer.
pub(super) fn prepare(calls: &[ToolCall], turn: u32, permission: Permission) -> Vec<Prepared> {
    let prepared = calls.iter().enumerate().map(|(index, call)| Prepared {
        call_id: call_id(turn, index),
        provider_id: call.id.clone(),
        tool: head(&call.name, MAX_NAME_CHARS),
        arguments: call.arguments.clone(),
        call: match permission {
            Permission::AtMost(most) if index >= most => Err(format!(
                "an answer may have at most {most} calls; nothing was done for this one"
            )),
            Permission::AtMost(_) => Call::parse(&call.name, &call.arguments),
            Permission::AnswerWasCut => Err(prompt::REMINDER_CUT.trim_end().to_owned()),
        },
    });
    prepared.collect()
}

impl Prepared {
    fn is_read_only(&self) -> bool {
        self.call.as_ref().is_ok_and(Call::is_read_only)
    }

    fn is_finish(&self) -> bool {
        self.call.as_ref().is_ok_and(|call| call.summary().is_some())
    }
}

impl Agent {
    /// Returns the event that says a call is about to run.
    pub(super) fn started(&self, prepared: &Prepared) -> EventPayload {
        EventPayload::ToolCallStarted {
            turn: self.turn,
            call_id: prepared.call_id.clone(),
            tool: self.redactor.mask(&prepared.tool).into_owned(),
            arguments_json: CutText::new(self.redactor.mask(&prepared.arguments)),
        }
    }

    /// Runs the calls of the answer that was just recorded, and records their ends and the end of the turn.
    pub(super) async fn run_calls(
        &mut self,
        prepared: &[Prepared],
        journal: &dyn Journal,
        cancel: &CancellationToken,
    ) -> Result<Suspicion, AgentEnd> {
        let mut waiting: Vec<Ended> = Vec::new();
        let mut worst = Suspicion::None;
        let mut failed_before = false;
        let mut rest = prepared;
        while !rest.is_empty() {
            let together = rest
                .iter()
                .take_while(|prepared| prepared.is_read_only())
                .count()
                .max(1);
            let (group, after) = rest.split_at(together.min(rest.len()));
            let begun = Instant::now();
            let replies = if failed_before && group.iter().any(Prepared::is_finish) {
                vec![Ok(Reply::failed(
                    ToolOutcome::Rejected,
                    "finish: a call before it in the same answer failed, so the work is not ended; look at its result first",
                ))]
            } else {
                match self.run_group(group, journal, cancel).await {
                    Some(replies) => replies,
                    None => {
                        self.record_ends(std::mem::take(&mut waiting), journal).await?;
                        self.settle_open_calls(ToolOutcome::Cancelled, journal).await?;
                        return Err(AgentEnd::Cancelled);
                    }
                }
            };
            let duration = begun.elapsed();
            for (prepared, reply) in group.iter().zip(replies) {
                let reply = match reply {
                    Ok(reply) => reply,
                    Err(error) => {
                        self.record_ends(waiting, journal).await?;
                        return Err(AgentEnd::Sandbox(error));
                    }
                };
                failed_before |= reply.is_error();
                let (ended, suspicion) = self
                    .end(prepared, reply, duration, journal)
                    .await
                    .map_err(AgentEnd::Journal)?;
                worst = worse(worst, suspicion);
                waiting.push(ended);
            }
            rest = after;
            if duration >= RECORD_AT_ONCE && !rest.is_empty() {
                self.record_ends(std::mem::take(&mut waiting), journal).await?;
            }
        }
        self.finish_turn(waiting, journal).await?;
        Ok(worst)
    }

    /// Runs neighbours; `None` when the Task is to stop.
    async fn run_group(
        &self,
        group: &[Prepared],
        journal: &dyn Journal,
        cancel: &CancellationToken,
    ) -> Option<Vec<Result<Reply, SandboxError>>> {
        let live = |payload: LivePayload| journal.live(payload);
        let context = |call_id| ToolContext {
            sandbox: self.sandbox.as_ref(),
            config: &self.config,
            shell: &self.shell,
            remaining: self.remaining(),
            call_id,
            redactor: &self.redactor,
            live: &live,
        };
        let calls = group.iter().map(|prepared| {
            let span = tracing::info_span!("tool", tool.name = prepared.tool, call.id = %prepared.call_id);
            run_one(context(&prepared.call_id), &prepared.call).instrument(span)
        });
        tokio::select! {
            biased;
            () = cancel.cancelled() => None,
            replies = join_all(calls) => Some(replies),
        }
    }

    /// Makes of a reply what the model and what people see.
    async fn end(
        &mut self,
        prepared: &Prepared,
        reply: Reply,
        duration: Duration,
        journal: &dyn Journal,
    ) -> Result<(Ended, Suspicion), JournalError> {
        let is_error = reply.is_error();
        let effect = match &prepared.call {
            Ok(call) if !is_error => {
                self.touched.note(call);
                call.effect()
            }
            _ => Effect::Unknown,
        };
        let mut content = self.redactor.mask_values(&reply.text).into_owned();
        let suspicion = self
            .repetition
            .observe(&prepared.tool, &prepared.arguments, &content, effect);
        let mut output = CutText::new(self.redactor.mask(&content));
        if let Some(spill) = &reply.spill {
            output.truncated = true;
            output.artifact = Some(journal.keep_output(&prepared.call_id, spill).await?);
        } else if content.len() > MAX_EVENT_TEXT_BYTES {
            let whole = self.redactor.mask(&content);
            output.artifact = Some(journal.keep_text(&prepared.call_id, &whole).await?);
        }
        if suspicion != Suspicion::None {
            content.push('\n');
            content.push_str(prompt::REMINDER_REPEAT.trim_end());
        }
        let command = prepared.call.as_ref().map_or("", Call::command);
        let command = CutText::new(self.redactor.mask(command)).text;
        let mut events = vec![EventPayload::ToolCallFinished {
            call_id: prepared.call_id.clone(),
            outcome: reply.outcome,
            exit_code: reply.exit_code,
            output,
            duration,
            tool: self.redactor.mask(&prepared.tool).into_owned(),
            command,
        }];
        if let Some(mut steps) = reply.plan {
            for step in &mut steps {
                step.title = self.redactor.mask(&step.title).into_owned();
            }
            events.push(EventPayload::PlanUpdated { steps });
        }
        let result = ToolResult {
            call_id: prepared.provider_id.clone(),
            content,
            is_error,
        };
        Ok((Ended { events, result }, suspicion))
    }

    /// Records ends in the middle of a turn.
    async fn record_ends(&mut self, ended: Vec<Ended>, journal: &dyn Journal) -> Result<(), AgentEnd> {
        if ended.is_empty() {
            return Ok(());
        }
        let (events, results): (Vec<_>, Vec<_>) = ended.into_iter().map(|end| (end.events, end.result)).unzip();
        let record = Record {
            events: events.into_iter().flatten().collect(),
            items: vec![Item::ToolResults {
                results: results.clone(),
            }],
            ..Record::default()
        };
        journal.record(record).await.map_err(AgentEnd::Journal)?;
        self.partial_results.extend(results);
        Ok(())
    }

    /// Records the last ends of a turn, and with them the turn's.
    async fn finish_turn(&mut self, ended: Vec<Ended>, journal: &dyn Journal) -> Result<(), AgentEnd> {
        let (events, results): (Vec<_>, Vec<_>) = ended.into_iter().map(|end| (end.events, end.result)).unzip();
        let record = Record {
            events: events.into_iter().flatten().collect(),
            items: vec![Item::ToolResults {
                results: results.clone(),
            }],
            replaces_conversation: false,
            finished_turn: Some(self.turn),
        };
        journal.record(record).await.map_err(AgentEnd::Journal)?;
        let mut all = std::mem::take(&mut self.partial_results);
        all.extend(results);
        self.transcript.push(Item::ToolResults { results: all });
        self.end_turn();
        Ok(())
    }

    /// Ends the calls of the last answer that have no result: they were cut off and are never run again.
    pub(super) async fn settle_open_calls(
        &mut self,
        outcome: ToolOutcome,
        journal: &dyn Journal,
    ) -> Result<(), AgentEnd> {
        let calls = open_calls(self.transcript.items());
        if calls.is_empty() {
            return Ok(());
        }
        let text = match outcome {
            ToolOutcome::Cancelled => "the task was cancelled while this ran",
            _ => prompt::INTERRUPTED.trim_end(),
        };
        let unsettled = calls.iter().enumerate().skip(self.partial_results.len());
        let ended = unsettled.map(|(index, call)| {
            let parsed = Call::parse(&call.name, &call.arguments);
            let command = parsed.as_ref().map_or("", Call::command);
            let event = EventPayload::ToolCallFinished {
                call_id: call_id(self.turn, index),
                outcome,
                exit_code: None,
                output: CutText::new(text),
                duration: Duration::ZERO,
                tool: self.redactor.mask(&head(&call.name, MAX_NAME_CHARS)).into_owned(),
                command: CutText::new(self.redactor.mask(command)).text,
            };
            let result = ToolResult {
                call_id: call.id.clone(),
                content: text.to_owned(),
                is_error: true,
            };
            Ended {
                events: vec![event],
                result,
            }
        });
        let ended = ended.collect();
        self.finish_turn(ended, journal).await
    }
}

/// Runs one call; `Err` only when the sandbox is of no more use.
async fn run_one(context: ToolContext<'_>, call: &Result<Call, String>) -> Result<Reply, SandboxError> {
    let call = match call {
        Ok(call) => call,
        Err(fault) => return Ok(Reply::failed(ToolOutcome::Rejected, fault.as_str())),
    };
    let reply = match call.run(&context).await {
        Ok(reply) => reply,
        Err(ToolError::Rejected(text)) => Reply::failed(ToolOutcome::Rejected, text),
        Err(ToolError::TimedOut(text)) => Reply::failed(ToolOutcome::TimedOut, text),
        Err(ToolError::Sandbox(error)) => return Err(error),
    };
    tracing::debug!(outcome = ?reply.outcome, exit_code = reply.exit_code, "tool call ended");
    Ok(reply)
}

fn worse(one: Suspicion, other: Suspicion) -> Suspicion {
    match (one, other) {
        (Suspicion::GiveUp, _) | (_, Suspicion::GiveUp) => Suspicion::GiveUp,
        (Suspicion::Remind, _) | (_, Suspicion::Remind) => Suspicion::Remind,
        (Suspicion::None, Suspicion::None) => Suspicion::None,
    }
}
