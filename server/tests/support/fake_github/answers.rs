//! Answers in GitHub's shapes: its own examples, with what the state says put in.

use std::sync::LazyLock;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use serde_json::{Value, json};

/// Examples from GitHub's description of its API (github/rest-api-description, MIT).
static EXAMPLES: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(include_str!("answers.json")).unwrap());

/// An answer of the API.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Value,
    /// Sent instead of the body.
    pub(crate) text: Option<String>,
}

impl Answer {
    pub(crate) fn json(status: u16, body: Value) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body,
            text: None,
        }
    }

    /// A refusal in GitHub's usual form.
    pub(crate) fn error(status: u16, message: &str) -> Self {
        let body = json!({ "message": message, "documentation_url": "https://docs.github.com/rest", "status": status.to_string() });
        Self::json(status, body)
    }

    pub(crate) fn not_found() -> Self {
        Self::error(404, "Not Found")
    }

    /// 422 about a field.
    pub(crate) fn invalid_field(resource: &str, field: &str) -> Self {
        Self::validation(json!({ "resource": resource, "field": field, "code": "invalid" }))
    }

    /// 422 in GitHub's words.
    pub(crate) fn custom(resource: &str, message: &str) -> Self {
        Self::validation(json!({ "resource": resource, "code": "custom", "message": message }))
    }

    fn validation(error: Value) -> Self {
        let body = json!({ "message": "Validation Failed", "errors": [error], "documentation_url": "https://docs.github.com/rest", "status": "422" });
        Self::json(422, body)
    }

    /// A web page, as gateways answer.
    pub(crate) fn page(status: u16) -> Self {
        Self {
            text: Some("<html><body>Unicorn!</body></html>".into()),
            ..Self::json(status, Value::Null)
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn response(&self) -> Response<Full<Bytes>> {
        let kind = if self.text.is_some() {
            "text/html"
        } else {
            "application/json; charset=utf-8"
        };
        let mut response = Response::builder().status(self.status).header("content-type", kind);
        for (name, value) in &self.headers {
            response = response.header(name, value);
        }
        let body = match (&self.text, self.status) {
            (Some(text), _) => text.clone(),
            (None, 204) => String::new(),
            (None, _) => self.body.to_string(),
        };
        response.body(Full::new(Bytes::from(body))).unwrap()
    }
}

/// Returns an example with these fields put over it.
pub(super) fn example(name: &str, fields: Value) -> Value {
    let mut example = EXAMPLES[name].clone();
    overlay(&mut example, fields);
    example
}

/// Puts values over others, object by object.
fn overlay(target: &mut Value, fields: Value) {
    match (target, fields) {
        (Value::Object(target), Value::Object(fields)) => {
            for (name, value) in fields {
                match target.get_mut(&name) {
                    Some(old) if old.is_object() && value.is_object() => overlay(old, value),
                    _ => drop(target.insert(name, value)),
                }
            }
        }
        (target, fields) => *target = fields,
    }
}

/// A person, as other answers show one.
pub(super) fn user(login: &str) -> Value {
    let mut user = EXAMPLES["issue"]["user"].clone();
    overlay(&mut user, json!({ "login": login }));
    user
}
