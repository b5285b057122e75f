//! Reading an artifact: the whole patch, a tool's output, the log.
//!
//! A lost connection is opened again at the byte reached, under the rules of [`Reconnect`]. The bytes
//! come as they were stored: whoever shows them on a terminal has to escape them.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Streaming;

use crate::backoff::{Random, Reconnect};
use crate::client::Client;
use crate::error::{CallError, Error};
use crate::v1;

/// An artifact being read.
pub struct ArtifactRead {
    client: Client,
    reconnect: Reconnect,
    name: String,
    offset: u64,
    stream: Option<Streaming<v1::ReadArtifactResponse>>,
    failures: u32,
    lost_since: Option<Instant>,
    done: bool,
}

impl ArtifactRead {
    pub(crate) fn new(client: Client, name: String) -> Self {
        let reconnect = client.reconnect();
        Self {
            client,
            reconnect,
            name,
            offset: 0,
            stream: None,
            failures: 0,
            lost_since: None,
            done: false,
        }
    }

    /// How many bytes were delivered.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns the next bytes; `None` at the end and after an error. Safe to drop at any await.
    pub async fn next(&mut self) -> Option<Result<Vec<u8>, Error>> {
        while !self.done {
            match self.step().await {
                Ok(Some(data)) if data.is_empty() => {}
                Ok(Some(data)) => {
                    self.offset = self.offset.saturating_add(data.len() as u64);
                    self.failures = 0;
                    self.lost_since = None;
                    return Some(Ok(data));
                }
                Ok(None) => self.done = true,
                Err(error) => {
                    self.stream = None;
                    if let Err(error) = self.recover(error).await {
                        self.done = true;
                        return Some(Err(error));
                    }
                }
            }
        }
        None
    }

    /// Returns all that is left, at most `limit_bytes`; more is an error.
    pub async fn read_to_end(&mut self, limit_bytes: usize) -> Result<Vec<u8>, Error> {
        let mut all = Vec::new();
        while let Some(data) = self.next().await {
            all.extend_from_slice(&data?);
            if all.len() > limit_bytes {
                let reason = format!("{} is longer than the {limit_bytes} bytes allowed for here", self.name);
                return Err(Error::Options { reason });
            }
        }
        Ok(all)
    }

    async fn step(&mut self) -> Result<Option<Vec<u8>>, CallError> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let request = v1::ReadArtifactRequest {
                    name: self.name.clone(),
                    offset: self.offset,
                };
                self.stream
                    .insert(self.client.raw().read_artifact(request).await?.into_inner())
            }
        };
        Ok(stream.message().await?.map(|response| response.data))
    }

    async fn recover(&mut self, error: CallError) -> Result<(), Error> {
        if !error.is_retryable() {
            return Err(Error::Call(Box::new(error)));
        }
        self.failures = self.failures.saturating_add(1);
        let lost_for = self.lost_since.get_or_insert_with(Instant::now).elapsed();
        let delay: Duration = self.reconnect.delay(self.failures, error.retry_after, Random::draw());
        if lost_for.saturating_add(delay) > self.reconnect.give_up_after {
            return Err(Error::Lost {
                task: None,
                last_sequence: 0,
                lost_for,
                source: Box::new(error),
            });
        }
        tokio::time::sleep(delay).await;
        Ok(())
    }
}
