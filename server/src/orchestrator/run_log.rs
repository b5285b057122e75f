//! What one run writes down: events, progress and conversation, in one transaction each.
//!
//! All writes of a run pass here, in order: the lock is held over the store's write on purpose, since
//! a later write must not carry older progress. Texts are masked before they arrive.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Notify;

use crate::agent::{Journal, JournalError, Record};
use crate::model::replay::{Recorder, RecordingSink};
use crate::orchestrator::Parts;
use crate::orchestrator::recording::Recording;
use crate::orchestrator::session::Session;
use crate::sandbox::{Sandbox, Spill};
use crate::secret::MaskedStream;
use crate::store::{Append, Claim, ConversationEntry, Lease, StoreError};
use crate::task::event::{EventPayload, LivePayload};
use crate::task::id::{ArtifactId, CallId, TaskId};
use crate::task::record::{RunProgress, TaskRecord};
use crate::task::state::State;

/// The pen of one run.
pub(super) struct RunLog {
    parts: Arc<Parts>,
    lease: Lease,
    written: tokio::sync::Mutex<Written>,
    shown: Mutex<TaskRecord>,
    /// Highest message given to the agent and not yet marked as read; 0 = none.
    messages_given: AtomicU64,
    /// The sandbox whose spilled outputs are kept.
    sandbox: Mutex<Option<Arc<dyn Sandbox>>>,
    /// The forge, with credentials that are this run's own.
    pub(super) session: Session,
    /// Woken after each finished turn.
    pub(super) turn_finished: Notify,
    /// What models were asked and answered since the last write.
    pub(super) recording: Arc<Recording>,
    /// Writes into `recording`; one for the whole run, so that it knows what it has written.
    pub(super) recorder: Recorder,
}

struct Written {
    generation: u32,
    clock: Option<Clock>,
}

/// Measures the Task's time: what earlier runs used, and since when this one does.
struct Clock {
    before: Duration,
    since: Instant,
}

impl RunLog {
    pub(super) fn new(parts: Arc<Parts>, claim: &Claim) -> Self {
        let recording = Arc::new(Recording::default());
        let sink = Arc::clone(&recording) as Arc<dyn RecordingSink>;
        Self {
            recorder: Recorder::new(sink, Arc::clone(&parts.redactor)),
            recording,
            parts,
            lease: claim.lease,
            written: tokio::sync::Mutex::new(Written {
                generation: 0,
                clock: None,
            }),
            shown: Mutex::new(claim.task.clone()),
            messages_given: AtomicU64::new(0),
            sandbox: Mutex::new(None),
            session: Session::default(),
            turn_finished: Notify::new(),
        }
    }

    pub(super) fn lease(&self) -> Lease {
        self.lease
    }

    pub(super) fn task(&self) -> TaskId {
        self.lease.task
    }

