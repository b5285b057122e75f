//! Sends a request to the gRPC routes or to the HTTP gateway, by its content type.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderValue, header};
use tonic_web::{GrpcWebLayer, GrpcWebService};
use tower::{Layer as _, Service};

/// Both halves of the edge.
#[derive(Clone)]
pub(crate) struct Dispatch {
    grpc: GrpcWebService<Router>,
    http: Router,
}

impl Dispatch {
    /// Puts gRPC-Web around the gRPC routes and both halves together.
    pub(crate) fn new(grpc: Router, http: Router) -> Self {
        Self {
            grpc: GrpcWebLayer::new().layer(grpc),
            http,
        }
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
        let content_type = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        if content_type.is_some_and(|value| value.starts_with(b"application/grpc")) {
            let answer = self.grpc.call(request);
            Box::pin(async move { Ok(answer.await?.map(Body::new)) })
        } else {
            Box::pin(Service::call(&mut self.http, request))
        }
    }
}
