//! A Task's events on their way to one client: a cursor that is moved when the client has room.
//!
//! There is no queue between log and client. When the connection is about to end, the stream ends with
//! a status that says to resume, which is kinder than a reset and costs nothing: the cursor is a number.

use std::pin::Pin;

use backspace_sdk::v1;
use futures_util::stream;
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::api::convert::event;
use crate::api::convert::request::WatchFrom;
use crate::api::edge::EdgeError;
use crate::orchestrator::{Caller, EventStream, Orchestrator};
use crate::store::feed::FeedItem;
use crate::task::event::EventPayload;
use crate::task::id::TaskId;

/// Events as the contract has them.
pub(crate) type ProtoEvents = Pin<Box<dyn Stream<Item = Result<v1::TaskEvent, Status>> + Send>>;

struct Cursor {
    orchestrator: Orchestrator,
    caller: Caller,
    task: TaskId,
    events: EventStream,
    closing: CancellationToken,
}

/// Opens the stream; a cursor out of range is told before this returns, or as the first item.
pub(crate) async fn open(
    orchestrator: Orchestrator,
    caller: Caller,
    from: WatchFrom,
    closing: CancellationToken,
) -> Result<ProtoEvents, Status> {
    let WatchFrom { task, after, watch } = from;
    let events = orchestrator.watch(&caller, task, after, watch).await?;
    let cursor = Cursor {
        orchestrator,
        caller,
        task,
        events,
        closing,
    };
    Ok(Box::pin(stream::try_unfold(cursor, next)))
}

async fn next(mut cursor: Cursor) -> Result<Option<(v1::TaskEvent, Cursor)>, Status> {
    // What is there already is sent before the end is told.
    let item = tokio::select! {
        biased;
        item = cursor.events.next() => item,
        () = cursor.closing.cancelled() => return Err(EdgeError::Closing.into()),
    };
    let event = match item.transpose()? {
        None => return Ok(None),
        Some(FeedItem::Live { time, payload }) => event::live(time, payload),
        Some(FeedItem::Durable(event)) => {
            let finished = match &event.payload {
                EventPayload::TaskFinished { .. } => Some(cursor.orchestrator.task(&cursor.caller, cursor.task).await?),
                _ => None,
            };
            event::durable(cursor.task, event, finished.as_ref())
        }
    };
    Ok(Some((event, cursor)))
}
