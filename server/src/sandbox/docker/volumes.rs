//! Volumes that the engine keeps for this server: the layers of work trees, and kept checkouts.
//!
//! They have names, because an overlay is made of their paths at the engine, which the server only passes on: so it
//! works where no path is shared. A volume without a name goes with its container; it is listed too, since an engine that
//! was restarted leaves it.

use std::sync::Arc;

use bollard::models::VolumeCreateRequest;
use bollard::query_parameters::{ListVolumesOptions, RemoveVolumeOptions};

use super::engine::{Engine, is_conflict, is_missing};
use super::instance::Instance;
use super::request::{SANDBOX_LABEL, labels};
use crate::sandbox::SandboxError;
use crate::task::id::SandboxId;

/// Label of the volumes that lie under a layer, separated by blanks.
const LOWER_LABEL: &str = "backspace.checkout";

/// A volume of this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OwnVolume {
    pub(super) name: String,
    /// The sandbox it was made for.
    pub(super) sandbox: Option<SandboxId>,
    /// The volumes below.
    pub(super) lower: Vec<String>,
}

/// What a volume is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// What a work tree differs by from what is below.
    Upper,
    /// The overlay's own.
    Scratch,
    /// A work tree that is to be kept.
    Tree,
    /// What a home folder differs by from what is below.
    HomeUpper,
    /// The overlay's own.
    HomeScratch,
    /// A home folder that is to be kept.
    Home,
}

/// Returns the name of a sandbox's volume.
pub(super) fn name(id: SandboxId, purpose: Purpose) -> String {
    let purpose = match purpose {
        Purpose::Upper => "upper",
        Purpose::Scratch => "scratch",
        Purpose::Tree => "tree",
        Purpose::HomeUpper => "home-upper",
        Purpose::HomeScratch => "home-scratch",
        Purpose::Home => "home",
    };
    format!("backspace-{id}-{purpose}")
}

/// The volumes of an engine.
#[derive(Clone)]
pub(super) struct Volumes {
    pub(super) engine: Arc<Engine>,
    pub(super) instance: Instance,
}

impl Volumes {
    /// Makes a volume; returns its path at the engine.
    pub(super) async fn make(&self, id: SandboxId, purpose: Purpose, lower: &[&str]) -> Result<String, SandboxError> {
        let mut labels = labels(id, self.instance.id());
        if !lower.is_empty() {
            labels.insert(LOWER_LABEL.to_owned(), lower.join(" "));
        }
        let request = VolumeCreateRequest {
            name: Some(name(id, purpose)),
            labels: Some(labels),
            ..VolumeCreateRequest::default()
        };
        let made = self.engine.client().create_volume(request).await;
        let made = made.map_err(|error| self.engine.fault("make a volume", error))?;
        fit_for_overlay(made.mountpoint)
    }

    /// Returns the path of a volume at the engine; nothing when there is none.
    pub(super) async fn find(&self, name: &str) -> Result<Option<String>, SandboxError> {
        match self.engine.client().inspect_volume(name).await {
            Ok(found) => fit_for_overlay(found.mountpoint).map(Some),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(self.engine.fault("look for a volume", error)),
        }
    }

    /// Removes a volume; one that is not there or in use is none of the caller's.
    pub(super) async fn remove(&self, name: &str) -> Result<(), SandboxError> {
        match self
            .engine
            .client()
            .remove_volume(name, None::<RemoveVolumeOptions>)
            .await
        {
            Err(error) if !is_missing(&error) && !is_conflict(&error) => {
                Err(self.engine.fault("remove a volume", error))
            }
            _ => Ok(()),
        }
    }

    /// Lists the volumes of this server.
    pub(super) async fn list(&self) -> Result<Vec<OwnVolume>, SandboxError> {
        let options = ListVolumesOptions {
            filters: Some(self.instance.filters()),
        };
        let listed = self.engine.client().list_volumes(Some(options)).await;
        let listed = listed.map_err(|error| self.engine.fault("list the volumes", error))?;
        let own = listed.volumes.unwrap_or_default().into_iter().map(|volume| OwnVolume {
            sandbox: volume.labels.get(SANDBOX_LABEL).and_then(|text| text.parse().ok()),
            lower: lower_of(volume.labels.get(LOWER_LABEL)),
            name: volume.name,
        });
        Ok(own.collect())
    }
}

fn lower_of(label: Option<&String>) -> Vec<String> {
    let names = label.map(|names| names.split(' ').map(str::to_owned));
    names.into_iter().flatten().collect()
}

/// A path becomes part of a list of mount options, in which some characters mean something.
fn fit_for_overlay(path: String) -> Result<String, SandboxError> {
    if path.starts_with('/') && !path.contains([',', ':', '\\', '"', '\n']) {
        return Ok(path);
    }
    Err(SandboxError::Unsupported {
        message: format!("the engine keeps volumes in a folder that no overlay can be made of: {path}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_would_be_read_as_options_is_refused() {
        for (path, is_fit) in [
            ("/var/lib/docker/volumes/x/_data", true),
            ("/data,ro/volumes/x/_data", false),
            ("/data:/etc/x", false),
            ("volumes/x", false),
        ] {
            assert_eq!(fit_for_overlay(path.into()).is_ok(), is_fit, "{path}");
        }
    }
}