    /// Returns the Task as of the last write.
    pub(super) fn record(&self) -> TaskRecord {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the number of the last message that the agent has read.
    pub(super) fn messages_given(&self) -> u64 {
        self.messages_given.load(Ordering::Acquire)
    }

    /// Returns the wall time used since the first turn, over all runs.
    pub(super) async fn elapsed(&self) -> Duration {
        self.written
            .lock()
            .await
            .clock
            .as_ref()
            .map_or(self.record().progress.elapsed, Clock::elapsed)
    }

    /// Tells which sandbox spilled outputs are read from.
    pub(super) fn set_sandbox(&self, sandbox: Option<Arc<dyn Sandbox>>) {
        *self.sandbox.lock().unwrap_or_else(PoisonError::into_inner) = sandbox;
    }

    /// Takes the sandbox away, for a run that died.
    pub(super) fn take_sandbox(&self) -> Option<Arc<dyn Sandbox>> {
        self.sandbox.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Restores the conversation that earlier runs wrote.
    pub(super) async fn conversation(&self) -> Result<Vec<crate::model::Item>, StoreError> {
        let entries = self.parts.store.conversation(self.task()).await?;
        let mut written = self.written.lock().await;
        written.generation = entries.last().map_or(0, |entry| entry.generation);
        let parse = |entry: &ConversationEntry| {
            serde_json::from_slice(&entry.body).map_err(|error| StoreError::Internal {
                source: Box::new(error),
            })
        };
        entries.iter().map(parse).collect()
    }

    /// Writes events and a change of the progress.
    pub(super) async fn write(
        &self,
        events: Vec<EventPayload>,
        change: impl FnOnce(&mut RunProgress) + Send,
    ) -> Result<(), StoreError> {
        let any = Messages::MayWait;
        self.append(events, Vec::new(), Conversation::GoesOn, any, change).await
    }

    /// Writes the ending of a Task that succeeded; `MessageWaiting` when a message has come that was not read.
    pub(super) async fn succeed(&self, events: Vec<EventPayload>) -> Result<(), StoreError> {
        let read = Messages::MustBeRead;
        self.append(events, Vec::new(), Conversation::GoesOn, read, |_| {})
            .await
    }

    /// Writes events alone.
    pub(super) async fn events(&self, events: Vec<EventPayload>) -> Result<(), StoreError> {
        self.write(events, |_| {}).await
    }

    /// Enters a state, with the progress bar's step.
    pub(super) async fn enter(&self, state: State, percent: u32, step: &str) -> Result<(), StoreError> {
        if state == State::Running {
            let mut written = self.written.lock().await;
            let before = self.record().progress.elapsed;
            written.clock.get_or_insert_with(|| Clock {
                before,
                since: Instant::now(),
            });
        }
        self.move_to(state, percent, step, Messages::MayWait).await
    }

    /// Enters PUBLISHING, from where on messages are too late; `MessageWaiting` when one was not read.
    pub(super) async fn enter_publishing(&self) -> Result<(), StoreError> {
        self.move_to(State::Publishing, 90, "Publishing", Messages::MustBeRead)
            .await
    }

    async fn move_to(&self, state: State, percent: u32, step: &str, messages: Messages) -> Result<(), StoreError> {
        let moved = self.record().state != state;
        let mut events = Vec::new();
        if moved {
            events.push(EventPayload::StateChanged { state });
        }
        self.step_events(&mut events, percent, step);
        let change = |progress: &mut RunProgress| progress.percent = progress.percent.max(percent);
        self.append(events, Vec::new(), Conversation::GoesOn, messages, change)
            .await?;
        if moved {
            tracing::info!(state = state.as_str(), "entered");
        }
        Ok(())
    }

    /// Moves the progress bar; it never goes back.
    pub(super) async fn step(&self, percent: u32, step: &str) -> Result<(), StoreError> {
        let mut events = Vec::new();
        self.step_events(&mut events, percent, step);
        self.write(events, |progress| progress.percent = progress.percent.max(percent))
            .await
    }

    fn step_events(&self, events: &mut Vec<EventPayload>, percent: u32, step: &str) {
        let percent = percent.max(self.record().progress.percent);
        events.push(EventPayload::Progress {
            percent,
            step: step.to_owned(),
        });
    }

    async fn append(
        &self,
        events: Vec<EventPayload>,
        items: Vec<crate::model::Item>,
        conversation: Conversation,
        messages: Messages,
        change: impl FnOnce(&mut RunProgress) + Send,
    ) -> Result<(), StoreError> {
        let mut written = self.written.lock().await;
        let mut progress = self.record().progress;
        if let Some(clock) = &written.clock {
            progress.elapsed = clock.elapsed();
        }
        let turn = progress.turn + 1;
        change(&mut progress);
        let generation = match conversation {
            Conversation::GoesOn => written.generation,
            Conversation::StartsAnew => written.generation + 1,
        };
        let encode = |item: &crate::model::Item| {
            let body = serde_json::to_vec(item).map_err(|error| StoreError::Internal {
                source: Box::new(error),
            })?;
            Ok(ConversationEntry {
                generation,
                body: Bytes::from(body),
            })
        };
        let conversation = items.iter().map(encode).collect::<Result<Vec<_>, StoreError>>()?;
        let given = self.messages_given.load(Ordering::Acquire);
        let messages_read = Some(given).filter(|&given| given > 0);
        let (piece, mut all) = self.recording.take_pending(turn);
        all.extend(events);
        let append = Append {
            events: all,
            progress: Some(progress),
            conversation,
            messages_read,
            last_message: (messages == Messages::MustBeRead).then_some(given),
            artifacts: piece.into_iter().collect(),
        };
        let record = self.parts.store.append(self.lease, append).await?;
        written.generation = generation;
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = record;
        Ok(())
    }

    async fn keep_piece(&self, artifact: &ArtifactId, data: Vec<u8>) -> Result<(), JournalError> {
        self.parts
            .store
            .append_artifact(self.task(), artifact, data.into())
            .await
            .map_err(journal_error)
    }

    /// Adds an item to the conversation from the orchestrator's side.
    pub(super) async fn tell_model(
        &self,
        item: crate::model::Item,
        change: impl FnOnce(&mut RunProgress) + Send,
    ) -> Result<(), StoreError> {
        let any = Messages::MayWait;
        self.append(Vec::new(), vec![item], Conversation::GoesOn, any, change)
            .await
    }
}

/// Whether written items follow the conversation or replace it.
enum Conversation {
    GoesOn,
    StartsAnew,
}

/// Whether a write may be made while a person's message has not been read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Messages {
    MayWait,
    MustBeRead,
}

impl Clock {
    fn elapsed(&self) -> Duration {
        self.before + self.since.elapsed()
    }
}

#[async_trait]
impl Journal for RunLog {
    async fn record(&self, record: Record) -> Result<(), JournalError> {
        let Record {
            mut events,
            items,
            replaces_conversation,
            finished_turn,
        } = record;
        let conversation = if replaces_conversation {
            Conversation::StartsAnew
        } else {
            Conversation::GoesOn
        };
        if let Some(turn) = finished_turn {
            self.step_events(&mut events, running_percent(turn), &format!("Turn {turn}"));
        }
        let change = |progress: &mut RunProgress| {
            if let Some(turn) = finished_turn {
                progress.turn = turn;
                progress.crashes = 0;
                progress.percent = progress.percent.max(running_percent(turn));
            }
        };
        self.append(events, items, conversation, Messages::MayWait, change)
            .await
            .map_err(journal_error)?;
        if finished_turn.is_some() {
            self.turn_finished.notify_one();
        }
        Ok(())
    }

