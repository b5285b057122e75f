//! What callers write: new Tasks, messages, requests to stop. No lease is needed for these.
//!
//! A request id belongs to a principal for 7 days. The same id with another hash is refused. A
//! message that came too late becomes a Task of its own under the same id, so a repeat that finds
//! the id at another Task is again "too late", and the submit that follows joins that Task.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::column::{LIVE, id_bytes, integer, task_id, unsigned};
use super::ledger::{Entry, Ledger};
use crate::store::{NewMessage, NewTask, Posted, QueueLimits, QueueScope, RequestKey, StoreError, Submission};
use crate::task::event::{Ending, EventPayload};
use crate::task::id::{Epoch, PrincipalId, TaskId, Timestamp};
use crate::task::record::TaskRecord;
use crate::task::state::State;

/// How long a request id is remembered, in microseconds.
pub(super) const REQUEST_TIME_US: i64 = 7 * 24 * 3600 * 1_000_000;

/// Accepts a Task with its first event, or joins the one of the same request.
pub(super) fn submit(ledger: &mut Ledger, task: &NewTask, limits: QueueLimits) -> Result<Submission, StoreError> {
    if let Some(key) = &task.request
        && let Some(earlier) = find_request(ledger.connection(), &task.principal, key, task.now)?
    {
        return joined(ledger, earlier).map(Submission::Joined);
    }
    check_queue(ledger.connection(), &task.principal, limits)?;
    let record = TaskRecord::accepted(
        task.id,
        task.principal.clone(),
        task.requester.clone(),
        task.spec.clone(),
        task.continues,
        task.now,
    );
    ledger.insert(&record)?;
    let mut entry = Entry {
        record,
        epoch: Epoch(0),
        generation: 0,
        next_position: 0,
    };
    let first = EventPayload::StateChanged { state: State::Queued };
    ledger.record(&mut entry, first, task.now)?;
    ledger.save(&entry)?;
    if let Some(key) = &task.request {
        keep_request(ledger.connection(), &task.principal, key, task.id, task.now)?;
    }
    Ok(Submission::Created(entry.record))
}

/// Records that someone wants the Task to stop.
pub(super) fn request_cancel(
    ledger: &mut Ledger,
    id: TaskId,
    requester: &str,
    reason: &str,
    now: Timestamp,
) -> Result<TaskRecord, StoreError> {
    let mut entry = ledger.take(id)?;
    if !entry.record.state.is_terminal() && !entry.record.cancel_requested {
        let event = EventPayload::CancelRequested {
            requester: requester.into(),
            reason: reason.into(),
        };
        ledger.record(&mut entry, event, now)?;
        if entry.record.state == State::Queued && !ledger.leases.is_held(id) {
            // There is nothing to keep, and a free run slot may be hours away.
            let end = EventPayload::TaskFinished {
                ending: Ending::Cancelled,
                preserved_work: None,
                findings: Vec::new(),
            };
            ledger.record(&mut entry, end, now)?;
        }
        ledger.save(&entry)?;
    }
    let record = entry.record.clone();
    ledger.put(entry);
    Ok(record)
}

/// Puts a message into a Task, if it still takes them.
pub(super) fn post_message(ledger: &mut Ledger, id: TaskId, message: &NewMessage) -> Result<Posted, StoreError> {
    let mut entry = ledger.take(id)?;
    let earlier = match &message.request {
        Some(key) => find_request(ledger.connection(), &message.principal, key, message.now)?,
        None => None,
    };
    let record = entry.record.clone();
    let posted = match earlier {
        Some(earlier) if earlier == id => Posted::Accepted(record),
        Some(_) => Posted::TooLate(record),
        None if !record.state.takes_messages() => Posted::TooLate(record),
        None => {
            let event = EventPayload::UserMessage {
                text: message.text.clone(),
            };
            ledger.record(&mut entry, event, message.now)?;
            ledger.save(&entry)?;
            ledger
                .connection()
                .prepare_cached(
                    "INSERT INTO messages (task, number, text)
                     SELECT ?1, coalesce(max(number), 0) + 1, ?2 FROM messages WHERE task = ?1",
                )?
                .execute(params![id_bytes(&id), message.text])?;
            if let Some(key) = &message.request {
                keep_request(ledger.connection(), &message.principal, key, id, message.now)?;
            }
            Posted::Accepted(entry.record.clone())
        }
    };
    ledger.put(entry);
    Ok(posted)
}

fn joined(ledger: &mut Ledger, id: TaskId) -> Result<TaskRecord, StoreError> {
    let entry = ledger.take(id)?;
    let record = entry.record.clone();
    ledger.put(entry);
    Ok(record)
}

fn check_queue(connection: &Connection, principal: &PrincipalId, limits: QueueLimits) -> Result<(), StoreError> {
    let (own, total) = connection
        .prepare_cached(&format!(
            "SELECT count(*) FILTER (WHERE principal = ?1), count(*) FROM tasks WHERE state = 'queued' AND {LIVE}"
        ))?
        .query_row([principal.as_str()], |row| Ok((unsigned(row, 0)?, unsigned(row, 1)?)))?;
    let full = |scope| Err(StoreError::QueueFull { scope });
    if own >= u64::from(limits.per_principal) {
        return full(QueueScope::Principal);
    }
    if total >= u64::from(limits.total) {
        return full(QueueScope::Server);
    }
    Ok(())
}

/// Finds the Task of an earlier request of the same id, unless that is too old to count.
fn find_request(
    connection: &Connection,
    principal: &PrincipalId,
    key: &RequestKey,
    now: Timestamp,
) -> Result<Option<TaskId>, StoreError> {
    let row = connection
        .prepare_cached("SELECT hash, task FROM requests WHERE principal = ?1 AND id = ?2 AND time > ?3")?
        .query_row(
            params![
                principal.as_str(),
                key.id.as_bytes(),
                now.0.saturating_sub(REQUEST_TIME_US)
            ],
            |row| Ok((row.get::<_, [u8; 32]>(0)?, task_id(row, 1)?)),
        )
        .optional()?;
    match row {
        Some((hash, _)) if hash != key.hash => Err(StoreError::RequestConflict),
        found => Ok(found.map(|(_, task)| task)),
    }
}

fn keep_request(
    connection: &Connection,
    principal: &PrincipalId,
    key: &RequestKey,
    task: TaskId,
    now: Timestamp,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO requests (principal, id, hash, task, time) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            principal.as_str(),
            key.id.as_bytes(),
            key.hash,
            id_bytes(&task),
            now.0
        ])?;
    Ok(())
}

/// Returns whether a message after a number was accepted and not read.
pub(super) fn waits_after(connection: &Connection, task: TaskId, number: u64) -> Result<bool, StoreError> {
    Ok(connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM messages WHERE task = ?1 AND number > ?2 AND read = 0)")?
        .query_row(params![id_bytes(&task), integer(number)], |row| row.get(0))?)
}

/// Marks messages up to a number as read.
pub(super) fn mark_read(connection: &Connection, task: TaskId, number: u64) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE messages SET read = 1 WHERE task = ?1 AND number <= ?2 AND read = 0")?
        .execute(params![id_bytes(&task), integer(number)])?;
    Ok(())
}
