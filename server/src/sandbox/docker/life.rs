//! What belongs to one sandbox at the engine, from its making to its removal.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bollard::query_parameters::RemoveContainerOptions;

use super::engine::{Engine, is_conflict, is_missing, is_slow_kill};
use super::request;
use super::volumes::{self, Purpose, Volumes};
use crate::sandbox::SandboxError;
use crate::sandbox::supervised::Lifecycle;
use crate::task::id::SandboxId;

/// How long a removal that the engine has begun may take.
const REMOVAL_DEADLINE: Duration = Duration::from_secs(20);
const REMOVAL_INTERVAL: Duration = Duration::from_millis(50);

/// Volumes that go with their sandbox.
const LAYERS: [Purpose; 4] = [
    Purpose::Upper,
    Purpose::Scratch,
    Purpose::HomeUpper,
    Purpose::HomeScratch,
];

/// Sandboxes in use by this process, and by how many.
#[derive(Clone, Default)]
pub(super) struct Live(Arc<Mutex<HashMap<SandboxId, usize>>>);

impl Live {
    /// Tells whether a sandbox is in use.
    pub(super) fn has(&self, id: SandboxId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&id)
    }

    /// Begins a life: from here on no sweep takes what is of this sandbox.
    pub(super) fn begin(&self, id: SandboxId, volumes: &Volumes) -> Arc<Life> {
        self.begin_with(id, volumes, None)
    }

    /// Begins a life in a container that was kept ready, whose own id a sweep may have seen just before.
    pub(super) fn begin_in(&self, id: SandboxId, volumes: &Volumes, ready: Arc<Life>) -> Arc<Life> {
        self.begin_with(id, volumes, Some(ready))
    }

    fn begin_with(&self, id: SandboxId, volumes: &Volumes, ready: Option<Arc<Life>>) -> Arc<Life> {
        let mut live = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *live.entry(id).or_default() += 1;
        Arc::new(Life {
            id,
            volumes: volumes.clone(),
            live: self.clone(),
            counts: AtomicBool::new(true),
            _ready: ready,
        })
    }

    fn end(&self, id: SandboxId) {
        let mut live = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut entry) = live.entry(id) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

/// What belongs to one sandbox at the engine.
pub(super) struct Life {
    id: SandboxId,
    volumes: Volumes,
    live: Live,
    /// Whether it is counted among the live.
    counts: AtomicBool,
    /// The life of the container before it was this sandbox's: as long as this one, it is in use.
    _ready: Option<Arc<Life>>,
}

impl Life {
    /// Returns the sandbox's id.
    pub(super) fn id(&self) -> SandboxId {
        self.id
    }

    fn forget(&self) {
        if self.counts.swap(false, Ordering::AcqRel) {
            self.live.end(self.id);
        }
    }
}

/// A sandbox that was dropped without a word is a sweep's.
impl Drop for Life {
    fn drop(&mut self) {
        self.forget();
    }
}

#[async_trait]
impl Lifecycle for Life {
    async fn detach(&self) {
        self.forget();
    }

    async fn destroy(&self) -> Result<(), SandboxError> {
        remove(&self.volumes.engine, &request::name(self.id)).await?;
        for purpose in LAYERS {
            self.volumes.remove(&volumes::name(self.id, purpose)).await?;
        }
        self.forget();
        Ok(())
    }
}

/// Kills and removes a container with its volumes; waits for a removal that is under way.
pub(super) async fn remove(engine: &Engine, container: &str) -> Result<(), SandboxError> {
    let removed = async {
        loop {
            let options = RemoveContainerOptions {
                force: true,
                v: true,
                ..RemoveContainerOptions::default()
            };
            match engine.client().remove_container(container, Some(options)).await {
                Ok(()) => return Ok(()),
                Err(error) if is_missing(&error) => return Ok(()),
                // The engine tells of no end of a removal.
                Err(error) if is_conflict(&error) => tokio::time::sleep(REMOVAL_INTERVAL).await,
                Err(error) if is_slow_kill(&error) => {}
                Err(error) => return Err(engine.fault("remove the container", error)),
            }
        }
    };
    tokio::time::timeout(REMOVAL_DEADLINE, removed)
        .await
        .unwrap_or_else(|_| {
            Err(SandboxError::Unavailable {
                message: format!("the engine does not end the removal of the container {container}"),
            })
        })
}
