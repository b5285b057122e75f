//! What is forgotten: deleted Tasks, old logs, old request ids and remembered values.
//!
//! A trimmed Task keeps its record, which says so by an `oldest_sequence` past its last one; only
//! what is bulky goes. Freed pages are used again; the file itself does not shrink.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::accept::REQUEST_TIME_US;
use super::column::{id_bytes, state, task_id};
use super::ledger::Ledger;
use crate::store::StoreError;
use crate::task::id::{TaskId, Timestamp};

/// Most Tasks trimmed in one operation.
const TRIM_STEP: u32 = 16;

/// Deletes a terminal Task with all that belongs to it.
pub(super) fn delete(ledger: &mut Ledger, id: TaskId) -> Result<(), StoreError> {
    let found = ledger
        .connection()
        .prepare_cached("SELECT state FROM tasks WHERE id = ?1")?
        .query_row([id_bytes(&id)], |row| state(row, 0))
        .optional()?;
    match found {
        None => Ok(()),
        Some(state) if !state.is_terminal() => Err(StoreError::StillLive),
        Some(_) => {
            ledger
                .connection()
                .prepare_cached("DELETE FROM tasks WHERE id = ?1")?
                .execute([id_bytes(&id)])?;
            ledger.evict(id);
            ledger.record_gone(id);
            Ok(())
        }
    }
}

/// Trims a few of the Tasks that ended before a time; returns how many.
pub(super) fn trim_some(ledger: &mut Ledger, before: Timestamp) -> Result<u64, StoreError> {
    let tasks: Vec<TaskId> = ledger
        .connection()
        .prepare_cached("SELECT id FROM tasks WHERE end_time IS NOT NULL AND trimmed = 0 AND end_time < ?1 LIMIT ?2")?
        .query_map(params![before.0, TRIM_STEP], |row| task_id(row, 0))?
        .collect::<Result<_, _>>()?;
    let mut trimmed = 0;
    for task in tasks {
        trim(ledger, task)?;
        trimmed += 1;
    }
    Ok(trimmed)
}

/// Forgets request ids and remembered values that are past their time.
pub(super) fn forget(connection: &Connection, before: Timestamp, now: Timestamp) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM requests WHERE time <= ?1")?
        .execute([now.0.saturating_sub(REQUEST_TIME_US)])?;
    connection
        .prepare_cached("DELETE FROM memory WHERE time < ?1")?
        .execute([before.0])?;
    Ok(())
}

/// Remembers a value under a key.
pub(super) fn remember(connection: &Connection, key: &str, value: &str, now: Timestamp) -> Result<(), StoreError> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO memory (key, value, time) VALUES (?1, ?2, ?3)")?
        .execute(params![key, value, now.0])?;
    Ok(())
}

fn trim(ledger: &mut Ledger, id: TaskId) -> Result<(), StoreError> {
    for statement in [
        "DELETE FROM events WHERE task = ?1",
        "DELETE FROM conversation WHERE task = ?1",
        "DELETE FROM messages WHERE task = ?1",
        "DELETE FROM artifacts WHERE task = ?1",
        "UPDATE tasks SET trimmed = 1 WHERE id = ?1",
    ] {
        ledger
            .connection()
            .prepare_cached(statement)?
            .execute([id_bytes(&id)])?;
    }
    let mut entry = ledger.take(id)?;
    entry.record.oldest_sequence = entry.record.last_sequence.next();
    ledger.save(&entry)?;
    ledger.record_gone(id);
    Ok(())
}
