//! Connections for reading, each used for one short query at a time.
//!
//! A reader that held a transaction between pages would keep the write-ahead log from being reset,
//! so a connection goes back between any two reads, however slow the caller is.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::column::{closed, internal};
use super::open::open_reader;
use crate::jobs::Jobs;
use crate::store::StoreError;

/// Most queries at a time. When all run, callers wait: a query takes well under a millisecond.
const READERS: usize = 4;

/// The pool.
pub(super) struct Readers {
    pool: Arc<Pool>,
    permits: Arc<Semaphore>,
    jobs: Jobs,
}

struct Pool {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// Makes an empty pool for an open store; connections are made when they are needed.
    pub(super) fn new(path: PathBuf, jobs: Jobs) -> Self {
        let idle = Mutex::default();
        Self {
            pool: Arc::new(Pool { path, idle }),
            permits: Arc::new(Semaphore::new(READERS)),
            jobs,
        }
    }

    /// Runs a query as a blocking job. Safe to drop at any await.
    pub(super) async fn run<T, F>(&self, query: F) -> Result<T, StoreError>
    where
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|_| closed())?;
        let pool = Arc::clone(&self.pool);
        let query = move || {
            let connection = pool.take()?;
            let result = query(&connection);
            if connection.is_autocommit() {
                pool.put(connection);
            }
            drop(permit);
            result
        };
        self.jobs.spawn_blocking(query).await.map_err(internal)?
    }

    /// Closes the connections and refuses further queries; one that runs ends by itself.
    pub(super) fn close(&self) {
        self.permits.close();
        self.pool.lock().clear();
    }
}

impl Pool {
    fn take(&self) -> Result<Connection, StoreError> {
        let idle = self.lock().pop();
        idle.map_or_else(|| Ok(open_reader(&self.path)?), Ok)
    }

    fn put(&self, connection: Connection) {
        self.lock().push(connection);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
