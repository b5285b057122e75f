//! One call through the connection: start it, feed its output on, wait for its end.
//!
//! A call that is dropped takes its command with it: the guard sends the kill, and the kill is behind
//! the start in the same queue. Each wait has a deadline of its own behind the supervisor's, so that
//! one that hangs is noticed and given up as lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sandbox_supervisor::frame::MAX_PAYLOAD_BYTES;
use sandbox_supervisor::protocol::{ExecDone, ExecRequest, Output, kind};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::calls::Sink;
use super::connection::{Connection, Ended};
use crate::sandbox::{ExecReport, ExecSpec, OutputChunk, OutputMode, SandboxError, Spill, WORK_TREE};

/// How much longer than a command's limit its report may take.
const REPORT_GRACE: Duration = Duration::from_secs(30);

/// Longest limit that a command gets; keeps sums of times from overflowing.
const MAX_TIMEOUT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Encodes a request's payload.
pub(super) fn encode(request: &impl Serialize) -> Result<Vec<u8>, SandboxError> {
    serde_json::to_vec(request).map_err(|error| SandboxError::Internal {
        message: format!("a request could not be encoded: {error}"),
    })
}

/// Sends a request and waits for its one answer.
pub(super) async fn ask<T: DeserializeOwned>(
    connection: &Arc<Connection>,
    request_kind: u8,
    payload: Vec<u8>,
    deadline: Duration,
) -> Result<T, SandboxError> {
    let done_kind = request_kind - 1;
    let room = connection.room(payload.len()).await?;
    let (stream, reply) = connection
        .calls()
        .open_request(done_kind)
        .map_err(|ended| ended.error())?;
    let _open = OpenRequest { connection, stream };
    connection.send(request_kind, stream, &payload, room);
    match tokio::time::timeout(deadline, reply).await {
        Ok(Ok(payload)) => serde_json::from_slice(&payload).map_err(|error| {
            connection.end(Ended::Protocol(format!(
                "an answer of kind {done_kind} can't be read: {error}"
            )))
        }),
        Ok(Err(_)) => Err(connection.calls().ended().error()),
        Err(_) => Err(connection.end(Ended::Lost(format!(
            "it gave no answer within {} s",
            deadline.as_secs()
        )))),
    }
}

/// Runs a command to its end.
pub(super) async fn exec(
    connection: &Arc<Connection>,
    spec: ExecSpec,
    output: Option<mpsc::Sender<OutputChunk>>,
) -> Result<ExecReport, SandboxError> {
    let timeout = spec.timeout.min(MAX_TIMEOUT);
    let (mode, sink, flow) = match (spec.output, output) {
        (OutputMode::Captured, None) => (Output::Captured, Sink::Unwatched, None),
        (OutputMode::Captured, Some(chunks)) => (Output::Live, Sink::Live(chunks), None),
        (OutputMode::Streamed, Some(output)) => {
            let (chunks, received) = mpsc::unbounded_channel();
            let owed_bytes = Arc::new(AtomicU64::new(0));
            let flow = Flow {
                received,
                owed_bytes: Arc::clone(&owed_bytes),
                output,
            };
            (Output::Streamed, Sink::Streamed { chunks, owed_bytes }, Some(flow))
        }
        (OutputMode::Streamed, None) => {
            let message = "a streamed command needs a reader".into();
            return Err(SandboxError::Internal { message });
        }
    };
    let payload = encode(&ExecRequest {
        argv: spec.argv,
        folder: spec.folder.unwrap_or_else(|| WORK_TREE.into()),
        environment: spec.environment,
        timeout_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
        output: mode,
    })?;
    if payload.len() > MAX_PAYLOAD_BYTES {
        let message = format!(
            "its arguments and environment have {} bytes, more than the limit",
            payload.len()
        );
        return Err(SandboxError::Start { message });
    }
    let room = connection.room(payload.len()).await?;
    let (stream, report) = connection.calls().open_exec(sink).map_err(|ended| ended.error())?;
    let _running = RunningExec { connection, stream };
    connection.send(kind::EXEC, stream, &payload, room);
    let deadline = Instant::now() + timeout + REPORT_GRACE;
    let done = match flow {
        None => tokio::time::timeout_at(deadline, report).await.map(Result::ok),
        Some(mut flow) => flow.run(connection, stream, report, deadline).await,
    };
    match done {
        Ok(Some(done)) => into_report(done),
        Ok(None) => Err(connection.calls().ended().error()),
        Err(_) => Err(connection.end(Ended::Lost("it did not end a command in time".into()))),
    }
}

