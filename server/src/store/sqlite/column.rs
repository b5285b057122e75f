//! Values as SQLite keeps them, and its errors in the words of the port.

use std::error::Error;

use rusqlite::ErrorCode;
use rusqlite::types::Type;
use uuid::Uuid;

use crate::store::StoreError;
use crate::task::id::{Sequence, TaskId};
use crate::task::state::State;

/// Tasks that are not over; the words of the partial index `tasks_live`, which SQLite compares as text.
pub(super) const LIVE: &str = "state NOT IN ('succeeded', 'failed', 'cancelled')";

/// Returns the bytes of an id.
pub(super) fn id_bytes(id: &TaskId) -> &[u8] {
    id.as_uuid().as_bytes()
}

/// Returns a number as SQLite's only integer; what does not fit is beyond every stored value anyway.
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Reads a column that is never negative.
pub(super) fn unsigned(row: &rusqlite::Row<'_>, index: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(index)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(index, number))
}

/// Reads a sequence.
pub(super) fn sequence(row: &rusqlite::Row<'_>, index: usize) -> rusqlite::Result<Sequence> {
    unsigned(row, index).map(Sequence)
}

/// Reads a Task's id.
pub(super) fn task_id(row: &rusqlite::Row<'_>, index: usize) -> rusqlite::Result<TaskId> {
    let bytes: [u8; 16] = row.get(index)?;
    let text = Uuid::from_bytes(bytes).simple().to_string();
    text.parse().map_err(|error| broken(index, Type::Blob, error))
}

/// Reads a state.
pub(super) fn state(row: &rusqlite::Row<'_>, index: usize) -> rusqlite::Result<State> {
    let word: String = row.get(index)?;
    let state = State::ALL.into_iter().find(|state| state.as_str() == word);
    state.ok_or_else(|| broken(index, Type::Text, UnknownState { word }))
}

/// Wraps any error as one that nobody can act on.
pub(super) fn internal(source: impl Into<Box<dyn Error + Send + Sync>>) -> StoreError {
    StoreError::Internal { source: source.into() }
}

/// Says that the store was closed.
pub(super) fn closed() -> StoreError {
    StoreError::Unavailable {
        source: "the store is closed".into(),
    }
}

fn broken(index: usize, kind: Type, error: impl Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(index, kind, Box::new(error))
}

#[derive(Debug, thiserror::Error)]
#[error("the store holds a task in an unknown state `{word}`")]
struct UnknownState {
    word: String,
}

impl From<rusqlite::Error> for StoreError {
    /// A full or failing disk may pass; all else is a defect or damage.
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(
                ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::OutOfMemory,
            ) => Self::Unavailable { source: error.into() },
            _ => Self::Internal { source: error.into() },
        }
    }
}

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        internal(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_read_back_from_its_word() {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        for expected in State::ALL {
            let read = connection.query_row("SELECT ?1", [expected.as_str()], |row| state(row, 0));
            assert_eq!(read.unwrap(), expected);
        }
        assert!(
            connection
                .query_row("SELECT 'paused'", [], |row| state(row, 0))
                .is_err()
        );
    }

    #[test]
    fn an_id_is_read_back_from_its_bytes() {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        let id = TaskId::random();
        let read = connection.query_row("SELECT ?1", [id_bytes(&id)], |row| task_id(row, 0));
        assert_eq!(read.unwrap(), id);
    }

    #[test]
    fn the_live_states_are_those_that_are_not_terminal() {
        for state in State::ALL {
            assert_eq!(
                LIVE.contains(&format!("'{}'", state.as_str())),
                state.is_terminal(),
                "{state:?}"
            );
        }
    }
}
