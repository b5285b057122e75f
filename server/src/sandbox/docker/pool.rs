//! Containers kept ready: started, attached to, their supervisor waiting to be greeted.
//!
//! A container gets no mount and no label later, so a ready one has neither the objects nor the id of a Task: it is
//! renamed when it is taken, and a base is sent into it, which is right for a small one. What is left over at the
//! end of the server is removed; what a crash leaves, by the next sweep.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::attach::Attachment;
use super::container::Maker;
use super::image::ImageId;
use super::life::Life;
use crate::sandbox::supervised::Lifecycle as _;
use crate::sandbox::{PoolNumbers, SandboxLimits, SandboxSpec};

/// Largest base that is sent rather than shown: more takes longer than a container does.
const MOST_BASE_BYTES: u64 = 4 << 20;

/// A supervisor that nobody greets ends after an hour.
const MOST_AGE: Duration = Duration::from_secs(50 * 60);

/// How often old ones are looked for.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// What ready containers are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) image: ImageId,
    pub(super) limits: SandboxLimits,
}

/// A container that waits for a Task.
pub(super) struct Ready {
    pub(super) life: Arc<Life>,
    pub(super) attachment: Attachment,
    kind: Kind,
    made: Instant,
}

impl Ready {
    pub(super) fn new(kind: Kind, life: Arc<Life>, attachment: Attachment) -> Self {
        Self {
            life,
            attachment,
            kind,
            made: Instant::now(),
        }
    }
}

/// The containers that wait.
pub(super) struct Pool {
    size: usize,
    ready: Mutex<Vec<Ready>>,
    /// Of what the next ones are made: of what was asked for last.
    wanted: Mutex<Option<Kind>>,
    wake: Notify,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Pool {
    pub(super) fn new(size: usize) -> Self {
        Self {
            size,
            ready: Mutex::default(),
            wanted: Mutex::default(),
            wake: Notify::new(),
            hits: AtomicU64::default(),
            misses: AtomicU64::default(),
        }
    }

    /// Returns how it does.
    pub(super) fn numbers(&self) -> PoolNumbers {
        PoolNumbers {
            size: self.size,
            ready: self.ready().len(),
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
        }
    }

    /// Takes a container that can become this sandbox, and has another made.
    pub(super) fn take(&self, spec: &SandboxSpec, kind: Kind) -> Option<Ready> {
        let may_be =
            self.size > 0 && spec.checkout.is_none() && spec.setup.is_none() && spec.base_bytes <= MOST_BASE_BYTES;
        // Nothing is wanted before the self-test has passed, whose own sandbox is no miss.
        if !may_be || self.wanted().is_none() {
            return None;
        }
        let mut ready = self.ready();
        let at = ready
            .iter()
            .position(|ready| ready.kind == kind && ready.made.elapsed() < MOST_AGE);
        let taken = at.map(|at| ready.swap_remove(at));
        drop(ready);
        let count = if taken.is_some() { &self.hits } else { &self.misses };
        count.fetch_add(1, Ordering::Relaxed);
        self.want(kind);
        taken
    }

    /// Has containers of a kind made ready.
    pub(super) fn want(&self, kind: Kind) {
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = Some(kind);
        self.wake.notify_one();
    }

    fn wanted(&self) -> Option<Kind> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn ready(&self) -> MutexGuard<'_, Vec<Ready>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns those that are too old or of a kind that is not wanted any more, all of them when none is wanted.
    fn take_unwanted(&self, wanted: Option<&Kind>) -> Vec<Ready> {
        let is_wanted = |ready: &Ready| Some(&ready.kind) == wanted && ready.made.elapsed() < MOST_AGE;
        let mut ready = self.ready();
        let (kept, unwanted) = std::mem::take(&mut *ready).into_iter().partition(is_wanted);
        *ready = kept;
        unwanted
    }
}

/// Keeps the pool as it is wanted until the server stops, and empties it then.
pub(super) async fn keep(maker: Weak<Maker>, stop: CancellationToken) {
    loop {
        let Some(maker) = maker.upgrade() else { return };
        if stop.is_cancelled() {
            return discard(maker.pool.take_unwanted(None)).await;
        }
        let wanted = maker.pool.wanted();
        discard(maker.pool.take_unwanted(wanted.as_ref())).await;
        if let Some(kind) = wanted
            && maker.pool.ready().len() < maker.pool.size
        {
            match maker.make_ready(kind).await {
                Ok(ready) => {
                    maker.pool.ready().push(ready);
                    let PoolNumbers {
                        size,
                        ready,
                        hits,
                        misses,
                    } = maker.pool.numbers();
                    tracing::debug!(
                        pool.size = size,
                        pool.ready = ready,
                        pool.hits = hits,
                        pool.misses = misses,
                        "a container is ready"
                    );
                    continue;
                }
                // Tried again when the next one is wanted, or at the next look.
                Err(error) => tracing::debug!(%error, "no container could be made ready"),
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = maker.pool.wake.notified() => {}
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
        }
    }
}

async fn discard(unwanted: Vec<Ready>) {
    for ready in unwanted {
        if let Err(error) = ready.life.destroy().await {
            tracing::debug!(%error, "a container that was kept ready could not be removed; a sweep will");
        }
    }
}
