//! What a server does beside its calls: sweeping left sandboxes at the start, trimming what is too old.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::orchestrator::Parts;
use crate::store::sqlite::SqliteStore;
use crate::store::{StoreError, TaskStore as _};
use crate::task::id::{SandboxId, Timestamp};

/// How often ended Tasks are looked through for what is too old.
const TRIM_INTERVAL: Duration = Duration::from_secs(3600);

/// Destroys sandboxes that no live Task will enter again.
pub(super) async fn sweep(parts: &Parts) {
    let kept = match live_sandboxes(parts).await {
        Ok(kept) => kept,
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "sandboxes are not swept: live tasks can't be read"
            );
            return;
        }
    };
    match parts.sandboxes.sweep(&kept).await {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "destroyed sandboxes that an earlier server left"),
        Err(error) => tracing::warn!(
            error = &error as &dyn std::error::Error,
            "left sandboxes could not be destroyed"
        ),
    }
}

async fn live_sandboxes(parts: &Parts) -> Result<Vec<SandboxId>, StoreError> {
    Ok(parts
        .store
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
