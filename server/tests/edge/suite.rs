//! The edge of the server: TLS, gRPC-Web, server-sent events, who sees what, and attacks on its
//! connections, each with a client that keeps to the rules beside it.
//!
//! Part of the end-to-end tests, whose servers and repositories it uses.

mod audit;
mod authority;
mod code;
mod floods;
mod http;
mod isolation;
mod memory;
pub mod principals;
mod readers;
mod tls;
mod web;
