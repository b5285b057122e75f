//! Reads. Each is one short transaction, so that what it returns belongs together.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::column::{LIVE, id_bytes, integer, sequence, state, unsigned};
use crate::store::{ConversationEntry, EventPage, InboxMessage, StoreError, StoreLoad, TaskQuery};
use crate::task::event::Event;
use crate::task::id::{Sequence, TaskId, Timestamp};
use crate::task::record::TaskRecord;

/// A page of events is full after so many bytes. Each stalled reader may hold one.
const PAGE_BYTES: usize = 64 * 1024;

/// Returns a Task.
pub(super) fn task(connection: &Connection, id: TaskId) -> Result<Option<TaskRecord>, StoreError> {
    let record = connection
        .prepare_cached("SELECT record FROM tasks WHERE id = ?1")?
        .query_row([id_bytes(&id)], text)
        .optional()?;
    Ok(record.map(|record| serde_json::from_str(&record)).transpose()?)
}

/// Lists Tasks, newest first.
pub(super) fn list(connection: &Connection, query: &TaskQuery) -> Result<Vec<TaskRecord>, StoreError> {
    let words: Vec<_> = query.states.iter().map(|state| state.as_str()).collect();
    let states = (!words.is_empty()).then(|| serde_json::to_string(&words)).transpose()?;
    let (time, id) = match &query.after {
        Some((time, id)) => (Some(time.0), Some(id_bytes(id))),
        None => (None, None),
    };
    let mut statement = connection.prepare_cached(
        "SELECT record FROM tasks
         WHERE principal = ?1
         AND (?2 IS NULL OR state IN (SELECT value FROM json_each(?2)))
         AND (?3 IS NULL OR (create_time <= ?3 AND (create_time < ?3 OR id > ?4)))
         ORDER BY create_time DESC, id LIMIT ?5",
    )?;
    let rows = statement.query_map(params![query.principal.as_str(), states, time, id, query.limit], text)?;
    let mut tasks = Vec::new();
    for record in rows {
        tasks.push(serde_json::from_str(&record?)?);
    }
    Ok(tasks)
}

/// Returns events after a cursor.
pub(super) fn events(
    connection: &Connection,
    id: TaskId,
    after: Sequence,
    limit: u32,
) -> Result<EventPage, StoreError> {
    let transaction = connection.unchecked_transaction()?;
    let bounds = transaction
        .prepare_cached("SELECT state, oldest_sequence, last_sequence FROM tasks WHERE id = ?1")?
        .query_row([id_bytes(&id)], |row| {
            Ok((state(row, 0)?, sequence(row, 1)?, sequence(row, 2)?))
        })
        .optional()?;
    let (state, oldest, last) = bounds.ok_or(StoreError::NotFound)?;
    if after > last || after.next() < oldest {
        return Err(StoreError::OutOfRange { after, oldest, last });
    }
    let mut statement = transaction.prepare_cached(
        "SELECT sequence, time, payload FROM events WHERE task = ?1 AND sequence > ?2 ORDER BY sequence LIMIT ?3",
    )?;
    let mut rows = statement.query(params![id_bytes(&id), integer(after.0), limit])?;
    let (mut events, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let payload = row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?;
        bytes += payload.len();
        events.push(Event {
            sequence: sequence(row, 0)?,
            time: Timestamp(row.get(1)?),
            payload: serde_json::from_str(payload)?,
        });
        if bytes >= PAGE_BYTES {
            break;
        }
    }
    let reached = events.last().map_or(after, |event| event.sequence);
    Ok(EventPage {
        events,
        finished: state.is_terminal() && reached == last,
    })
}

/// Returns the entries of the highest generation of a Task's conversation.
pub(super) fn conversation(connection: &Connection, id: TaskId) -> Result<Vec<ConversationEntry>, StoreError> {
    let transaction = connection.unchecked_transaction()?;
    let generation: u32 = transaction
        .prepare_cached("SELECT generation FROM tasks WHERE id = ?1")?
        .query_row([id_bytes(&id)], |row| row.get(0))
        .optional()?
        .ok_or(StoreError::NotFound)?;
    let mut statement = transaction
        .prepare_cached("SELECT body FROM conversation WHERE task = ?1 AND generation = ?2 ORDER BY position")?;
    let rows = statement.query_map(params![id_bytes(&id), generation], |row| {
        Ok(ConversationEntry {
            generation,
            body: row.get::<_, Vec<u8>>(0)?.into(),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Returns the messages that the run has not marked as read.
pub(super) fn inbox(connection: &Connection, id: TaskId) -> Result<Vec<InboxMessage>, StoreError> {
    let transaction = connection.unchecked_transaction()?;
    let exists = transaction
        .prepare_cached("SELECT 1 FROM tasks WHERE id = ?1")?
        .exists([id_bytes(&id)])?;
    if !exists {
        return Err(StoreError::NotFound);
    }
    let mut statement =
        transaction.prepare_cached("SELECT number, text FROM messages WHERE task = ?1 AND read = 0 ORDER BY number")?;
    let rows = statement.query_map([id_bytes(&id)], |row| {
        Ok(InboxMessage {
            number: unsigned(row, 0)?,
            text: row.get(1)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Returns a value remembered under a key.
pub(super) fn recall(connection: &Connection, key: &str) -> Result<Option<String>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT value FROM memory WHERE key = ?1")?;
    Ok(statement.query_row([key], text).optional()?)
}

/// Returns Tasks that are neither waiting nor terminal.
pub(super) fn live_tasks(connection: &Connection) -> Result<Vec<TaskRecord>, StoreError> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT record FROM tasks WHERE {LIVE} AND state <> 'queued'"))?;
    let mut tasks = Vec::new();
    for record in statement.query_map([], text)? {
        tasks.push(serde_json::from_str(&record?)?);
    }
    Ok(tasks)
}

/// Counts what waits and what is live.
pub(super) fn load(connection: &Connection) -> Result<StoreLoad, StoreError> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT count(*) FILTER (WHERE state = 'queued'), count(*) FILTER (WHERE state <> 'queued')
         FROM tasks WHERE {LIVE}"
    ))?;
    Ok(statement.query_row([], |row| {
        Ok(StoreLoad {
            queued: unsigned(row, 0)?,
            live: unsigned(row, 1)?,
        })
    })?)
}

fn text(row: &Row<'_>) -> rusqlite::Result<String> {
    row.get(0)
}
