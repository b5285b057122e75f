//! The real server process over real gRPC: scripted models, bare git repositories, `local` sandboxes.
//!
//! Nothing here knows the server's inside: what is tested is what a caller and a repository's owner
//! see, also when the process is killed at the worst moment.

#![cfg(test)]
#![expect(unreachable_pub, reason = "nothing is outside a test binary")]

#[path = "end_to_end/analysis.rs"]
mod analysis;
#[path = "end_to_end/calls.rs"]
mod calls;
#[path = "end_to_end/cancel.rs"]
mod cancel;
#[path = "end_to_end/checkouts.rs"]
mod checkouts;
#[path = "support/company.rs"]
mod company;
#[path = "end_to_end/crash.rs"]
mod crash;
#[path = "end_to_end/drain.rs"]
mod drain;
#[path = "edge/suite.rs"]
mod edge;
#[path = "end_to_end/endings.rs"]
mod endings;
#[path = "end_to_end/engine.rs"]
mod engine;
#[path = "end_to_end/event_log.rs"]
mod event_log;
#[path = "support/fake_github.rs"]
mod fake_github;
#[path = "support/git_backend.rs"]
mod git_backend;
#[path = "end_to_end/github.rs"]
mod github;
#[path = "end_to_end/github_app.rs"]
mod github_app;
#[path = "end_to_end/github_canary.rs"]
mod github_canary;
#[path = "end_to_end/github_company.rs"]
mod github_company;
#[path = "end_to_end/github_forks.rs"]
mod github_forks;
#[path = "end_to_end/github_talk.rs"]
mod github_talk;
#[path = "end_to_end/hub.rs"]
mod hub;
#[path = "end_to_end/images.rs"]
mod images;
#[path = "end_to_end/llamacpp.rs"]
mod llamacpp;
#[path = "end_to_end/logs.rs"]
mod logs;
#[path = "end_to_end/messages.rs"]
mod messages;
#[path = "end_to_end/moved.rs"]
mod moved;
#[path = "end_to_end/network.rs"]
mod network;
#[path = "end_to_end/odd.rs"]
mod odd;
#[path = "sandbox_docker/own_engine.rs"]
#[expect(dead_code, reason = "the tests of the backend do more with it")]
mod own_engine;
#[path = "end_to_end/publication.rs"]
mod publication;
#[path = "end_to_end/recording.rs"]
mod recording;
#[path = "sandbox_docker/registry.rs"]
mod registry;
#[path = "end_to_end/repository.rs"]
mod repository;
#[path = "end_to_end/script.rs"]
mod script;
#[path = "end_to_end/server.rs"]
mod server;
#[path = "end_to_end/setups.rs"]
mod setups;
#[path = "end_to_end/site.rs"]
mod site;
#[path = "end_to_end/telemetry.rs"]
mod telemetry;
