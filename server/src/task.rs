//! The domain: what a Task is, what may happen to it and what it leaves behind.
//!
//! Pure: no tokio, no tonic, no I/O. Everything else may import it; it imports nothing of the
//! server. The grammars of addresses, branch names and hosts live here too, because a `TaskSpec` that
//! exists is valid; and so does the cutting of texts, which the agent and the forges both do.

pub mod address;
pub mod branch;
pub mod budget;
pub mod event;
pub mod failure;
pub mod host;
pub mod id;
pub mod record;
pub mod result;
pub mod spec;
pub mod state;
pub(crate) mod text_cut;
