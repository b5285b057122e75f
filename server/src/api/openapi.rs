//! The reference of the HTTP gateway: an OpenAPI 3.1 document and a page, both made from the contract.
//!
//! Schemas and descriptions are the contract's own messages and comments, by reflection, so they can't
//! drift; only which path serves which call is written here (`operation`), and tests compare that with
//! the contract's calls and with the routes. The page is plain HTML without a script: there is nothing
//! in it to trust.

use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use prost_reflect::DescriptorPool;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use std::sync::LazyLock;

use crate::api::openapi::operation::{OPERATIONS, Operation};
use crate::api::openapi::schema::Schemas;

mod comment;
mod operation;
mod page;
mod schema;

/// All forms, made once: the contract does not change while a server runs.
static DOCUMENT: LazyLock<Value> = LazyLock::new(document);
static JSON: LazyLock<Bytes> = LazyLock::new(|| DOCUMENT.to_string().into());
static PAGE: LazyLock<(String, HeaderValue)> = LazyLock::new(|| {
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        STANDARD.encode(Sha256::digest(page::STYLE))
    );
    let policy = HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
    (page::render(&DOCUMENT), policy)
});

/// `GET /openapi.json`.
pub(crate) async fn json() -> Response {
    let kind = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, kind)], JSON.clone()).into_response()
}

/// `GET /docs`.
pub(crate) async fn docs() -> Response {
    let (text, policy) = &*PAGE;
    let headers: [(HeaderName, HeaderValue); 2] = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        ),
        (header::CONTENT_SECURITY_POLICY, policy.clone()),
    ];
    (headers, text.as_str()).into_response()
}

/// Makes the document. A descriptor set that can't be read is a defect of the build, which the server's
/// reflection reports at start; the document is then empty.
fn document() -> Value {
    let Ok(pool) = DescriptorPool::decode(backspace_sdk::FILE_DESCRIPTOR_SET) else {
        return json!({});
    };
    let mut schemas = Schemas::new(&pool);
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let item = paths.entry(operation.path).or_insert_with(|| json!({}));
        if let Value::Object(item) = item {
            item.insert(operation.method.to_owned(), described(operation, &mut schemas));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Backspace",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "A self-hosted coding agent: one sentence in, one pull request out.",
            "description": schemas.service_comment(),
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"bearer": []}],
        "tags": [
            {"name": "tasks", "description": "The contract's calls, with canonical protobuf JSON."},
            {"name": "server", "description": "What this server is."},
            {"name": "replaced service", "description": "The endpoint of the service that Backspace replaces."},
        ],
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {
                "type": "http", "scheme": "bearer",
                "description": "A token of this server, or of its OpenID Connect issuer. None is needed on a server without authentication.",
            }},
            "headers": {
                "RequestId": {"description": "Names the call in the server's log.", "schema": {"type": "string"}},
                "RetryAfter": {"description": "Seconds to wait; on 429 and 503.", "schema": {"type": "integer", "minimum": 1}},
                "Location": {"description": "Path of the task.", "schema": {"type": "string"}},
            },
            "responses": {"Failure": {
                "description": "The call failed. The HTTP status follows from the code.",
                "headers": {
                    "x-request-id": {"$ref": "#/components/headers/RequestId"},
                    "retry-after": {"$ref": "#/components/headers/RetryAfter"},
                },
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Status"}}},
            }},
            "schemas": schemas.finish(),
        },
    })
}

fn described(operation: &Operation, schemas: &mut Schemas<'_>) -> Value {
    let mut text = json!({
        "operationId": operation.id,
        "tags": [operation.tag],
        "description": operation.note.map_or_else(|| schemas.method_comment(operation.id), str::to_owned),
        "responses": responses(operation, schemas),
    });
    let mut parameters: Vec<Value> = operation.path_parameters().map(path_parameter).collect();
    parameters.extend(
        operation
            .parameters
            .iter()
            .map(|parameter| parameter.described(schemas)),
    );
    if let Value::Object(fields) = &mut text {
        if !parameters.is_empty() {
            fields.insert("parameters".to_owned(), Value::Array(parameters));
        }
        if let Some(message) = operation.body {
            let schema = schemas.body(message, operation.has_name_in_path());
            let content = json!({"application/json": {"schema": schema}});
            fields.insert(
                "requestBody".to_owned(),
                json!({"required": operation.is_body_required, "content": content}),
            );
        }
        if operation.is_open {
            fields.insert("security".to_owned(), json!([{}]));
        }
    }
    text
}

fn path_parameter(name: &str) -> Value {
    let description = match name {
        "task" => "Id of the task: 32 hexadecimal digits.",
        _ => "`patch`, `log`, `exchanges`, or an id that an event names.",
    };
    json!({"name": name, "in": "path", "required": true, "description": description, "schema": {"type": "string", "minLength": 1}})
}

fn responses(operation: &Operation, schemas: &mut Schemas<'_>) -> Value {
    let request_id = json!({"x-request-id": {"$ref": "#/components/headers/RequestId"}});
    let mut headers = if operation.is_open { json!({}) } else { request_id };
    if operation.has_location
        && let Value::Object(headers) = &mut headers
    {
        headers.insert("location".to_owned(), json!({"$ref": "#/components/headers/Location"}));
    }
    let content = operation.answer.described(schemas);
    let mut responses = json!({
        "200": {"description": "The answer.", "headers": headers, "content": content},
    });
    if let Value::Object(responses) = &mut responses {
        if operation.ends_with_204 {
            let ended = json!({"description": "The task has ended and the last event was seen: do not come back."});
            responses.insert("204".to_owned(), ended);
        }
        if operation.id == "health" {
            let answer = json!({"application/json": {"schema": schemas.health()}});
            let draining = json!({"description": "The server is stopping.", "content": answer});
            responses.insert("503".to_owned(), draining);
        }
        responses.insert("default".to_owned(), json!({"$ref": "#/components/responses/Failure"}));
    }
    responses
}

#[cfg(test)]
mod tests;
