//! Settings of the Docker backend.

use std::path::PathBuf;

use super::Reader;

/// Where the engine is, and how it makes sandboxes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerSettings {
    /// The engine's address; the usual socket when empty.
    pub host: String,
    /// Folder of the certificates for an engine over TLS.
    pub certificates: Option<PathBuf>,
    /// The engine's runtime; its default when `None`.
    pub runtime: Option<String>,
    /// When images are pulled.
    pub pull: PullChoice,
    /// Containers that are kept ready.
    pub pool_size: usize,
}

/// When images are pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullChoice {
    /// Never.
    Never,
    /// When one is not there.
    Missing,
}

impl Reader<'_> {
    pub(super) fn docker(&mut self) -> Option<DockerSettings> {
        let pull = self.choice(
            "BACKSPACE_IMAGE_PULL",
            &[("never", PullChoice::Never), ("missing", PullChoice::Missing)],
        );
        let pool_size = self.number("BACKSPACE_POOL_SIZE", 0..=100);
        Some(DockerSettings {
            host: self.text("DOCKER_HOST").unwrap_or_default(),
            certificates: self.path("DOCKER_CERT_PATH"),
            runtime: self.text("BACKSPACE_DOCKER_RUNTIME"),
            pull: pull?,
            pool_size: pool_size? as usize,
        })
    }
}
