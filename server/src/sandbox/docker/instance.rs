//! Which server a container belongs to: an id in the state folder, which outlives the process.
//!
//! Several servers may share an engine. Each touches only what carries its own id, so the id must not change
//! with a restart, and must not be shared, which a data folder of one server is not.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::request::INSTANCE_LABEL;
use crate::sandbox::SandboxError;
use crate::task::id::ServerId;

/// A server's lasting id and its folder.
#[derive(Clone, Debug)]
pub(super) struct Instance {
    id: ServerId,
    folder: PathBuf,
}

impl Instance {
    /// Reads the id, or makes one.
    pub(super) fn open(folder: &Path) -> Result<Self, SandboxError> {
        let open = || -> io::Result<Self> {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
            let folder = fs::canonicalize(folder)?;
            let path = folder.join("instance");
            let id = match fs::read_to_string(&path) {
                Ok(text) => text.trim().parse().map_err(io::Error::other)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let id = ServerId::random();
                    let unfinished = folder.join("instance.new");
                    fs::write(&unfinished, id.to_string())?;
                    fs::rename(unfinished, path)?;
                    id
                }
                Err(error) => return Err(error),
            };
            Ok(Self { id, folder })
        };
        open().map_err(|error| SandboxError::Internal {
            message: format!("prepare {}: {error}", folder.display()),
        })
    }

    /// Returns the id.
    pub(super) fn id(&self) -> ServerId {
        self.id
    }

    /// Returns the filter of a list at the engine that leaves what is of this server.
    pub(super) fn filters(&self) -> HashMap<String, Vec<String>> {
        HashMap::from([("label".to_owned(), vec![format!("{INSTANCE_LABEL}={}", self.id)])])
    }

    /// Returns the folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_outlives_a_restart_and_differs_between_folders() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = Instance::open(one.path()).unwrap().id();
        assert_eq!(Instance::open(one.path()).unwrap().id(), first);
        assert_ne!(Instance::open(other.path()).unwrap().id(), first);
        fs::write(one.path().join("instance"), "not an id").unwrap();
        assert!(Instance::open(one.path()).is_err());
    }
}
