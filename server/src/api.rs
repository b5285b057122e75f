//! The edge: one port for gRPC, gRPC-Web and HTTP.
//!
//! Owns connections, who calls and how often, what is read from the wire and what is written to it.
//! Makes no decision about Tasks: every call ends in a method of the orchestrator. Native gRPC needs
//! HTTP/2 with prior knowledge; everything whose content type is not gRPC goes to the HTTP gateway.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use backspace_sdk::v1::agent_service_server::AgentServiceServer;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::api::accept::{Accepting, ConnectionLimits};
use crate::api::agent_service::AgentService;
use crate::api::auth::AuthConfig;
use crate::api::dispatch::{Dispatch, Transport};
use crate::api::edge::{Gate, grpc_edge};
use crate::api::origin::{OriginConfig, OriginPolicy};
use crate::api::rate_limit::{RateLimitConfig, RateLimiter};
use crate::api::tls::TlsConfig;
use crate::jobs::Jobs;
use crate::orchestrator::Orchestrator;

pub mod accept;
mod agent_service;
mod artifact_stream;
pub mod audit;
pub mod auth;
mod convert;
mod cors;
mod dispatch;
mod edge;
mod event_stream;
mod gateway;
mod openapi;
pub mod origin;
mod page;
pub mod rate_limit;
mod reloaded;
mod status;
pub mod tls;

/// How long connections may take to end once the server drains.
const DRAIN_GRACE: Duration = Duration::from_secs(5);

/// Settings of the edge.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiConfig {
    /// Address to listen on; 127.0.0.1:8000.
    pub listen: SocketAddr,
    /// TLS; none by default.
    pub tls: Option<TlsConfig>,
    /// Who may call.
    pub auth: AuthConfig,
    /// How often.
    pub rate_limit: RateLimitConfig,
    /// What browsers may do.
    pub origin: OriginConfig,
    /// Limits of connections.
    pub connections: ConnectionLimits,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8000)),
            tls: None,
            auth: AuthConfig::default(),
            rate_limit: RateLimitConfig::default(),
            origin: OriginConfig::default(),
            connections: ConnectionLimits::default(),
        }
    }
}

impl ApiConfig {
    /// Returns everything that is wrong with the settings, and with the files that they name; for start,
    /// before a port is bound.
    pub fn validate(&self) -> Vec<String> {
        let mut faults = self.connections.validate();
        faults.extend(self.origin.validate());
        faults.extend(self.auth.build(self.listen, &Jobs::new()).err().unwrap_or_default());
        if let Some(tls) = &self.tls {
            faults.extend(tls.open().err().unwrap_or_default());
            if tls.clients.authorities().is_some() && self.auth.token_file.is_none() {
                faults.push("client certificates need a file of principals that says whose names they have".to_owned());
            }
        }
        faults
    }
}

/// Why the edge could not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The settings are wrong; every fault is listed.
    #[error("the edge's settings are wrong: {}", .0.join("; "))]
    Config(Vec<String>),
    /// The listener does not work.
    #[error("the listener has no address")]
    Listener(#[source] io::Error),
    /// The contract's descriptor can't be read; a defect of the build.
    #[error("the contract's descriptor set is broken")]
    Descriptor(#[source] tonic_reflection::server::Error),
}

/// Serves until `drain` is cancelled and connections have ended, at most 5 s later.
///
/// Draining says NOT_SERVING, takes no more connections, and ends event streams with a status that says
/// to resume; so cancel it after the runs have reached a durable point, when clients have seen it.
pub async fn serve(
    listener: TcpListener,
    orchestrator: Orchestrator,
    config: ApiConfig,
    jobs: Jobs,
    drain: CancellationToken,
) -> Result<(), ServeError> {
    let ApiConfig {
        listen: _,
        tls,
        auth,
        rate_limit,
        origin,
        connections,
    } = config;
    let address = listener.local_addr().map_err(ServeError::Listener)?;
    let authenticator = auth.build(address, &jobs).map_err(ServeError::Config)?;
    let tls = tls
        .map(|tls| tls.open())
        .transpose()
        .map_err(ServeError::Config)?
        .map(Arc::new);
    let limiter = RateLimiter::new(rate_limit, authenticator.own_rates());
    let gate = Gate::new(authenticator, limiter, OriginPolicy::new(origin));

    let reporter = HealthReporter::new();
    reporter.set_serving::<AgentServiceServer<AgentService>>().await;
    let service = AgentService::new(orchestrator);
    let http = gateway::routes(service.clone(), gate.clone(), drain.clone());
    let origins = gate.origins();
    let grpc = grpc_routes(service, &reporter, &connections)?.layer(from_fn_with_state(gate, grpc_edge));
    let draining = drain.clone();
    jobs.spawn("health", async move {
        draining.cancelled().await;
        reporter.set_service_status("", ServingStatus::NotServing).await;
        reporter.set_not_serving::<AgentServiceServer<AgentService>>().await;
    });
    if tls.is_none() && !address.ip().is_loopback() {
        tracing::warn!(%address, "tokens and code can be read on the way to this server: set BACKSPACE_TLS_CERTIFICATE, or put TLS before it");
    }
    tracing::info!(%address, tls = tls.is_some(), "listening");
    let transport = if tls.is_some() {
        Transport::Tls
    } else {
        Transport::Clear
    };
    let dispatch = Dispatch::new(grpc, http, origins, transport);
    let accepting = Accepting {
        listener,
        tls,
        limits: connections,
        grace: DRAIN_GRACE,
    };
    accept::accept(accepting, dispatch, &jobs, drain).await;
    Ok(())
}

/// The contract's service, health, and reflection in both versions that clients ask for.
fn grpc_routes(
    service: AgentService,
    reporter: &HealthReporter,
    limits: &ConnectionLimits,
) -> Result<Router, ServeError> {
    let health = tonic_health::server::HealthService::from_health_reporter(reporter.clone());
    let health = tonic_health::pb::health_server::HealthServer::new(health);
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(backspace_sdk::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let reflection_v1 = reflection().build_v1().map_err(ServeError::Descriptor)?;
    let reflection_v1alpha = reflection().build_v1alpha().map_err(ServeError::Descriptor)?;
    let agent = AgentServiceServer::new(service).max_decoding_message_size(limits.max_message_bytes);
    Ok(Routes::new(agent)
        .add_service(health.max_decoding_message_size(limits.max_message_bytes))
        .add_service(reflection_v1.max_decoding_message_size(limits.max_message_bytes))
        .add_service(reflection_v1alpha.max_decoding_message_size(limits.max_message_bytes))
        .into_axum_router())
}

#[cfg(test)]
mod tests;
