//! When to stop: SIGTERM, SIGINT, or the end of standard input for a server that lives with its parent.

use tokio::signal::unix::{SignalKind, signal as listen};

/// Returns when the process is asked to stop.
pub async fn signal() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (listen(SignalKind::terminate()), listen(SignalKind::interrupt()))
    else {
        tracing::warn!("no signal handler can be installed; stop with SIGKILL, nothing is lost");
        return std::future::pending().await;
    };
    let name = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    tracing::info!(signal = name, "stopping");
}

/// Returns when standard input ends, which is how a parent's death shows.
pub async fn parent_gone() {
    let mut input = tokio::io::stdin();
    let mut buffer = [0_u8; 64];
    while let Ok(count) = tokio::io::AsyncReadExt::read(&mut input, &mut buffer).await {
        if count == 0 {
            break;
        }
    }
    tracing::info!("standard input ended; stopping with the parent");
}
