//! When a login may call: not before GitHub's own time is over, and one mutation at a time, a second apart.
//!
//! A time that was demanded is kept in a file, because a restarted server that calls at once is what
//! gets a login banned. Each login has its own; the others go on.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

/// Whether a call changes something at the forge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It reads.
    None,
    /// It writes.
    Mutation,
}

/// Lets calls pass.
#[derive(Debug)]
pub(super) struct Gate {
    /// Where demanded times outlive the server.
    file: PathBuf,
    /// Least time from one mutation to the next.
    pace: Duration,
    /// For each login the time before which it may not call, in seconds since 1970.
    closed_until: Mutex<BTreeMap<String, u64>>,
    /// For each login when its last mutation ended; held while one is under way.
    mutations: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<Option<Instant>>>>>,
}

/// Held while a call is under way.
#[derive(Debug)]
pub(super) struct Pass(Option<OwnedMutexGuard<Option<Instant>>>);

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some(last) = &mut self.0 {
            **last = Some(Instant::now());
        }
    }
}

impl Gate {
    /// Opens the gate with the times that an earlier server was told; a file that can't be read is none.
    pub(super) fn open(file: PathBuf, pace: Duration) -> Self {
        let kept = std::fs::read(&file)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self {
            file,
            pace,
            closed_until: Mutex::new(kept.unwrap_or_default()),
            mutations: Mutex::default(),
        }
    }

    /// Returns the least time from one mutation to the next.
    pub(super) fn pace(&self) -> Duration {
        self.pace
    }

    /// Returns how long a login has to wait, `None` when it may call.
    pub(super) fn wait(&self, login: &str) -> Option<Duration> {
        let closed_until = self.closed_until.lock().unwrap_or_else(PoisonError::into_inner);
        let until = UNIX_EPOCH + Duration::from_secs(*closed_until.get(login)?);
        until
            .duration_since(SystemTime::now())
            .ok()
            .filter(|wait| !wait.is_zero())
    }

    /// Waits for the turn of a call; an error says how long the login has to wait.
    pub(super) async fn enter(&self, login: &str, effect: Effect) -> Result<Pass, Duration> {
        let check = || self.wait(login).map_or(Ok(()), Err);
        check()?;
        if effect == Effect::None {
            return Ok(Pass(None));
        }
        let lock = {
            let mut mutations = self.mutations.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(mutations.entry(login.to_owned()).or_default())
        };
        let last = lock.lock_owned().await;
        if let Some(last) = *last {
            tokio::time::sleep_until(last + self.pace).await;
        }
        // The mutation before may have been told to wait.
        check()?;
        Ok(Pass(Some(last)))
    }

    /// Closes the gate for a login; never for a shorter time than was demanded before.
    pub(super) fn close(&self, login: &str, wait: Duration) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Rounded up: the file has seconds.
        let until = (now + wait).as_secs() + 1;
        let mut closed_until = self.closed_until.lock().unwrap_or_else(PoisonError::into_inner);
        closed_until.retain(|_, until| *until > now.as_secs());
        let entry = closed_until.entry(login.to_owned()).or_default();
        *entry = until.max(*entry);
        let text = serde_json::to_vec(&*closed_until).unwrap_or_default();
        if let Err(error) = crate::forge::git::repository::write_atomically(&self.file, &text) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a wait that a forge asked for would not outlive this server"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_demanded_wait_outlives_the_server_and_is_the_logins_own() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("waits.json");
        let gate = Gate::open(file.clone(), Duration::ZERO);
        assert!(gate.enter("a", Effect::None).await.is_ok());
        gate.close("a", Duration::from_secs(900));
        gate.close("a", Duration::from_secs(5));
        let next = Gate::open(file, Duration::ZERO);
        for gate in [&gate, &next] {
            let wait = gate.enter("a", Effect::None).await.unwrap_err();
            assert!((899..=901).contains(&wait.as_secs()), "{wait:?}");
            assert!(gate.enter("a", Effect::Mutation).await.is_err());
            assert!(gate.enter("b", Effect::Mutation).await.is_ok());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn mutations_of_a_login_are_apart_and_reads_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let gate = Gate::open(folder.path().join("waits.json"), Duration::from_secs(1));
        let begin = Instant::now();
        for _ in 0..3 {
            gate.enter("a", Effect::Mutation).await.unwrap();
            gate.enter("a", Effect::None).await.unwrap();
        }
        gate.enter("b", Effect::Mutation).await.unwrap();
        let took = begin.elapsed().as_secs_f64();
        assert!((2.0..2.1).contains(&took), "{took}");
    }
}
