//! Backspace, a self-hosted coding agent as a gRPC service.
//!
//! Dependencies point one way: `api` → `orchestrator` → `agent` → the ports `model` and `sandbox`;
//! the orchestrator also uses `forge` and `store`; everything may use `task`, which uses nothing.

pub mod agent;
pub mod api;
pub mod app;
pub mod config;
pub mod doctor;
pub mod forge;
pub mod jobs;
mod metrics;
pub mod model;
pub mod orchestrator;
pub mod sandbox;
pub mod secret;
pub mod shutdown;
pub mod store;
pub mod task;
pub mod telemetry;
pub mod tokens;
