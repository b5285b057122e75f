//! The protocol between a server and the supervisor of a sandbox.
//!
//! Both ends use this crate, each treats every frame of the other as hostile. The supervisor is in the
//! library so that it can be tested and fuzzed; the binary in the same package starts it and is the
//! launcher of the `local` backend. The server uses `frame`, `protocol`
//! and `plan` only.

pub mod frame;
pub mod plan;
#[cfg(target_os = "linux")]
pub mod probe;
pub mod protocol;
#[cfg(target_os = "linux")]
pub mod supervisor;
