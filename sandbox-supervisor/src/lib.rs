//! The protocol between a server and the supervisor of a sandbox.
//!
//! Both ends use this crate, each treats every frame of the other as hostile. The binary in the
//! same package is the supervisor itself and the launcher of the `local` backend.

pub mod frame;
pub mod protocol;
