//! The network of a sandbox for real: nothing by default, and through the proxy what was allowed.
//!
//! Each way out is tried outside first, against a destination on this machine that counts who comes: a probe that
//! does not get through there proves nothing. What needs a tool that a machine may lack is run by
//! tests/parts/network.sh.

#![cfg(test)]
#![expect(unreachable_pub, reason = "the fixture is written as if it were a crate of its own")]

#[path = "sandbox_local/fixture.rs"]
#[expect(dead_code, reason = "shared with the tests of the backend")]
mod fixture;
#[path = "attacks/inside.rs"]
mod inside;
#[path = "sandbox_network/names.rs"]
mod names;
#[path = "sandbox_network/probes.rs"]
mod probes;
#[path = "sandbox_network/proxied.rs"]
mod proxied;
#[path = "sandbox_network/target.rs"]
mod target;
#[path = "sandbox_local/user.rs"]
mod user;
