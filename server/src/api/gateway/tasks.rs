//! The calls that return one message, and artifacts.

use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse as _, Response};
use backspace_sdk::v1;
use bytes::Bytes;
use http::{HeaderValue, header};
use serde::Deserialize;
use tokio_stream::StreamExt as _;
use v1::agent_service_server::AgentService as _;

use crate::api::edge::EdgeError;
use crate::api::gateway::Gateway;
use crate::api::gateway::failure::Failure;
use crate::api::gateway::json::{answer, body, call, query};

/// CreateTask.
pub(crate) async fn create(State(gateway): State<Gateway>, request: Request) -> Result<Response, Failure> {
    let (extensions, message) = body::<v1::CreateTaskRequest>(request).await?;
    answer(gateway.service.create_task(call(extensions, message)).await)
}

/// ListTasks.
pub(crate) async fn list(
    State(gateway): State<Gateway>,
    Query(pairs): Query<Vec<(String, String)>>,
    request: Request,
) -> Result<Response, Failure> {
    let message = query::<v1::ListTasksRequest>(pairs, &["states"])?;
    let (parts, _) = request.into_parts();
    answer(gateway.service.list_tasks(call(parts.extensions, message)).await)
}

/// GetTask.
pub(crate) async fn get(
    State(gateway): State<Gateway>,
    Path(task): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let (parts, _) = request.into_parts();
    let message = v1::GetTaskRequest { name: named(&task) };
    answer(gateway.service.get_task(call(parts.extensions, message)).await)
}

/// DeleteTask.
pub(crate) async fn delete(
    State(gateway): State<Gateway>,
    Path(task): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let (parts, _) = request.into_parts();
    let message = v1::DeleteTaskRequest { name: named(&task) };
    answer(gateway.service.delete_task(call(parts.extensions, message)).await)
}

/// CancelTask (`:cancel`) and SendMessage (`:message`); the name in the path is the one that counts.
pub(crate) async fn act(
    State(gateway): State<Gateway>,
    Path(target): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    match target.split_once(':') {
        Some((task, "cancel")) => {
            let (extensions, message) = body::<v1::CancelTaskRequest>(request).await?;
            let message = v1::CancelTaskRequest {
                name: named(task),
                ..message
            };
            answer(gateway.service.cancel_task(call(extensions, message)).await)
        }
        Some((task, "message")) => {
            let (extensions, message) = body::<v1::SendMessageRequest>(request).await?;
            let message = v1::SendMessageRequest {
                name: named(task),
                ..message
            };
            answer(gateway.service.send_message(call(extensions, message)).await)
        }
        Some(_) => Err(EdgeError::NoRoute.into()),
        None => Err(EdgeError::MethodNotAllowed.into()),
    }
}

/// GetServerInfo.
pub(crate) async fn server_info(State(gateway): State<Gateway>, request: Request) -> Result<Response, Failure> {
    let (parts, _) = request.into_parts();
    let message = v1::GetServerInfoRequest {};
    answer(gateway.service.get_server_info(call(parts.extensions, message)).await)
}

/// Query of an artifact.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ArtifactQuery {
    #[serde(default)]
    offset: u64,
}

/// ReadArtifact, as its plain bytes. What an artifact holds is untrusted, so it is never more than text.
pub(crate) async fn artifact(
    State(gateway): State<Gateway>,
    Path((task, artifact)): Path<(String, String)>,
    Query(ArtifactQuery { offset }): Query<ArtifactQuery>,
    request: Request,
) -> Result<Response, Failure> {
    let (parts, _) = request.into_parts();
    let message = v1::ReadArtifactRequest {
        name: format!("{}/artifacts/{artifact}", named(&task)),
        offset,
    };
    let stream = gateway.service.read_artifact(call(parts.extensions, message)).await?;
    let chunks = stream
        .into_inner()
        .map(|chunk| chunk.map(|chunk| Bytes::from(chunk.data)));
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, kind)], Body::from_stream(chunks)).into_response())
}

fn named(task: &str) -> String {
    format!("tasks/{task}")
}
