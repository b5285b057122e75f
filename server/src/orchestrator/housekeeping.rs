//! Housekeeping of git's folders, at start and every hour: quarantines of Tasks that are gone or whose change
//! is elsewhere, and mirrors beyond their size.
//!
//! A quarantine is kept as long as its Task, unless that succeeded: then the remote or an artifact has all of
//! it, else its objects may be the only place where the work is whole.

use std::time::{Duration, SystemTime};

use crate::forge::git::GitError;
use crate::orchestrator::Parts;
use crate::store::StoreError;
use crate::task::state::State;

/// Time between two rounds.
const INTERVAL: Duration = Duration::from_secs(3600);

/// Why a round broke off.
#[derive(Debug, thiserror::Error)]
enum HousekeepingError {
    #[error(transparent)]
    Git(#[from] GitError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Keeps house until the server stops.
pub(super) async fn keep_house(parts: &Parts) {
    let stop = parts.jobs.child_token();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            done = round(parts) => if let Err(error) = done {
                tracing::warn!(error = &error as &dyn std::error::Error, "git's folders could not be tidied");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

async fn round(parts: &Parts) -> Result<(), HousekeepingError> {
    let mut removed = 0;
    // A Task is stored before it has a quarantine, so one that is not there has gone.
    for task in parts.git.quarantined_tasks()? {
        let record = parts.store.task(task).await?;
        if record.is_none_or(|record| record.state == State::Succeeded) {
            parts.git.remove_quarantine(task).await?;
            removed += 1;
        }
    }
    let tidied = parts.git.tidy_mirrors(SystemTime::now()).await?;
    tracing::info!(
        quarantines_removed = removed,
        mirrors = tidied.mirrors,
        mirrors_bytes = tidied.bytes,
        mirrors_evicted = tidied.evicted,
        mirrors_repacked = tidied.repacked,
        "git's folders are tidy"
    );
    Ok(())
}
