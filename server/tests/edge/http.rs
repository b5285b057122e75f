//! Plain HTTP/1.1 as any tool speaks it, one request a connection.

use std::collections::BTreeMap;

use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::event_log::PATIENCE;
use crate::server::TestServer;

/// A client of one server.
pub struct Http {
    authority: String,
    client: Client<HttpConnector, Full<bytes::Bytes>>,
    token: Option<String>,
}

/// What it answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Http {
    pub fn of(server: &TestServer) -> Self {
        Self {
            authority: server.authority().to_owned(),
            client: Client::builder(TokioExecutor::new()).build_http(),
            token: None,
        }
    }

    pub fn with_token(server: &TestServer, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..Self::of(server)
        }
    }

    pub async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", path, headers, "").await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        let json = [("content-type", "application/json")];
        self.send("POST", path, &json, &body.to_string()).await
    }

    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.authority));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Full::from(body.to_owned())).unwrap();
        let whole = async {
            let (head, body) = self.client.request(request).await.unwrap().into_parts();
            let headers = head.headers.iter();
            Answer {
                status: head.status.as_u16(),
                headers: headers
                    .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
                    .collect(),
                body: String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap(),
            }
        };
        tokio::time::timeout(PATIENCE, whole).await.expect("a whole answer")
    }
}
