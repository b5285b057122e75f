//! Artifacts: bytes in rows of a bounded size, each with the offset where it starts.
//!
//! The bound lets a read find its first row by the key alone, and keeps a large artifact from
//! needing a large buffer. An empty artifact is one empty row, so that it exists.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::column::{id_bytes, integer, unsigned};
use crate::store::{ArtifactChunk, StoreError};
use crate::task::id::{ArtifactId, TaskId};

/// Most bytes in one row.
const ROW_BYTES: usize = 256 * 1024;
/// Most bytes returned by one read.
const READ_BYTES: u32 = 1024 * 1024;

/// Adds bytes to the end of an artifact, making it if need be.
pub(super) fn append(
    connection: &Connection,
    task: TaskId,
    artifact: &ArtifactId,
    data: &Bytes,
) -> Result<(), StoreError> {
    require_task(connection, task)?;
    let size = size(connection, task, artifact)?;
    if size.is_some() && data.is_empty() {
        return Ok(());
    }
    let mut offset = size.unwrap_or(0);
    // The row at offset 0 is replaced only when it is the empty one.
    let mut statement = connection
        .prepare_cached("INSERT OR REPLACE INTO artifacts (task, name, offset, data) VALUES (?1, ?2, ?3, ?4)")?;
    let mut rest: &[u8] = data;
    loop {
        let (row, after) = rest.split_at(rest.len().min(ROW_BYTES));
        statement.execute(params![id_bytes(&task), artifact.as_str(), integer(offset), row])?;
        offset += row.len() as u64;
        rest = after;
        if rest.is_empty() {
            return Ok(());
        }
    }
}

/// Replaces an artifact.
pub(super) fn put(
    connection: &Connection,
    task: TaskId,
    artifact: &ArtifactId,
    data: &Bytes,
) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM artifacts WHERE task = ?1 AND name = ?2")?
        .execute(params![id_bytes(&task), artifact.as_str()])?;
    append(connection, task, artifact, data)
}

/// Reads at most `limit` bytes of an artifact; fewer may come before its end.
pub(super) fn read(
    connection: &Connection,
    task: TaskId,
    artifact: &ArtifactId,
    offset: u64,
    limit: u32,
) -> Result<Option<ArtifactChunk>, StoreError> {
    let transaction = connection.unchecked_transaction()?;
    let Some(size) = size(&transaction, task, artifact)? else {
        return Ok(None);
    };
    let end = offset.saturating_add(u64::from(limit.min(READ_BYTES))).min(size);
    let mut data = Vec::new();
    if offset < end {
        let first_row = integer(offset) - ROW_BYTES as i64;
        let mut statement = transaction.prepare_cached(
            "SELECT offset, data FROM artifacts
             WHERE task = ?1 AND name = ?2 AND offset > ?3 AND offset < ?4 ORDER BY offset",
        )?;
        let mut rows = statement.query(params![id_bytes(&task), artifact.as_str(), first_row, integer(end)])?;
        while let Some(row) = rows.next()? {
            let start = unsigned(row, 0)?;
            let bytes = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
            let from = usize::try_from(offset.saturating_sub(start)).unwrap_or(usize::MAX);
            let to = usize::try_from(end - start).unwrap_or(usize::MAX).min(bytes.len());
            data.extend_from_slice(bytes.get(from..to).unwrap_or_default());
        }
    }
    Ok(Some(ArtifactChunk {
        data: data.into(),
        size,
    }))
}

fn require_task(connection: &Connection, task: TaskId) -> Result<(), StoreError> {
    let exists = connection
        .prepare_cached("SELECT 1 FROM tasks WHERE id = ?1")?
        .exists([id_bytes(&task)])?;
    if exists { Ok(()) } else { Err(StoreError::NotFound) }
}

fn size(connection: &Connection, task: TaskId, artifact: &ArtifactId) -> Result<Option<u64>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT offset + length(data) FROM artifacts WHERE task = ?1 AND name = ?2 ORDER BY offset DESC LIMIT 1",
    )?;
    let size = statement.query_row(params![id_bytes(&task), artifact.as_str()], |row| unsigned(row, 0));
    Ok(size.optional()?)
}
