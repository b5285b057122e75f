//! Connections for reading, each used for one short query at a time.
//!
//! A reader that held a transaction between pages would keep the write-ahead log from being reset,
//! so a connection goes back between any two reads, however slow the caller is.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

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
        let pool = Arc::clone(&self.pool);
        let query = move |permit: OwnedSemaphorePermit| {
            let connection = pool.take()?;
            let result = query(&connection);
            if connection.is_autocommit() {
                pool.put(connection);
            }
            drop(permit);
            result
        };
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return self
                .jobs
                .spawn_blocking(move || query(permit))
                .await
                .map_err(internal)?;
        }
        // It is a job that waits for its place and uses it. The caller may not be polled for long (a stream whose
        // client reads nothing), and a place that was given to it in the meantime would be lost to all others.
        let (jobs, permits) = (self.jobs.clone(), Arc::clone(&self.permits));
        let read = self.jobs.spawn("read when there is room", async move {
            let permit = permits.acquire_owned().await.map_err(|_| closed())?;
            jobs.spawn_blocking(move || query(permit)).await.map_err(internal)?
        });
        read.await.map_err(internal)?
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_caller_that_is_not_polled_any_more_keeps_no_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        Connection::open(&path)
            .unwrap()
            .execute_batch("CREATE TABLE t (a)")
            .unwrap();
        let readers = Arc::new(Readers::new(path, Jobs::new()));
        let (release, wait) = std::sync::mpsc::channel::<()>();
        let wait = Arc::new(Mutex::new(wait));
        let mut holders = tokio::task::JoinSet::new();
        for _ in 0..READERS {
            let (readers, wait) = (Arc::clone(&readers), Arc::clone(&wait));
            holders.spawn(async move { readers.run(move |_| Ok(wait.lock().unwrap().recv().is_ok())).await });
        }
        while readers.permits.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        // As many as there are places begin to wait, and are then left alone.
        let mut stalled: Vec<_> = (0..READERS).map(|_| Box::pin(readers.run(|_| Ok(())))).collect();
        for read in &mut stalled {
            assert!(read.now_or_never().is_none());
        }
        for _ in 0..READERS {
            release.send(()).unwrap();
        }
        let other = tokio::time::timeout(Duration::from_secs(10), readers.run(|_| Ok(7)));
        assert_eq!(other.await.expect("a place should come free").unwrap(), 7);
        drop(stalled);
        holders.join_all().await;
    }
}
