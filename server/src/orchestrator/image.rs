//! The image of a Task's sandbox: what the request states, else what the repository's base does, else the server's.
//!
//! A sandbox has its image from the start, so this is read from the mirror before there is a sandbox, as data. An image
//! of the repository that this server does not allow is left out and said, as all that its file asks for too much;
//! one of the request is refused by the backend.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::forge::git::Mirror;
use crate::orchestrator::Parts;
use crate::orchestrator::analyse::settings::{FILE_NAME, RepositorySettings};
use crate::orchestrator::run::Halt;
use crate::orchestrator::run_log::RunLog;
use crate::orchestrator::stated::{self, warn_once};
use crate::orchestrator::workbench::git_halt;

/// Longest settings of a repository that are read for its image; the analysis says what is wrong with longer ones.
const MAX_SETTINGS_BYTES: usize = 64 << 10;

/// How often people are told how far an image is: each is an event that is kept.
const TELL_INTERVAL: Duration = Duration::from_secs(5);

/// The image of a coming sandbox.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    /// What is asked for; `None` is the server's own.
    pub(super) image: Option<String>,
    /// It with its content; `None` where sandboxes have no image.
    pub(super) named: Option<String>,
}

/// Chooses the image and has it ready.
pub(super) async fn choose(parts: &Parts, log: &RunLog, mirror: &Mirror) -> Result<Chosen, Halt> {
    if !stated::has_images(parts) {
        return Ok(Chosen::default());
    }
    let image = match log.record().spec.environment.image {
        Some(image) => Some(image),
        None => of_repository(parts, log, mirror).await?,
    };
    let (progress, told) = mpsc::channel(8);
    let (named, said) = tokio::join!(
        parts.sandboxes.prepare_image(image.as_deref(), progress),
        tell(log, told)
    );
    said?;
    let named = named?;
    if let Some(named) = &named {
        log.step(9, &format!("The sandbox is made of {named}")).await?;
    }
    Ok(Chosen { image, named })
}

/// Returns the image of the base commit's settings, where the server allows it.
async fn of_repository(parts: &Parts, log: &RunLog, mirror: &Mirror) -> Result<Option<String>, Halt> {
    let file = parts.git.file_at(mirror, FILE_NAME, MAX_SETTINGS_BYTES);
    let Some(file) = file.await.map_err(git_halt)? else {
        return Ok(None);
    };
    // What is wrong with the file is said by the analysis, with its place.
    let settings = RepositorySettings::parse(&String::from_utf8_lossy(&file)).unwrap_or_default();
    let Some(image) = settings.sandbox.image else {
        return Ok(None);
    };
    if parts.sandboxes.allows_image(&image) {
        return Ok(Some(image));
    }
    let message = format!("the image {image} of {FILE_NAME} is not allowed by this server, which uses its own instead");
    warn_once(parts, log, message).await?;
    Ok(None)
}

/// Tells how far it is, now and then, until there is nothing more to tell.
async fn tell(log: &RunLog, mut told: mpsc::Receiver<String>) -> Result<(), Halt> {
    let mut ticks = tokio::time::interval_at(Instant::now(), TELL_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while let Some(words) = newest(&mut told, &mut ticks).await {
        log.step(8, &words).await?;
    }
    Ok(())
}

/// Waits for the next tick that has something to tell; nothing, and at once, when all is over.
async fn newest(told: &mut mpsc::Receiver<String>, ticks: &mut Interval) -> Option<String> {
    let mut newest = None;
    loop {
        tokio::select! {
            biased;
            words = told.recv() => newest = Some(words?),
            _ = ticks.tick(), if newest.is_some() => return newest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_newest_words_are_told_at_a_tick_and_the_end_waits_for_none() {
        let begun = Instant::now();
        let mut ticks = tokio::time::interval_at(begun, TELL_INTERVAL);
        let (progress, mut told) = mpsc::channel(8);
        let say = |words: &str| progress.try_send(words.to_owned()).unwrap();
        say("first");
        assert_eq!(newest(&mut told, &mut ticks).await.as_deref(), Some("first"));
        assert_eq!(begun.elapsed(), Duration::ZERO);
        say("second");
        say("third");
        assert_eq!(newest(&mut told, &mut ticks).await.as_deref(), Some("third"));
        assert_eq!(begun.elapsed(), TELL_INTERVAL);
        say("last");
        drop(progress);
        assert_eq!(newest(&mut told, &mut ticks).await, None);
        assert_eq!(begun.elapsed(), TELL_INTERVAL);
    }
}
