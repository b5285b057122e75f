//! Secrets that never print, and the second line of defence: masking of texts that leave the server.
//!
//! The first line is absence: no secret enters a sandbox or a prompt. `Redactor` masks by value,
//! whatever a token looks like; patterns only help against secrets that the server does not know.

use std::fmt;
use std::sync::Arc;

mod redactor;
mod stream;
mod variant;

pub use redactor::Redactor;
pub use stream::{MaskedPiece, MaskedStream};

/// A secret. It has no `Display`, its `Debug` hides it, and it is never serialized.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// Returns the secret, for the one call that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
