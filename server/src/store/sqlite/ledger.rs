//! What the writer thread works on: the connection, the leases, and the Tasks that runs hold, ready
//! to take events.
//!
//! A Task is taken out of the ledger, changed, saved and put back. Whoever fails in between drops
//! it, and what was put back is forgotten with its transaction, so memory always agrees with the
//! file. Only Tasks that a run holds stay, so memory is bounded by the run slots.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::column::{id_bytes, integer, internal, unsigned};
use super::leases::{Leases, Mark as LeaseMark};
use super::wakes::Change;
use crate::store::StoreError;
use crate::task::event::{Event, EventPayload};
use crate::task::id::{Epoch, TaskId, Timestamp};
use crate::task::record::TaskRecord;

/// The writer's state.
pub(super) struct Ledger {
    connection: Connection,
    tasks: HashMap<TaskId, Entry>,
    /// Tasks put back since the last commit, to be forgotten if that does not come.
    put_back: Vec<TaskId>,
    changes: Vec<(TaskId, Change)>,
    /// Who may write to what.
    pub(super) leases: Leases,
}

/// A Task with what only the store knows of it.
pub(super) struct Entry {
    /// The Task.
    pub(super) record: TaskRecord,
    /// Fencing number of the last lease.
    pub(super) epoch: Epoch,
    /// Conversation generation now valid.
    pub(super) generation: u32,
    /// Where the next entry of the conversation goes.
    pub(super) next_position: i64,
}

/// A point to which an operation can be undone.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    leases: LeaseMark,
    put_back: usize,
    changes: usize,
}

impl Ledger {
    /// Takes over an open database. No lease is alive.
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            connection,
            tasks: HashMap::new(),
            put_back: Vec::new(),
            changes: Vec::new(),
            leases: Leases::default(),
        }
    }

    /// Returns the connection, inside the open transaction.
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Takes a Task out, from memory or from disk.
    pub(super) fn take(&mut self, id: TaskId) -> Result<Entry, StoreError> {
        match self.tasks.remove(&id) {
            Some(entry) => Ok(entry),
            None => self.load(id)?.ok_or(StoreError::NotFound),
        }
    }

    /// Puts a saved Task back.
    pub(super) fn put(&mut self, entry: Entry) {
        if self.leases.is_held(entry.record.id) {
            self.put_back.push(entry.record.id);
            self.tasks.insert(entry.record.id, entry);
        }
    }

    /// Forgets what memory holds of a Task.
    pub(super) fn evict(&mut self, id: TaskId) {
        self.tasks.remove(&id);
    }

    /// Counts the Tasks in memory.
    #[cfg(test)]
    pub(super) fn held_in_memory(&self) -> usize {
        self.tasks.len()
    }

    /// Adds an event to a Task's log and folds it into its record. The Task must be saved afterwards.
    pub(super) fn record(
        &mut self,
        entry: &mut Entry,
        payload: EventPayload,
        time: Timestamp,
    ) -> Result<(), StoreError> {
        let event = Event {
            sequence: entry.record.last_sequence.next(),
            time,
            payload,
        };
        entry.record.apply(&event)?;
        self.connection
            .prepare_cached("INSERT INTO events (task, sequence, time, payload) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![
                id_bytes(&entry.record.id),
                integer(event.sequence.0),
                event.time.0,
                serde_json::to_string(&event.payload)?
            ])?;
        let change = if entry.record.state.is_terminal() {
            Change::Ended(event.sequence)
        } else {
            Change::Grown(event.sequence)
        };
        self.changes.push((entry.record.id, change));
        Ok(())
    }

    /// Notes that a Task, or a part of its log, is gone.
    pub(super) fn record_gone(&mut self, id: TaskId) {
        self.changes.push((id, Change::Gone));
    }

    /// Writes a new Task's row; its events come after it.
    pub(super) fn insert(&self, record: &TaskRecord) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "INSERT INTO tasks (id, principal, state, create_time, last_sequence, oldest_sequence, record)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                id_bytes(&record.id),
                record.principal.as_str(),
                record.state.as_str(),
                record.create_time.0,
                integer(record.last_sequence.0),
                integer(record.oldest_sequence.0),
                serde_json::to_string(record)?
            ])?;
        Ok(())
    }

    /// Writes a Task's row anew.
    pub(super) fn save(&self, entry: &Entry) -> Result<(), StoreError> {
        let record = &entry.record;
        self.connection
            .prepare_cached(
                "UPDATE tasks SET state = ?2, end_time = ?3, last_sequence = ?4, oldest_sequence = ?5, record = ?6,
                 epoch = ?7, generation = ?8 WHERE id = ?1",
            )?
            .execute(params![
                id_bytes(&record.id),
                record.state.as_str(),
                record.end_time.map(|time| time.0),
                integer(record.last_sequence.0),
                integer(record.oldest_sequence.0),
                serde_json::to_string(record)?,
                integer(entry.epoch.0),
                entry.generation
            ])?;
        Ok(())
    }

    /// Returns the point that a later `undo` goes back to.
    pub(super) fn mark(&self) -> Mark {
        Mark {
            leases: self.leases.mark(),
            put_back: self.put_back.len(),
            changes: self.changes.len(),
        }
    }

    /// Brings memory back to the mark, after the same was done to the transaction.
    pub(super) fn undo(&mut self, mark: Mark) {
        self.leases.undo(mark.leases);
        for task in self.put_back.drain(mark.put_back..) {
            self.tasks.remove(&task);
        }
        self.changes.truncate(mark.changes);
    }

    /// Brings memory back to where the transaction began, after it was rolled back.
    pub(super) fn undo_all(&mut self) {
        self.leases.undo_all();
        self.changes.clear();
        self.put_back.clear();
        self.tasks.clear();
    }

    /// Makes memory final after a commit and returns what changed.
    pub(super) fn keep(&mut self) -> Vec<(TaskId, Change)> {
        self.leases.keep();
        self.put_back.clear();
        std::mem::take(&mut self.changes)
    }

    fn load(&self, id: TaskId) -> Result<Option<Entry>, StoreError> {
        let row = self
            .connection
            .prepare_cached(
                "SELECT record, epoch, generation,
                 (SELECT coalesce(max(position) + 1, 0) FROM conversation
                  WHERE conversation.task = tasks.id AND conversation.generation = tasks.generation)
                 FROM tasks WHERE id = ?1",
            )?
            .query_row([id_bytes(&id)], |row| {
                let record: String = row.get(0)?;
                Ok((record, unsigned(row, 1)?, row.get(2)?, row.get(3)?))
            })
            .optional()?;
        let Some((record, epoch, generation, next_position)) = row else {
            return Ok(None);
        };
        Ok(Some(Entry {
            record: serde_json::from_str(&record).map_err(internal)?,
            epoch: Epoch(epoch),
            generation,
            next_position,
        }))
    }
}
