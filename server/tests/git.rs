//! The git boundary against real git: mirrors, quarantines, pushes and the local forge.

#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used, reason = "tests")]

#[path = "git/bench.rs"]
mod bench;
#[path = "git/checkouts.rs"]
mod checkouts;
#[path = "conformance/forge.rs"]
mod conformance;
#[path = "git/fixture.rs"]
mod fixture;
#[path = "support/git_backend.rs"]
mod git_backend;
#[path = "git/hostile.rs"]
mod hostile;
#[path = "git/http.rs"]
mod http;
#[path = "git/http_server.rs"]
mod http_server;
#[path = "git/local_forge.rs"]
mod local_forge;
#[path = "git/mirror.rs"]
mod mirror;
#[path = "git/names.rs"]
mod names;
#[path = "git/odd.rs"]
mod odd;
#[path = "git/policy.rs"]
mod policy;
#[path = "git/publication.rs"]
mod publication;
#[path = "git/quarantine.rs"]
mod quarantine;
#[path = "git/sent.rs"]
mod sent;
#[path = "git/tidy.rs"]
mod tidy;
#[path = "git/workspace.rs"]
mod workspace;
