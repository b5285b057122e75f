//! The greeting: versions, epoch, and the end of what an earlier server left running.
//!
//! A supervisor found running may be in the middle of a frame, or of a greeting to another server; the
//! only sign that it listens to us is a `Hello` with our epoch.

use std::collections::BTreeSet;
use std::time::Duration;

use sandbox_supervisor::frame::{self, Decoder, Frame};
use sandbox_supervisor::protocol::{Attach, FatalError, Hello, VERSION, kind};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::call::encode;
use super::calls::parse;
use super::{Entry, Session};
use crate::sandbox::SandboxError;

/// How long a supervisor may take to greet and to end what it runs.
const GREETING_DEADLINE: Duration = Duration::from_secs(30);

/// More than the pipes of a killed command hold.
const LEFT_CREDIT_BYTES: u64 = 64 << 20;

/// What a greeting gave.
pub(super) struct Greeted {
    /// What is enforced inside.
    pub(super) layers: Vec<String>,
    /// Holds what came after the greeting.
    pub(super) decoder: Decoder,
}

/// Greets a supervisor. Commands it ran before are dead when this returns.
pub(super) async fn greet(
    session: &Session,
    reader: &mut (impl AsyncRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
) -> Result<Greeted, SandboxError> {
    let mut greeting = Greeting {
        session,
        reader,
        writer,
        decoder: Decoder::default(),
    };
    match tokio::time::timeout(GREETING_DEADLINE, greeting.run()).await {
        Ok(layers) => layers.map(|layers| Greeted {
            layers,
            decoder: greeting.decoder,
        }),
        Err(_) => Err(unavailable(format!(
            "the supervisor did not greet within {} s",
            GREETING_DEADLINE.as_secs()
        ))),
    }
}

struct Greeting<'a, R, W> {
    session: &'a Session,
    reader: &'a mut R,
    writer: &'a mut W,
    decoder: Decoder,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Greeting<'_, R, W> {
    async fn run(&mut self) -> Result<Vec<String>, SandboxError> {
        match self.session.entry {
            Entry::Fresh => {
                let hello = self.hello().await?;
                self.attach().await?;
                Ok(hello.layers)
            }
            Entry::Running => {
                // An earlier server may have been cut off in the middle of a frame.
                self.write(&vec![0; frame::RESYNC_BYTES]).await?;
                self.attach().await?;
                let hello = loop {
                    let hello = self.hello().await?;
                    if hello.epoch == self.session.epoch.0 {
                        break hello;
                    }
                };
                self.end_execs(hello.execs).await?;
                Ok(hello.layers)
            }
        }
    }

    async fn hello(&mut self) -> Result<Hello, SandboxError> {
        loop {
            let frame = self.next_frame().await?;
            if frame.kind != kind::HELLO {
                continue;
            }
            let hello: Hello = parse(&frame).map_err(|ended| ended.error())?;
            if hello.version != VERSION {
                return Err(SandboxError::Unsupported {
                    message: format!(
                        "the supervisor speaks protocol {} and this server {VERSION}: install both from one release",
                        hello.version
                    ),
                });
            }
            if hello.epoch > self.session.epoch.0 {
                return Err(SandboxError::Lost {
                    message: "a newer run has taken it over".into(),
                });
            }
            return Ok(hello);
        }
    }

    async fn attach(&mut self) -> Result<(), SandboxError> {
        let attach = Attach {
            version: VERSION,
            epoch: self.session.epoch.0,
            deadline_seconds: self.session.deadline.as_secs().max(1),
            environment: self.session.environment.clone(),
        };
        let payload = encode(&attach)?;
        if payload.len() > frame::MAX_PAYLOAD_BYTES {
            let message = "the environment of the sandbox is over 1 MiB".into();
            return Err(SandboxError::Internal { message });
        }
        self.send(kind::ATTACH, 0, &payload).await
    }

    /// Kills the execs of an earlier server and waits for their reports.
    async fn end_execs(&mut self, execs: Vec<u32>) -> Result<(), SandboxError> {
        let mut running: BTreeSet<u32> = execs.into_iter().collect();
        for stream in &running {
            self.send(kind::KILL, *stream, &[]).await?;
            // What a streamed one wrote is nobody's now, and must not keep its end waiting.
            let mut credit = Vec::new();
            frame::encode(kind::CREDIT, *stream, LEFT_CREDIT_BYTES, &[], &mut credit);
            self.write(&credit).await?;
        }
        while !running.is_empty() {
            let frame = self.next_frame().await?;
            if frame.kind == kind::EXEC_DONE && running.remove(&frame.stream) {
                self.send(kind::FORGET, frame.stream, &[]).await?;
            }
        }
        Ok(())
    }

    async fn next_frame(&mut self) -> Result<Frame, SandboxError> {
        loop {
            if let Some(frame) = self.decoder.next_frame() {
                if frame.kind != kind::FATAL {
                    return Ok(frame);
                }
                let fatal: FatalError = parse(&frame).map_err(|ended| ended.error())?;
                return Err(SandboxError::Unsupported { message: fatal.message });
            }
            let mut buffer = [0; 16 << 10];
            match self.reader.read(&mut buffer).await {
                Ok(0) => return Err(unavailable("the supervisor ended before it greeted".into())),
                Ok(count) => self.decoder.extend(buffer.get(..count).unwrap_or_default()),
                Err(error) => {
                    return Err(unavailable(format!(
                        "reading the supervisor's greeting failed: {error}"
                    )));
                }
            }
        }
    }

    async fn send(&mut self, kind: u8, stream: u32, payload: &[u8]) -> Result<(), SandboxError> {
        let mut bytes = Vec::new();
        frame::encode(kind, stream, 0, payload, &mut bytes);
        self.write(&bytes).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), SandboxError> {
        let written = async {
            self.writer.write_all(bytes).await?;
            self.writer.flush().await
        };
        written
            .await
            .map_err(|error| unavailable(format!("writing to the supervisor failed: {error}")))
    }
}

fn unavailable(message: String) -> SandboxError {
    SandboxError::Unavailable { message }
}
