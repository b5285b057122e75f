//! The real command, run as a person or a script runs it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod command_line;
mod fake;
mod home;
mod private_server;
mod setting_up;
