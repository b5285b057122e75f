//! Backspace, a self-hosted coding agent as a gRPC service.
//!
//! Dependencies point one way: `api` → `orchestrator` → `agent` → the ports `model` and `sandbox`;
//! the orchestrator also uses `forge` and `store`; everything may use `task`, which uses nothing.

pub mod agent;
pub mod api;
pub mod forge;
pub mod jobs;
pub mod model;
pub mod orchestrator;
pub mod sandbox;
pub mod secret;
pub mod store;
pub mod task;
