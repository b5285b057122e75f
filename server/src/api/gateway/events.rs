//! Streams as server-sent events.
//!
//! `data:` is the call's response message as JSON; `id:` is the sequence of a durable event, so that a
//! browser's `Last-Event-ID` is a cursor. Live events have no id. After the end a browser asks again, and
//! 204 tells it to stop. Nothing is queued: an event is read from the log when the client has room.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Path, Query, Request, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use backspace_sdk::v1;
use http::{Extensions, HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::Value;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Code, Status};
use v1::agent_service_server::AgentService as _;

use crate::api::edge::EdgeError;
use crate::api::gateway::Gateway;
use crate::api::gateway::failure::{self, Failure};
use crate::api::gateway::json::{body, call, value};
use crate::task::spec::Violation;

/// Pause after which a comment shows that the connection lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const LAST_EVENT_ID: &str = "last-event-id";

/// Query of a watch.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WatchQuery {
    after: Option<u64>,
    #[serde(default, alias = "durableOnly")]
    durable_only: bool,
}

/// WatchTask.
pub(crate) async fn watch(
    State(gateway): State<Gateway>,
    Path(task): Path<String>,
    Query(WatchQuery { after, durable_only }): Query<WatchQuery>,
    request: Request,
) -> Result<Response, Failure> {
    let (parts, _) = request.into_parts();
    let after_sequence = last_event_id(&parts.headers)?.or(after).unwrap_or(0);
    let name = format!("tasks/{task}");
    if has_seen_the_end(&gateway, parts.extensions.clone(), &name, after_sequence).await? {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let message = v1::WatchTaskRequest {
        name,
        after_sequence,
        durable_only,
    };
    let responses = gateway.service.watch_task(call(parts.extensions, message)).await?;
    let events = responses.into_inner().map(|response| {
        let response = response?;
        Ok((sequence(response.event.as_ref()), value(&response)?))
    });
    Ok(sse(events, failure::to_json))
}

/// RunTask. A POST can't be resumed by a browser; `Location` names the Task whose events can.
pub(crate) async fn run(State(gateway): State<Gateway>, request: Request) -> Result<Response, Failure> {
    let (extensions, message) = body::<v1::RunTaskRequest>(request).await?;
    let mut responses = gateway.service.run_task(call(extensions, message)).await?.into_inner();
    let first = responses.next().await.transpose()?;
    let location = first.as_ref().map(|response| location(&response.task));
    let events = tokio_stream::iter(first.map(Ok)).chain(responses).map(|response| {
        let response = response?;
        Ok((sequence(response.event.as_ref()), value(&response)?))
    });
    Ok(with_location(sse(events, failure::to_json), location))
}

/// Returns the path at which a Task is found.
pub(crate) fn location(name: &str) -> String {
    format!("/api/v1/{name}")
}

/// Puts a path into `Location`.
pub(crate) fn with_location(mut response: Response, location: Option<String>) -> Response {
    if let Some(value) = location.and_then(|location| HeaderValue::from_str(&location).ok()) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    response
}

/// Returns the id of an event; `None` for a live one.
pub(crate) fn sequence(event: Option<&v1::TaskEvent>) -> Option<u64> {
    event.map(|event| event.sequence).filter(|sequence| *sequence > 0)
}

/// Makes the response of a stream. A failure in the middle is an event of the type `error`; the end of the
/// connection is none, since a browser comes back by itself.
pub(crate) fn sse<S>(events: S, failed: fn(&Status) -> Value) -> Response
where
    S: Stream<Item = Result<(Option<u64>, Value), Status>> + Send + 'static,
{
    let frames = events.filter_map(move |item| match item {
        Ok((sequence, data)) => {
            let event = Event::default().data(data.to_string());
            Some(Ok::<_, Infallible>(match sequence {
                Some(sequence) => event.id(sequence.to_string()),
                None => event,
            }))
        }
        Err(status) if status.code() == Code::Unavailable => None,
        Err(status) => Some(Ok(Event::default().event("error").data(failed(&status).to_string()))),
    });
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE).text("keep-alive");
    Sse::new(frames).keep_alive(keep_alive).into_response()
}

/// A browser comes back after the last event too.
async fn has_seen_the_end(
    gateway: &Gateway,
    extensions: Extensions,
    name: &str,
    after_sequence: u64,
) -> Result<bool, Status> {
    let message = v1::GetTaskRequest { name: name.to_owned() };
    let task = gateway
        .service
        .get_task(call(extensions, message))
        .await?
        .into_inner()
        .task;
    Ok(task.is_some_and(|task| task.end_time.is_some() && task.last_sequence == after_sequence))
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, EdgeError> {
    let Some(value) = headers.get(LAST_EVENT_ID) else {
        return Ok(None);
    };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| {
        let violation = Violation::new("Last-Event-ID", "must be the `id` of an event");
        EdgeError::Invalid(vec![violation])
    })
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;
    use crate::orchestrator::OrchestratorError;

    async fn text(items: Vec<Result<(Option<u64>, Value), Status>>) -> String {
        let response = sse(tokio_stream::iter(items), failure::to_json);
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn durable_events_have_an_id_live_ones_have_none_and_no_text_can_break_the_framing() {
        let nasty = Value::String("a\nid: 9\r\n\ndata: x".into());
        let items = vec![Ok((Some(3), nasty)), Ok((None, Value::Bool(true)))];
        assert_eq!(
            text(items).await,
            "data: \"a\\nid: 9\\r\\n\\ndata: x\"\nid: 3\n\ndata: true\n\n"
        );
    }

    #[tokio::test]
    async fn a_failure_is_told_and_the_end_of_a_connection_is_not() {
        let failed = text(vec![Err(OrchestratorError::TaskNotFound.into())]).await;
        assert!(failed.starts_with("event: error\ndata: {"), "{failed}");
        assert_eq!(text(vec![Err(EdgeError::Closing.into())]).await, "");
    }

    #[test]
    fn a_last_event_id_is_a_number_or_a_fault() {
        let header = |text: &str| HeaderMap::from_iter([(LAST_EVENT_ID.parse().unwrap(), text.parse().unwrap())]);
        assert_eq!(last_event_id(&header("7")).unwrap(), Some(7));
        assert_eq!(last_event_id(&HeaderMap::new()).unwrap(), None);
        assert!(last_event_id(&header("x")).is_err());
    }
}
