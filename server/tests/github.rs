//! The GitHub forge against a GitHub on loopback: its API with state and GitHub's refusals, its git real.

#![cfg(test)]

#[path = "github/by_hand.rs"]
mod by_hand;
#[path = "github/certificates.rs"]
mod certificates;
#[path = "support/company.rs"]
mod company;
#[path = "conformance/forge.rs"]
mod conformance;
#[path = "github/described.rs"]
mod described;
#[path = "support/fake_github.rs"]
mod fake_github;
#[path = "git/fixture.rs"]
mod fixture;
#[path = "github/forks.rs"]
mod forks;
#[path = "support/git_backend.rs"]
mod git_backend;
#[path = "github/login.rs"]
mod login;
#[path = "github/pull_requests.rs"]
mod pull_requests;
#[path = "github/repositories.rs"]
mod repositories;
#[path = "github/site.rs"]
mod site;
#[path = "github/texts.rs"]
mod texts;
#[path = "github/waits.rs"]
mod waits;
