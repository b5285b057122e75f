//! Requests from bodies, paths and queries; answers as JSON.

use axum::Json;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use backspace_sdk::json::{JsonError, from_json, from_json_text, to_json};
use http::{Extensions, HeaderMap, header};
use prost::{Message, Name};
use serde_json::{Map, Value};
use tonic::{Status, metadata::MetadataMap};

use crate::api::edge::EdgeError;
use crate::api::gateway::failure::Failure;
use crate::api::status;
use crate::task::spec::Violation;

/// Most bytes of a body; the same as of a gRPC message.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// Makes the request of a call, with what the edge knows of its caller.
pub(crate) fn call<M>(extensions: Extensions, message: M) -> tonic::Request<M> {
    tonic::Request::from_parts(MetadataMap::new(), extensions, message)
}

/// Reads a message from a JSON body; an empty body is an empty message.
pub(crate) async fn body<M: Message + Name + Default>(request: Request) -> Result<(Extensions, M), Failure> {
    let (parts, body) = request.into_parts();
    let bytes = body_bytes(&parts.headers, body).await?;
    let message = if bytes.is_empty() {
        M::default()
    } else {
        from_json_text(&bytes).map_err(|error| malformed("(body)", &error))?
    };
    Ok((parts.extensions, message))
}

/// Reads a whole body that must be JSON, or empty.
pub(crate) async fn body_bytes(headers: &HeaderMap, body: axum::body::Body) -> Result<bytes::Bytes, Failure> {
    let bytes = to_bytes(body, MAX_BODY_BYTES).await.map_err(|error| {
        // axum wraps the error of the limit and the one of the connection alike.
        let too_large =
            std::error::Error::source(&error).is_some_and(|source| source.is::<http_body_util::LengthLimitError>());
        if too_large {
            EdgeError::MessageTooLarge
        } else {
            EdgeError::BodyNotRead
        }
    })?;
    let is_json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
    if !bytes.is_empty() && !is_json {
        return Err(EdgeError::NotJson.into());
    }
    Ok(bytes)
}

/// Reads a message from a query: its fields by their JSON or proto names, repeated ones repeated.
pub(crate) fn query<M: Message + Name + Default>(
    pairs: Vec<(String, String)>,
    repeated: &[&str],
) -> Result<M, Failure> {
    let mut fields = Map::new();
    for (name, text) in pairs {
        // JSON takes a number in quotes for a number, but not for an enum.
        let value = match (text.as_str(), text.parse::<i32>()) {
            ("true", _) => Value::Bool(true),
            ("false", _) => Value::Bool(false),
            (_, Ok(number)) => Value::from(number),
            (_, Err(_)) => Value::String(text),
        };
        if repeated.contains(&name.as_str()) {
            let list = fields.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(list) = list {
                list.push(value);
            }
        } else if fields.contains_key(&name) {
            return Err(EdgeError::Invalid(vec![Violation::new(name, "is there twice")]).into());
        } else {
            fields.insert(name, value);
        }
    }
    from_json(Value::Object(fields)).map_err(|error| malformed("(query)", &error))
}

/// Makes the response of a call that returns one message.
pub(crate) fn answer<M: Message + Name>(result: Result<tonic::Response<M>, Status>) -> Result<Response, Failure> {
    let message = result?.into_inner();
    Ok(Json(value(&message)?).into_response())
}

/// Returns a message as JSON.
pub(crate) fn value<M: Message + Name>(message: &M) -> Result<Value, Status> {
    to_json(message).map_err(|error| status::internal(&error))
}

/// Makes the failure of input that is no message.
pub(crate) fn malformed(place: &str, error: &JsonError) -> Failure {
    match error {
        JsonError::Malformed { source, .. } => {
            EdgeError::Invalid(vec![Violation::new(place, source.to_string())]).into()
        }
        JsonError::UnknownType { .. } | JsonError::Mismatch { .. } => status::internal(error).into(),
    }
}

#[cfg(test)]
mod tests {
    use backspace_sdk::v1;

    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn a_query_is_read_like_json() {
        let given = pairs(&[
            ("pageSize", "7"),
            ("states", "STATE_QUEUED"),
            ("states", "STATE_FAILED"),
        ]);
        let expected = v1::ListTasksRequest {
            page_size: 7,
            page_token: String::new(),
            states: vec![1, 7],
        };
        assert_eq!(query::<v1::ListTasksRequest>(given, &["states"]).unwrap(), expected);
        let snake = pairs(&[("page_size", "7"), ("page_token", "x")]);
        assert_eq!(
            query::<v1::ListTasksRequest>(snake, &["states"]).unwrap().page_token,
            "x"
        );
    }

    #[test]
    fn what_a_query_has_too_much_is_refused() {
        for bad in [
            &[("pageSize", "x")][..],
            &[("nope", "1")],
            &[("pageSize", "1"), ("pageSize", "2")],
        ] {
            assert!(
                query::<v1::ListTasksRequest>(pairs(bad), &["states"]).is_err(),
                "{bad:?}"
            );
        }
    }
}
