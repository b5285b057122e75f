//! Rust SDK of Backspace, a self-hosted coding agent: one sentence in, one pull request out.
//!
//! [`Client::run_task`] runs a Task and iterates over its events; a lost connection is made again and
//! the stream goes on where it was, each durable event exactly once:
//!
//! ```no_run
//! use backspace_sdk::{Client, Options, v1};
//!
//! # async fn example() -> Result<(), backspace_sdk::Error> {
//! let client = Client::connect("http://127.0.0.1:8000", Options::default()).await?;
//! let mut run = client.run_task(v1::TaskSpec {
//!     instruction: "Fix the failing test".to_owned(),
//!     repository: Some(v1::Repository { url: "https://github.com/owner/name".to_owned(), revision: None }),
//!     ..Default::default()
//! });
//! while let Some(event) = run.next().await {
//!     println!("{:?}", event?.payload);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The generated messages, client and server traits are in [`v1`]; canonical protobuf JSON of each
//! message is in [`json`]. This crate may not know the server or the command: both build on it.

mod address;
mod artifact;
mod backoff;
mod client;
mod error;
#[cfg(feature = "json")]
pub mod json;
mod run;

pub use address::Plaintext;
pub use artifact::ArtifactRead;
pub use backoff::Reconnect;
pub use client::{Authorization, Client, ClientIdentity, Options, RawClient, Token};
pub use error::{CallError, ERROR_DOMAIN, Error, FieldViolation, Origin};
pub use run::{Interruption, TaskRun};

/// Generated from `proto/backspace/v1`.
pub mod v1 {
    #![allow(missing_docs, clippy::all, unreachable_pub, rustdoc::all, reason = "generated code")]
    tonic::include_proto!("backspace.v1");
}

/// How the message of a `Warning` begins that tells where a replayed Task first went another way.
pub const REPLAY_DIVERGES: &str = "the replay diverges";

/// The contract as a `google.protobuf.FileDescriptorSet`, for reflection and JSON.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor_set.bin"));
