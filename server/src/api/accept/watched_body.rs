//! Response bodies that can be seen to stall.
//!
//! hyper polls a body only when its stream has room. So a body that gave a frame and is not polled
//! again has a client that does not read; one that waits for an event has been polled and does not
//! count. Only the connection can act on it, so bodies leave a stamp where the connection finds it.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;

/// Value of a stamp that waits for nothing.
const NOT_WAITING: u64 = 0;
/// Stamps kept before dead ones are swept.
const SWEEP_AT: usize = 256;

/// The bodies of one connection.
#[derive(Clone, Debug)]
pub(crate) struct BodyWatch {
    start: Instant,
    stamps: Arc<Mutex<Vec<Weak<AtomicU64>>>>,
}

impl BodyWatch {
    /// Makes a watch without bodies.
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            stamps: Arc::default(),
        }
    }

    /// Wraps a body.
    pub(crate) fn wrap(&self, inner: Body) -> WatchedBody {
        let stamp = Arc::new(AtomicU64::new(self.now()));
        let mut stamps = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        if stamps.len() >= SWEEP_AT {
            stamps.retain(|stamp| stamp.strong_count() > 0);
        }
        stamps.push(Arc::downgrade(&stamp));
        WatchedBody {
            inner,
            stamp,
            start: self.start,
        }
    }

    /// Returns how long the body that waits longest has waited for its client.
    pub(crate) fn longest_wait(&self) -> Duration {
        let now = self.now();
        let mut stamps = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        stamps.retain(|stamp| stamp.strong_count() > 0);
        let waits = stamps
            .iter()
            .filter_map(Weak::upgrade)
            .map(|stamp| stamp.load(Ordering::Relaxed))
            .filter(|since| *since != NOT_WAITING)
            .map(|since| now.saturating_sub(since));
        Duration::from_millis(waits.max().unwrap_or(0))
    }

    fn now(&self) -> u64 {
        stamp_of(self.start)
    }
}

/// Milliseconds since the start, from 1, so that no moment looks like `NOT_WAITING`.
fn stamp_of(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
}

/// A body under watch.
#[derive(Debug)]
pub(crate) struct WatchedBody {
    inner: Body,
    stamp: Arc<AtomicU64>,
    start: Instant,
}

impl HttpBody for WatchedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let result = Pin::new(&mut self.inner).poll_frame(cx);
        let stamp = match &result {
            Poll::Ready(Some(Ok(_))) => stamp_of(self.start),
            Poll::Ready(Some(Err(_)) | None) | Poll::Pending => NOT_WAITING,
        };
        self.stamp.store(stamp, Ordering::Relaxed);
        result
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_a_body_that_is_not_asked_for_more_counts_as_waiting() {
        let watch = BodyWatch::new();
        let one_then_silence =
            futures_util::stream::iter([Ok::<_, axum::Error>("x")]).chain(futures_util::stream::pending());
        let mut body = watch.wrap(Body::from_stream(one_then_silence));
        body.frame().await.unwrap().unwrap();
        tokio::time::advance(Duration::from_secs(31)).await;
        assert_eq!(watch.longest_wait(), Duration::from_secs(31));

        assert!(futures_util::FutureExt::now_or_never(body.frame()).is_none());
        tokio::time::advance(Duration::from_secs(31)).await;
        assert_eq!(watch.longest_wait(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_is_gone_does_not_count() {
        let watch = BodyWatch::new();
        let body = watch.wrap(Body::from("never read"));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(watch.longest_wait(), Duration::from_secs(5));
        drop(body);
        assert_eq!(watch.longest_wait(), Duration::ZERO);
    }
}
