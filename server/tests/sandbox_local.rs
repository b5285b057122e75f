//! The `local` backend for real: what it keeps in, what it limits, how it ends.
//!
//! Run by root, the same tests are run again by an ordinary user, because the two make their sandboxes in
//! different ways. Run by an ordinary user, only that half runs.

#![expect(unreachable_pub, reason = "the fixture is written as if it were a crate of its own")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of this is tests, not only what carries the attribute"
)]

#[path = "attacks/attacks.rs"]
mod attacks;
#[path = "conformance/sandbox.rs"]
mod conformance;
#[path = "sandbox_local/disk.rs"]
mod disk;
#[path = "sandbox_local/fixture.rs"]
#[expect(dead_code, reason = "shared with the tests of the network")]
mod fixture;
#[path = "attacks/inside.rs"]
mod inside;
#[path = "attacks/isolation.rs"]
mod isolation;
#[path = "sandbox_local/launcher.rs"]
mod launcher;
#[path = "sandbox_local/life.rs"]
mod life;
#[path = "attacks/limits.rs"]
mod limits;
#[path = "attacks/listed.rs"]
mod listed;
#[path = "sandbox_local/lists.rs"]
mod lists;
#[path = "sandbox_local/mounts.rs"]
mod mounts;
#[path = "attacks/network.rs"]
mod network;
#[path = "sandbox_local/overlay.rs"]
mod overlay;
#[path = "attacks/races.rs"]
mod races;
#[path = "sandbox_local/tools.rs"]
mod tools;
#[path = "sandbox_local/user.rs"]
mod user;

/// A provider in a folder of its own, which goes with the guard.
fn local() -> conformance::Fixture {
    let fixture::Backend { provider, state } = fixture::Backend::new();
    conformance::Fixture {
        provider: std::sync::Arc::new(provider),
        spec: inside::spec(),
        _guard: Box::new(state),
    }
}

sandbox_conformance!(local);
