//! `POST /api/v1/code`, as the replaced service had it: the same fields in, the same objects out.

use std::collections::VecDeque;

use axum::extract::{Request, State};
use axum::response::Response;
use backspace_sdk::v1;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio_stream::StreamExt as _;
use tonic::Status;
use v1::agent_service_server::AgentService as _;

use crate::api::audit::Audit;
use crate::api::convert;
use crate::api::edge::EdgeError;
use crate::api::gateway::Gateway;
use crate::api::gateway::code_object;
use crate::api::gateway::events::{location, sequence, sse, with_location};
use crate::api::gateway::failure::Failure;
use crate::api::gateway::json::{body_bytes, call};
use crate::task::spec::Violation;

/// The request. Fields it does not have are ignored, as the replaced service did. Names are taken in both
/// spellings, as in every other route.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct CodeRequest {
    #[serde(alias = "repoUrl")]
    repo_url: String,
    prompt: String,
    #[serde(alias = "branchName")]
    branch_name: Option<String>,
    provider: Option<String>,
}

impl From<CodeRequest> for v1::RunTaskRequest {
    fn from(request: CodeRequest) -> Self {
        let CodeRequest {
            repo_url,
            prompt,
            branch_name,
            provider,
        } = request;
        Self {
            spec: Some(v1::TaskSpec {
                instruction: prompt,
                repository: Some(v1::Repository {
                    url: repo_url,
                    revision: None,
                }),
                model: provider.unwrap_or_default(),
                publication: Some(v1::Publication {
                    head_branch: branch_name.unwrap_or_default(),
                    ..v1::Publication::default()
                }),
                ..v1::TaskSpec::default()
            }),
            request_id: String::new(),
        }
    }
}

/// Starts a Task and streams it. The first object names the Task, and so does `Location`.
pub(crate) async fn run(State(gateway): State<Gateway>, request: Request) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    let bytes = body_bytes(&parts.headers, body).await?;
    let request = parse(&bytes)?;
    let request = call(parts.extensions, v1::RunTaskRequest::from(request));
    // Once more in the handler, but there under names that this caller has never seen.
    if let Err(error) = convert::request::run_task(request.get_ref().clone(), gateway.service.spec_policy()) {
        let status = Status::from(in_own_words(error));
        Audit::of("RunTask", &request).write(Err(&status));
        return Err(status.into());
    }
    let mut responses = gateway.service.run_task(request).await?.into_inner();
    let first = responses.next().await.transpose()?;
    let location = first.as_ref().map(|response| location(&response.task));
    let mut ahead: VecDeque<_> = first
        .iter()
        .map(code_object::accepted)
        .map(|object| (None, object))
        .collect();
    ahead.extend(first.and_then(|response| translated(response.event)));
    let objects = tokio_stream::iter(ahead.into_iter().map(Ok))
        .chain(responses.filter_map(|response| response.map(|response| translated(response.event)).transpose()));
    Ok(with_location(sse(objects, failed), location))
}

/// Reads the request; by way of a map, because serde takes an array for a struct too.
fn parse(bytes: &[u8]) -> Result<CodeRequest, EdgeError> {
    serde_json::from_slice::<Map<String, Value>>(bytes)
        .and_then(|fields| serde_json::from_value(Value::Object(fields)))
        .map_err(|error| EdgeError::Invalid(vec![Violation::new("(body)", error.to_string())]))
}

fn translated(event: Option<v1::TaskEvent>) -> Option<(Option<u64>, Value)> {
    let event = event?;
    Some((sequence(Some(&event)), code_object::of(event)?))
}

fn failed(status: &Status) -> Value {
    json!({"type": "Error", "message": status.message()})
}

/// Names fields as this request does.
fn in_own_words(error: EdgeError) -> EdgeError {
    let EdgeError::Invalid(violations) = error else {
        return error;
    };
    let own = |violation: Violation| {
        let field = match violation.field.as_str() {
            "spec.repository.url" => "repo_url",
            "spec.instruction" => "prompt",
            "spec.publication.head_branch" => "branch_name",
            "spec.model" => "provider",
            _ => return violation,
        };
        Violation::new(field, violation.description)
    };
    EdgeError::Invalid(violations.into_iter().map(own).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::spec::SpecPolicy;

    #[test]
    fn both_spellings_are_taken_and_what_is_unknown_is_ignored() {
        let expected = CodeRequest {
            repo_url: "https://github.com/a/b".into(),
            prompt: "p".into(),
            branch_name: Some("fix".into()),
            provider: None,
        };
        for text in [
            r#"{"repo_url":"https://github.com/a/b","prompt":"p","branch_name":"fix","provider":null,"stream":true}"#,
            r#"{"repoUrl":"https://github.com/a/b","prompt":"p","branchName":"fix"}"#,
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap(), expected, "{text}");
        }
        for text in ["[]", "null", "", r#"{"repo_url":"a","repoUrl":"b"}"#, r#"{"prompt":1}"#] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn violations_speak_of_the_fields_that_were_sent() {
        let request = CodeRequest {
            repo_url: "https://evil.test/a/b".into(),
            branch_name: Some("a..b".into()),
            provider: Some("nobody".into()),
            ..CodeRequest::default()
        };
        let error = convert::request::run_task(request.into(), &SpecPolicy::default()).unwrap_err();
        let EdgeError::Invalid(violations) = in_own_words(error) else {
            panic!("it is invalid");
        };
        let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["prompt", "repo_url", "branch_name", "provider"]);
    }
}
