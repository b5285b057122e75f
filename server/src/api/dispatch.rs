//! Sends a request to the gRPC routes or to the HTTP gateway, by its content type, with cross-origin
//! sharing around both.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderValue, header};
use tonic_web::{GrpcWebLayer, GrpcWebService};
use tower::{Layer as _, Service};

use crate::api::cors;
use crate::api::origin::OriginPolicy;

/// Both halves of the edge.
#[derive(Clone)]
pub(crate) struct Dispatch {
    grpc: GrpcWebService<Router>,
    http: Router,
    origins: Arc<OriginPolicy>,
    transport: Transport,
}

/// What connections are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// TCP.
    Clear,
    /// TLS, which browsers are told to insist on.
    Tls,
}

/// How long a browser is to insist on TLS: a year.
const INSIST_ON_TLS: HeaderValue = HeaderValue::from_static("max-age=31536000");

impl Dispatch {
    /// Puts gRPC-Web around the gRPC routes and both halves together.
    pub(crate) fn new(grpc: Router, http: Router, origins: Arc<OriginPolicy>, transport: Transport) -> Self {
        Self {
            grpc: GrpcWebLayer::new().layer(grpc),
            http,
            origins,
            transport,
        }
    }
}

/// Puts on every answer what binds a browser whatever the answer is; the gateway has put more on its own.
fn bind(response: &mut Response<Body>, transport: Transport) {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    if transport == Transport::Tls {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, INSIST_ON_TLS);
    }
}

impl Service<Request<Body>> for Dispatch {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    /// Routers are always ready.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let transport = self.transport;
        let origin = cors::shared_origin(&self.origins, &request);
        if cors::is_preflight(&request) {
            let mut response = cors::preflight(origin.as_ref());
            bind(&mut response, transport);
            return Box::pin(std::future::ready(Ok(response)));
        }
        let content_type = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        let is_grpc = content_type.is_some_and(|value| value.starts_with(b"application/grpc"));
        let answer: Self::Future = if is_grpc {
            let answer = self.grpc.call(request);
            Box::pin(async move { Ok(answer.await?.map(Body::new)) })
        } else {
            Box::pin(Service::call(&mut self.http, request))
        };
        Box::pin(async move {
            let mut response = answer.await?;
            bind(&mut response, transport);
            if let Some(origin) = origin {
                cors::share(response.headers_mut(), &origin);
            }
            Ok(response)
        })
    }
}
