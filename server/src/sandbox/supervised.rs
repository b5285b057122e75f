//! The one implementation of `Sandbox`: a client of the supervisor, over any pair of byte streams.
//!
//! Backends bring the streams and a `Lifecycle`; nothing here knows which backend it is. Every frame is
//! untrusted input: what is unknown is dropped, what is wrong ends the sandbox. Dropping a sandbox
//! without `destroy` closes its streams, which is the net and not the way.

mod call;
mod calls;
mod connection;
mod handshake;
mod tunnel;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sandbox_supervisor::protocol::{ChangesReply, FileOutcome, TunnelOutcome, kind};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_util::sync::DropGuard;

use self::connection::{Connection, Ended};
use super::egress::{Egress, EgressPolicy};
use super::{
    Changes, Denial, ExecReport, ExecSpec, FileError, FileReply, FileRequest, OutputChunk, Sandbox, SandboxError,
    SandboxSpec,
};
use crate::jobs::Jobs;
use crate::task::host::rules::HostRules;
use crate::task::id::{Epoch, SandboxId};

/// How long a file operation may take; the supervisor gives up before.
const FILE_DEADLINE: Duration = Duration::from_secs(90);

/// How long an answer may take that needs no work.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// Bytes that one read of a spill asks for.
const SPILL_READ_BYTES: u64 = 512 << 10;

/// What a backend does at the end of a sandbox.
#[async_trait]
pub trait Lifecycle: Send + Sync + 'static {
    /// Lets go of it so that a restarted server finds it again.
    async fn detach(&self);

    /// Ends all its processes and removes what belongs to it. Safe to repeat.
    async fn destroy(&self) -> Result<(), SandboxError>;
}

/// In which state a supervisor is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It was just started and speaks first.
    Fresh,
    /// It has been running; what it runs is killed.
    Running,
}

/// What the greeting tells a supervisor.
#[derive(Clone, Debug)]
pub struct Session {
    /// Id of the sandbox.
    pub id: SandboxId,
    /// Lease epoch of the run.
    pub epoch: Epoch,
    /// When the sandbox ends by itself.
    pub deadline: Duration,
    /// Environment of every command.
    pub environment: Vec<(String, String)>,
    /// What may be reached through the tunnel at all.
    pub egress: Arc<EgressPolicy>,
    /// State of the supervisor.
    pub entry: Entry,
}

impl Session {
    /// Takes what the greeting needs from a spec.
    pub fn new(spec: &SandboxSpec, entry: Entry, egress: Arc<EgressPolicy>) -> Self {
        Self {
            id: spec.id,
            epoch: spec.epoch,
            deadline: spec.deadline,
            environment: spec.environment.clone(),
            egress,
            entry,
        }
    }
}

/// A sandbox whose supervisor is at the other end of two streams.
pub struct SupervisedSandbox {
    id: SandboxId,
    layers: Vec<String>,
    connection: Arc<Connection>,
    lifecycle: Arc<dyn Lifecycle>,
    _streams: DropGuard,
}

impl SupervisedSandbox {
    /// Greets the supervisor and starts to serve. On an error, or when dropped before it is done, the
    /// lifecycle has not been called: the caller still owns what it started.
    pub async fn enter(
        jobs: &Jobs,
        session: Session,
        mut reader: impl AsyncRead + Send + Unpin + 'static,
        mut writer: impl AsyncWrite + Send + Unpin + 'static,
        lifecycle: Arc<dyn Lifecycle>,
    ) -> Result<Arc<Self>, SandboxError> {
        let greeted = handshake::greet(&session, &mut reader, &mut writer).await?;
        let egress = Egress::new(Arc::clone(&session.egress));
        let (connection, queue) = Connection::new(session.epoch, egress, jobs.clone());
        let stop = connection.stop_token();
        jobs.spawn("sandbox writer", Arc::clone(&connection).write_frames(writer, queue));
        jobs.spawn("sandbox reader", {
            let (connection, lifecycle) = (Arc::clone(&connection), Arc::clone(&lifecycle));
            async move {
                let broken = connection.read_frames(reader, greeted.decoder).await;
                if broken && let Err(error) = lifecycle.destroy().await {
                    tracing::warn!(sandbox.id = %session.id, %error, "a sandbox that broke its protocol was not removed");
                }
            }
        });
        Ok(Arc::new(Self {
            id: session.id,
            layers: greeted.layers,
            connection,
            lifecycle,
            _streams: stop.drop_guard(),
        }))
    }

    /// Returns what the supervisor and its launcher say they enforce.
    pub fn layers(&self) -> &[String] {
        &self.layers
    }
}

#[async_trait]
impl Sandbox for SupervisedSandbox {
    fn id(&self) -> SandboxId {
        self.id
    }

    async fn exec(
        &self,
        spec: ExecSpec,
        output: Option<mpsc::Sender<OutputChunk>>,
    ) -> Result<ExecReport, SandboxError> {
        call::exec(&self.connection, spec, output).await
    }

    async fn file(&self, request: FileRequest) -> Result<Result<FileReply, FileError>, SandboxError> {
        let payload = call::encode(&request)?;
        if payload.len() > sandbox_supervisor::frame::MAX_PAYLOAD_BYTES {
            let path = request.path().to_owned();
            return Ok(Err(FileError::TooLarge {
                path,
                size: payload.len() as u64,
            }));
        }
        call::ask::<FileOutcome>(&self.connection, kind::FILE, payload, FILE_DEADLINE).await
    }

    async fn read_spill(&self, path: &str, offset: u64) -> Result<Bytes, SandboxError> {
        let request = FileRequest::ReadBytes {
            path: path.to_owned(),
            offset,
            max_bytes: SPILL_READ_BYTES,
        };
        match self.file(request).await? {
            Ok(FileReply::Bytes { data, .. }) => Ok(Bytes::from(data)),
            Ok(other) => {
                let message = format!("a read of bytes was answered by {}", other.name());
                Err(self.connection.end(Ended::Protocol(message)))
            }
            Err(error) => Err(SandboxError::Internal {
                message: error.to_string(),
            }),
        }
    }

    async fn changes(&self) -> Result<Changes, SandboxError> {
        let reply: ChangesReply = call::ask(&self.connection, kind::CHANGES, Vec::new(), ANSWER_DEADLINE).await?;
        Ok(if reply.possible {
            Changes::Possible
        } else {
            Changes::None
        })
    }

    async fn allow_hosts(&self, rules: HostRules) -> Result<(), SandboxError> {
        let is_needed = !rules.is_empty();
        self.connection.egress().allow(rules);
        if !is_needed {
            return Ok(());
        }
        // Before the question: a command may be faster than the answer.
        self.connection.tunnels().open();
        let outcome: TunnelOutcome = call::ask(&self.connection, kind::TUNNEL, Vec::new(), ANSWER_DEADLINE).await?;
        outcome.map(|_| ()).map_err(|message| SandboxError::Internal {
            message: format!("the sandbox has no way to its proxy: {message}"),
        })
    }

    fn take_denials(&self) -> Vec<Denial> {
        self.connection.egress().take_denials()
    }

    async fn detach(&self) {
        self.connection.end(Ended::Left);
        self.lifecycle.detach().await;
    }

    async fn destroy(&self) -> Result<(), SandboxError> {
        self.connection.end(Ended::Destroyed);
        self.lifecycle.destroy().await
    }
}

#[cfg(test)]
mod tests;
