//! What a server does beside its calls: sweeping left sandboxes, at the start and where they can be left later, and
//! trimming what is too old.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::sandbox::SandboxProvider;
use crate::store::sqlite::SqliteStore;
use crate::store::{StoreError, TaskStore};
use crate::task::id::{SandboxId, Timestamp};

/// How often ended Tasks are looked through for what is too old.
const TRIM_INTERVAL: Duration = Duration::from_secs(3600);

/// Destroys sandboxes that no live Task will enter again.
pub(super) async fn sweep(store: &dyn TaskStore, sandboxes: &dyn SandboxProvider) {
    let kept = match live_sandboxes(store).await {
        Ok(kept) => kept,
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "sandboxes are not swept: live tasks can't be read"
            );
            return;
        }
    };
    match sandboxes.sweep(&kept).await {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "destroyed sandboxes that nobody will enter again"),
        Err(error) => tracing::warn!(
            error = &error as &dyn std::error::Error,
            "left sandboxes could not be destroyed"
        ),
    }
}

/// Sweeps now and then.
pub(super) async fn sweep_often(
    store: Arc<SqliteStore>,
    sandboxes: Arc<dyn SandboxProvider>,
    interval: Duration,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(interval) => {}
        }
        sweep(store.as_ref(), sandboxes.as_ref()).await;
    }
}

async fn live_sandboxes(store: &dyn TaskStore) -> Result<Vec<SandboxId>, StoreError> {
    Ok(store
        .live_tasks()
        .await?
        .into_iter()
        .filter_map(|task| task.sandbox_to_enter())
        .collect())
}

/// Trims what is older than the retention, now and then.
pub(super) async fn trim(store: Arc<SqliteStore>, retention: Duration, stop: CancellationToken) {
    loop {
        let before = Timestamp(Timestamp::now().0 - i64::try_from(retention.as_micros()).unwrap_or(i64::MAX));
        match store.trim(before).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "trimmed ended tasks"),
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "ended tasks could not be trimmed"
            ),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(TRIM_INTERVAL) => {}
        }
    }
}
