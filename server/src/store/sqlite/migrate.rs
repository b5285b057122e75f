//! The schema's version (`PRAGMA user_version`) and the steps from one to the next.
//!
//! A step and its new version are one transaction, so a crash between two leaves a whole schema. A
//! step is never edited once released: the next release adds one.

use std::path::Path;

use rusqlite::Connection;

use super::open::OpenError;

/// Step n brings schema n to n + 1; the first makes it.
pub(super) const STEPS: &[&str] = &[include_str!("../schema.sql")];

/// Refuses a file of a later release, or of another program, without touching it.
pub(super) fn refuse_unknown(connection: &Connection, folder: &Path, path: &Path) -> Result<(), OpenError> {
    let known = newest(STEPS);
    let found = version(connection).map_err(|error| OpenError::database(path, error))?;
    if found > known {
        return Err(OpenError::Newer {
            folder: folder.into(),
            found,
            known,
        });
    }
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(|error| OpenError::database(path, error))?;
    if found < 0 || (found == 0 && tables > 0) {
        return Err(OpenError::Foreign { path: path.into() });
    }
    Ok(())
}

/// Takes the steps that are missing.
pub(super) fn migrate(connection: &Connection, steps: &[&str]) -> rusqlite::Result<()> {
    let from = version(connection)?;
    for (number, step) in (0_i64..).zip(steps) {
        if number < from {
            continue;
        }
        let transaction = connection.unchecked_transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", number + 1)?;
        transaction.commit()?;
        tracing::debug!(schema = number + 1, "store schema brought up");
    }
    Ok(())
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn newest(steps: &[&str]) -> i64 {
    i64::try_from(steps.len()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "CREATE TABLE a (x INTEGER); INSERT INTO a VALUES (1);";
    const SECOND: &str = "ALTER TABLE a ADD COLUMN y INTEGER NOT NULL DEFAULT 7;";

    #[test]
    fn only_the_missing_steps_are_taken_and_rows_are_kept() {
        let connection = Connection::open_in_memory().unwrap();
        migrate(&connection, &[FIRST]).unwrap();
        assert_eq!(version(&connection).unwrap(), 1);
        for _ in 0..2 {
            migrate(&connection, &[FIRST, SECOND]).unwrap();
            assert_eq!(version(&connection).unwrap(), 2);
        }
        let row: (i64, i64) = connection
            .query_row("SELECT x, y FROM a", [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        assert_eq!(row, (1, 7));
    }

    #[test]
    fn a_step_that_fails_leaves_the_schema_before_it() {
        let connection = Connection::open_in_memory().unwrap();
        let broken = "CREATE TABLE b (x INTEGER); CREATE TABLE a (x INTEGER);";
        assert!(migrate(&connection, &[FIRST, broken]).is_err());
        assert_eq!(version(&connection).unwrap(), 1);
        let tables: Vec<String> = connection
            .prepare("SELECT name FROM sqlite_schema")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(tables, ["a"]);
    }

    #[test]
    fn a_database_of_something_else_is_refused() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(FIRST).unwrap();
        let error = refuse_unknown(&connection, Path::new("/d"), Path::new("/d/f")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "/d/f holds a database of something else; choose another data folder"
        );
    }
}
