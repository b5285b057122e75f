//! The git boundary against real git: mirrors, quarantines, pushes and the local forge.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "conformance/forge.rs"]
mod conformance;
#[path = "git/fixture.rs"]
mod fixture;
#[path = "git/local_forge.rs"]
mod local_forge;
#[path = "git/mirror.rs"]
mod mirror;
#[path = "git/publication.rs"]
mod publication;
#[path = "git/quarantine.rs"]
mod quarantine;
#[path = "git/workspace.rs"]
mod workspace;
