//! Proto ↔ domain. Messages are taken apart whole, without `..`, so that a new field of the contract does
//! not compile until someone has decided what it means.
//!
//! From the wire comes nothing but drafts and violations: what is valid is decided by `task`. To the
//! wire goes everything the contract names; cutting for size is a step of its own (`cut`).

use crate::api::edge::EdgeError;
use crate::task::spec::Violation;

pub(crate) mod cut;
pub(crate) mod event;
pub(crate) mod moment;
pub(crate) mod name;
pub(crate) mod page;
pub(crate) mod request;
pub(crate) mod result;
pub(crate) mod server_info;
pub(crate) mod spec;
pub(crate) mod task;

#[cfg(test)]
mod coverage;

/// Gathers what is wrong with a request.
#[derive(Debug, Default)]
pub(crate) struct Violations(Vec<Violation>);

impl Violations {
    /// Adds one.
    pub(crate) fn add(&mut self, field: &str, description: impl Into<String>) {
        self.0.push(Violation::new(field, description));
    }

    /// Keeps a value, or its violation.
    pub(crate) fn take<T>(&mut self, result: Result<T, Violation>) -> Option<T> {
        result.map_err(|violation| self.0.push(violation)).ok()
    }

    /// Keeps a value, or its violations.
    pub(crate) fn take_all<T>(&mut self, result: Result<T, Vec<Violation>>) -> Option<T> {
        result.map_err(|violations| self.0.extend(violations)).ok()
    }

    /// Makes the error of everything gathered. It has at least one violation whenever a value was not kept.
    pub(crate) fn into_error(self) -> EdgeError {
        EdgeError::Invalid(self.0)
    }

    /// Returns whether nothing is wrong.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
