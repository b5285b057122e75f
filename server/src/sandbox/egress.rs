//! The way out of a sandbox: who may be reached, judged here and never inside.

pub mod address;
