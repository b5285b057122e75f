//! Opening: the lock on the data folder, the file, its settings and a look for damage.
//!
//! A newer schema is refused before anything is touched, so that going back to an older server
//! leaves the file as it was. The look for damage has a time limit: a large file must not keep a
//! restarted server from getting ready, and SQLite reports what it trips over later on.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::migrate;

/// Longest time spent on looking for damage.
const CHECK_TIME: Duration = Duration::from_secs(2);
/// How long a statement waits for another connection's lock; only a backup tool could hold one.
const BUSY_TIME: Duration = Duration::from_secs(5);
const LOCK_FILE: &str = "backspace.lock";

/// Why the store can't be opened. The server does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another server has it.
    #[error(
        "the data folder {} is in use by another server{}; stop that one or choose another folder",
        folder.display(),
        process_id.map(|id| format!(" (process {id})")).unwrap_or_default()
    )]
    Locked {
        /// The folder.
        folder: PathBuf,
        /// The other server, if it could be found out.
        process_id: Option<u32>,
    },
    /// It can't be made, read or written.
    #[error("the data folder {} can't be used", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A later release wrote it.
    #[error(
        "the store in {} has schema {found} and this release knows {known}; start the release that wrote it, or a newer one",
        folder.display()
    )]
    Newer {
        /// The folder.
        folder: PathBuf,
        /// Schema of the file.
        found: i64,
        /// Newest schema known here.
        known: i64,
    },
    /// The file is a database, but not a store of ours.
    #[error("{} holds a database of something else; choose another data folder", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file is broken.
    #[error("the store {} is damaged ({finding}); restore it from a backup, or move it away to start empty", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        finding: String,
    },
    /// The file system or SQLite does not give what durability needs.
    #[error("the store {} can't be made durable: {setting} is {found}, not {wanted}", path.display())]
    NotDurable {
        /// The file.
        path: PathBuf,
        /// The setting that did not take.
        setting: &'static str,
        /// What it is.
        found: String,
        /// What it must be.
        wanted: &'static str,
    },
    /// Anything else that SQLite said.
    #[error("the store {} can't be opened", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl OpenError {
    /// Wraps what SQLite said about the file at `path`.
    pub(super) fn database(path: &Path, error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged {
                path: path.into(),
                finding: error.to_string(),
            },
            _ => Self::Database {
                path: path.into(),
                source: error.into(),
            },
        }
    }
}

/// The right to use a data folder, held until it is dropped or the process dies.
#[derive(Debug)]
pub(super) struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes the lock of `folder`, making the folder if need be, for this user alone.
    pub(super) fn take(folder: &Path) -> Result<Self, OpenError> {
        let fault = |source| OpenError::Folder {
            folder: folder.into(),
            source,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(fault)?;
        let mut file = private_file(&folder.join(LOCK_FILE)).map_err(fault)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let read = file.read_to_string(&mut text).ok();
                return Err(OpenError::Locked {
                    folder: folder.into(),
                    process_id: read.and_then(|_| text.trim().parse().ok()),
                });
            }
            Err(TryLockError::Error(source)) => return Err(fault(source)),
        }
        // The number is for people only: the lock itself is the kernel's and dies with the process.
        file.set_len(0).map_err(fault)?;
        writeln!(file, "{}", std::process::id()).map_err(fault)?;
        Ok(Self { _file: file })
    }
}

/// Opens the database for writing: durable, checked and at the newest schema.
pub(super) fn open_database(folder: &Path, path: &Path) -> Result<Connection, OpenError> {
    let fault = |source| OpenError::Folder {
        folder: folder.into(),
        source,
    };
    drop(private_file(path).map_err(fault)?);
    // The file's name must be as durable as what will be acknowledged in it.
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(fault)?;
    let connection = connect(path).map_err(|error| OpenError::database(path, error))?;
    migrate::refuse_unknown(&connection, folder, path)?;
    make_durable(&connection, path)?;
    check(&connection, path, CHECK_TIME)?;
    migrate::migrate(&connection, migrate::STEPS).map_err(|error| OpenError::database(path, error))?;
    Ok(connection)
}

/// Opens one more connection to an open store, which can only read.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = connect(path)?;
    connection.pragma_update(None, "query_only", true)?;
    // KiB; pages are read once and soon stale, and there may be several readers.
    connection.pragma_update(None, "cache_size", -512)?;
    Ok(connection)
}

fn private_file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(BUSY_TIME)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(connection)
}

/// Sets what durability rests on, and reads it back: a setting that did not take is silent.
fn make_durable(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let settings = || -> rusqlite::Result<(String, i64, i64)> {
        let journal = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "cell_size_check", true)?;
        connection.pragma_update(None, "cache_size", -2048)?;
        connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
        let synchronous = connection.pragma_query_value(None, "synchronous", |row| row.get(0))?;
        let foreign_keys = connection.pragma_query_value(None, "foreign_keys", |row| row.get(0))?;
        Ok((journal, synchronous, foreign_keys))
    };
    let (journal, synchronous, foreign_keys) = settings().map_err(|error| OpenError::database(path, error))?;
    let not_durable = |setting, found: String, wanted| OpenError::NotDurable {
        path: path.into(),
        setting,
        found,
        wanted,
    };
    if journal != "wal" {
        return Err(not_durable("journal_mode", journal, "wal"));
    }
    if synchronous != 2 {
        return Err(not_durable("synchronous", synchronous.to_string(), "2 (FULL)"));
    }
    if foreign_keys != 1 {
        return Err(not_durable("foreign_keys", foreign_keys.to_string(), "1"));
    }
    Ok(())
}

/// Looks for damage for at most `limit`.
fn check(connection: &Connection, path: &Path, limit: Duration) -> Result<(), OpenError> {
    let interrupt = connection.get_interrupt_handle();
    let (done, waiting) = channel::<()>();
    let watchdog = std::thread::Builder::new()
        .name("store-check".into())
        .spawn(move || {
            if waiting.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                interrupt.interrupt();
            }
        })
        .map_err(|error| OpenError::Database {
            path: path.into(),
            source: error.into(),
        })?;
    let verdict = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    drop(done);
    // It has no way to panic, and an interrupt after the end of the statement does nothing.
    let _ = watchdog.join();
    match verdict {
        Ok(verdict) if verdict == "ok" => Ok(()),
        Ok(finding) => Err(OpenError::Damaged {
            path: path.into(),
            finding,
        }),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
            tracing::info!("store is too large to be checked whole at start; the part that was read is sound");
            Ok(())
        }
        Err(error) => Err(OpenError::database(path, error)),
    }
}