/// Streamed output on its way from the connection to its reader.
struct Flow {
    received: mpsc::UnboundedReceiver<OutputChunk>,
    owed_bytes: Arc<AtomicU64>,
    output: mpsc::Sender<OutputChunk>,
}

impl Flow {
    /// Feeds the reader until the report is there and all that came before it has been taken.
    async fn run(
        &mut self,
        connection: &Connection,
        stream: u32,
        mut report: tokio::sync::oneshot::Receiver<ExecDone>,
        deadline: Instant,
    ) -> Result<Option<ExecDone>, tokio::time::error::Elapsed> {
        let mut done = None;
        while done.is_none() {
            // Chunks first: waiting for a slow reader must not count against the supervisor.
            tokio::select! {
                biased;
                Some(chunk) = self.received.recv() => {
                    if self.forward(connection, stream, chunk, Some((&mut report, &mut done))).await == Reader::Pointless {
                        return Ok(None);
                    }
                }
                result = tokio::time::timeout_at(deadline, &mut report) => match result?.ok() {
                    Some(report) => done = Some(report),
                    None => return Ok(None),
                },
            }
        }
        // The table's end of the channel is gone by now, so this ends.
        while let Some(chunk) = self.received.recv().await {
            self.forward(connection, stream, chunk, None).await;
        }
        Ok(done)
    }

    /// Gives a chunk to the reader. While it has no room the report is looked for: a sandbox that ended must not
    /// wait for a reader.
    async fn forward(
        &mut self,
        connection: &Connection,
        stream: u32,
        chunk: OutputChunk,
        mut report: Option<(&mut tokio::sync::oneshot::Receiver<ExecDone>, &mut Option<ExecDone>)>,
    ) -> Reader {
        let length = chunk.data.len() as u64;
        let permit = loop {
            let Some((receiver, done)) = report.as_mut().filter(|(_, done)| done.is_none()) else {
                break self.output.reserve().await;
            };
            tokio::select! {
                biased;
                permit = self.output.reserve() => break permit,
                result = &mut **receiver => match result {
                    Ok(report) => **done = Some(report),
                    Err(_) => return Reader::Pointless,
                },
            }
        };
        match permit {
            Ok(permit) => permit.send(chunk),
            // Nobody reads: every byte can't be delivered any more, so the command has no use.
            Err(_) => connection.signal(kind::KILL, stream, 0),
        }
        self.owed_bytes.fetch_sub(length, Ordering::Relaxed);
        connection.signal(kind::CREDIT, stream, length);
        Reader::Goes
    }
}

/// Whether it makes sense to go on feeding a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    /// The chunk was given, or nobody wants it.
    Goes,
    /// The sandbox ended; no report will come.
    Pointless,
}

/// Kills the command when the call is dropped before its end.
struct RunningExec<'a> {
    connection: &'a Connection,
    stream: u32,
}

impl Drop for RunningExec<'_> {
    fn drop(&mut self) {
        if self.connection.calls().abandon(self.stream) {
            self.connection.signal(kind::KILL, self.stream, 0);
        }
    }
}

/// Takes a request out of the table when nobody waits for it any more.
struct OpenRequest<'a> {
    connection: &'a Connection,
    stream: u32,
}

impl Drop for OpenRequest<'_> {
    fn drop(&mut self) {
        self.connection.calls().close(self.stream);
    }
}

/// Makes the port's report of the protocol's.
fn into_report(done: ExecDone) -> Result<ExecReport, SandboxError> {
    if let Some(message) = done.start_error {
        return Err(SandboxError::Start { message });
    }
    let total_bytes = done.stdout_bytes.saturating_add(done.stderr_bytes);
    let mut output = done.head;
    if done.omitted_bytes > 0 {
        if output.last().is_some_and(|byte| *byte != b'\n') {
            output.push(b'\n');
        }
        output.extend_from_slice(format!("[... {} bytes left out ...]\n", done.omitted_bytes).as_bytes());
    }
    output.extend_from_slice(&done.tail);
    Ok(ExecReport {
        exit_code: done.exit_code,
        signal: done.signal,
        timed_out: done.timed_out,
        out_of_memory: done.out_of_memory,
        disk_exceeded: done.disk_exceeded,
        duration: Duration::from_micros(done.duration_us),
        output,
        total_bytes,
        spill: done.spill_path.map(|path| Spill {
            path,
            bytes: done.spill_bytes,
            dropped_bytes: total_bytes.saturating_sub(done.spill_bytes),
        }),
    })
}
