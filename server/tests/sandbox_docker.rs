//! The `docker` backend for real: the same promises and attacks as `local`, on an engine; what only an engine has.
//!
//! Not among the tests that `cargo test` runs by itself: tests/parts/docker.sh has an engine and an image for it.

#![cfg(test)]
#![expect(unreachable_pub, reason = "the fixture is written as if it were a crate of its own")]

#[path = "attacks/attacks.rs"]
mod attacks;
#[path = "sandbox_docker/between.rs"]
mod between;
#[path = "sandbox_docker/checkouts.rs"]
mod checkouts;
#[path = "conformance/sandbox.rs"]
mod conformance;
#[path = "sandbox_docker/disk.rs"]
mod disk;
#[path = "sandbox_docker/fixture.rs"]
mod fixture;
#[path = "sandbox_docker/full.rs"]
mod full;
#[path = "sandbox_docker/images.rs"]
mod images;
#[path = "attacks/inside.rs"]
mod inside;
#[path = "attacks/isolation.rs"]
mod isolation;
#[path = "sandbox_docker/life.rs"]
mod life;
#[path = "attacks/limits.rs"]
mod limits;
#[path = "attacks/listed.rs"]
mod listed;
#[path = "sandbox_docker/lists.rs"]
mod lists;
#[path = "sandbox_network/names.rs"]
mod names;
#[path = "attacks/network.rs"]
mod network;
#[path = "sandbox_docker/own_engine.rs"]
mod own_engine;
#[path = "sandbox_docker/pool.rs"]
mod pool;
#[path = "sandbox_network/probes.rs"]
mod probes;
#[path = "sandbox_network/proxied.rs"]
mod proxied;
#[path = "sandbox_docker/pulls.rs"]
mod pulls;
#[path = "attacks/races.rs"]
mod races;
#[path = "sandbox_docker/registry.rs"]
mod registry;
#[path = "sandbox_docker/restarts.rs"]
mod restarts;
#[path = "sandbox_docker/slow.rs"]
mod slow;
#[path = "sandbox_network/target.rs"]
mod target;

/// A provider in a folder of its own, which goes with the guard.
fn docker() -> conformance::Fixture {
    let fixture::Backend { provider, state } = fixture::Backend::new();
    conformance::Fixture {
        provider: std::sync::Arc::new(provider),
        spec: inside::spec(),
        _guard: Box::new(Kept(state)),
    }
}

/// Removes what is kept at the engine, which outlives every server.
struct Kept(tempfile::TempDir);

impl Drop for Kept {
    fn drop(&mut self) {
        fixture::remove_volumes(self.0.path());
    }
}

sandbox_conformance!(docker);
