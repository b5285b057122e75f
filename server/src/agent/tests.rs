//! The loop as a whole, against a model that follows a script and checks every request.

mod ends;
mod memory_sandbox;
mod recovery;
mod scripted_model;
mod support;
mod turns;
