//! PID 1 of a sandbox: runs commands and file operations for the server, one thread, one loop.

mod config;

pub use config::SupervisorConfig;

/// Serves until the sandbox is to end, and returns the exit status of the process. Must be called in a
/// process with one thread, as PID 1 of the sandbox's PID namespace.
pub fn run(config: SupervisorConfig) -> i32 {
    drop(config);
    1
}
