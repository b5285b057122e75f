//! PID 1 of a sandbox: runs commands and file operations for the server, one thread, one loop.
//!
//! Single-threaded and without a runtime, because it forks, and because a sandbox should cost next to
//! nothing. It holds no secret; what a command can make of it is the end of its own sandbox.

mod capture;
mod child;
mod config;
mod confine;
mod edit;
mod event_loop;
mod exec;
mod files;
mod growth;
mod herd;
mod memory;
mod outgoing;
mod search;
mod seccomp;
mod shepherd;
mod spill;
mod survey;
mod system;
mod tunnel;
mod worker;

pub use config::SupervisorConfig;

/// Serves until the sandbox is to end, and returns the exit status of the process. Must be called in a
/// process with one thread, as PID 1 of the sandbox's PID namespace.
pub fn run(config: SupervisorConfig) -> i32 {
    match event_loop::EventLoop::new(config) {
        Ok(mut event_loop) => event_loop.run(),
        Err(error) => {
            eprintln!("the supervisor can't begin: {error}");
            1
        }
    }
}
