//! Artifacts on the wire: pieces of at most 64 KiB, read from the store as the client takes them.

use std::pin::Pin;

use backspace_sdk::v1;
use bytes::Bytes;
use futures_util::stream;
use tokio_stream::Stream;
use tonic::Status;

use crate::api::edge::EdgeError;
use crate::orchestrator::{Caller, Orchestrator};
use crate::task::id::{ArtifactId, TaskId};

/// Most bytes in one message.
const MAX_CHUNK_BYTES: usize = 64 * 1024;

/// A stream of an artifact's bytes.
pub(crate) type ArtifactStream = Pin<Box<dyn Stream<Item = Result<v1::ReadArtifactResponse, Status>> + Send>>;

struct Cursor {
    orchestrator: Orchestrator,
    caller: Caller,
    task: TaskId,
    artifact: ArtifactId,
    /// Read from the store and not sent yet.
    ahead: Bytes,
    /// Where the next read begins.
    offset: u64,
}

/// Opens an artifact; its first bytes are read before this returns, so that a missing one is told at once.
pub(crate) async fn open(
    orchestrator: Orchestrator,
    caller: Caller,
    task: TaskId,
    artifact: ArtifactId,
    offset: u64,
) -> Result<ArtifactStream, Status> {
    let first = orchestrator
        .read_artifact(&caller, task, artifact.as_str(), offset)
        .await?;
    if offset > first.size {
        return Err(EdgeError::OffsetPastEnd { size: first.size }.into());
    }
    let cursor = Cursor {
        orchestrator,
        caller,
        task,
        artifact,
        offset: offset + first.data.len() as u64,
        ahead: first.data,
    };
    Ok(Box::pin(stream::try_unfold(cursor, next)))
}

async fn next(mut cursor: Cursor) -> Result<Option<(v1::ReadArtifactResponse, Cursor)>, Status> {
    if cursor.ahead.is_empty() {
        let Cursor {
            caller,
            task,
            artifact,
            offset,
            ..
        } = &cursor;
        let chunk = cursor
            .orchestrator
            .read_artifact(caller, *task, artifact.as_str(), *offset)
            .await?;
        if chunk.data.is_empty() {
            return Ok(None);
        }
        cursor.offset += chunk.data.len() as u64;
        cursor.ahead = chunk.data;
    }
    let data = cursor.ahead.split_to(cursor.ahead.len().min(MAX_CHUNK_BYTES));
    Ok(Some((v1::ReadArtifactResponse { data: data.into() }, cursor)))
}