    fn live(&self, payload: LivePayload) {
        self.parts.feed.live(self.task(), payload);
    }

    async fn messages(&self) -> Result<Vec<String>, JournalError> {
        let given = self.messages_given.load(Ordering::Acquire);
        let inbox = self.parts.store.inbox(self.task()).await.map_err(journal_error)?;
        let new: Vec<_> = inbox.into_iter().filter(|message| message.number > given).collect();
        if let Some(last) = new.last() {
            self.messages_given.store(last.number, Ordering::Release);
        }
        Ok(new.into_iter().map(|message| message.text).collect())
    }

    async fn keep_output(&self, call: &CallId, spill: &Spill) -> Result<ArtifactId, JournalError> {
        let artifact = ArtifactId::new(format!("output-{call}"));
        let sandbox = self.sandbox.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(sandbox) = sandbox else { return Ok(artifact) };
        let mut offset = 0;
        let mut masked = MaskedStream::new(Arc::clone(&self.parts.redactor));
        while offset < spill.bytes {
            let data = sandbox
                .read_spill(&spill.path, offset)
                .await
                .map_err(|error| JournalError {
                    source: Box::new(error),
                })?;
            if data.is_empty() {
                break;
            }
            for piece in masked.push(offset, &data) {
                self.keep_piece(&artifact, piece.data).await?;
            }
            offset += data.len() as u64;
        }
        if let Some(piece) = masked.finish() {
            self.keep_piece(&artifact, piece.data).await?;
        }
        Ok(artifact)
    }

    async fn keep_text(&self, call: &CallId, text: &str) -> Result<ArtifactId, JournalError> {
        let artifact = ArtifactId::new(format!("text-{call}"));
        let data = Bytes::copy_from_slice(self.parts.redactor.mask(text).as_bytes());
        self.parts
            .store
            .put_artifact(self.task(), &artifact, data)
            .await
            .map_err(journal_error)?;
        Ok(artifact)
    }
}

fn journal_error(error: StoreError) -> JournalError {
    JournalError {
        source: Box::new(error),
    }
}

/// Turns move the bar from 20 towards 70 percent; how many there will be nobody knows.
fn running_percent(turn: u32) -> u32 {
    70 - 50 * 10 / (10 + turn)
}

#[cfg(test)]
mod tests {
    use super::running_percent;

    #[test]
    fn the_bar_never_goes_back_and_stays_below_verification() {
        let percents: Vec<_> = (0..500).map(running_percent).collect();
        assert_eq!(percents.first(), Some(&20));
        assert!(percents.is_sorted());
        assert!(percents.last() < Some(&71));
    }
}
