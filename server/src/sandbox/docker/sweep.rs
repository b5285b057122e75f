//! Removes what of this server nobody will enter again: containers, layers of work trees, trees that were not kept.
//!
//! A container is known by its name, because one that was kept ready carries another id in its label; so do its volumes,
//! which are known by it. Only what has this server's label is looked at.

use std::collections::HashSet;

use bollard::query_parameters::ListContainersOptions;

use super::container::Maker;
use super::life::remove;
use super::request::id_of_name;
use super::volumes::OwnVolume;
use crate::sandbox::SandboxError;
use crate::task::id::SandboxId;

/// A container of this server.
struct OwnContainer {
    id: String,
    /// The sandbox that it is.
    sandbox: Option<SandboxId>,
    /// Names of the volumes that are in it.
    volumes: Vec<String>,
}

impl Maker {
    /// Removes what is neither kept nor in use by this process; returns how many containers.
    pub(super) async fn sweep(&self, keep: &[SandboxId]) -> Result<usize, SandboxError> {
        let is_used = |id: SandboxId| keep.contains(&id) || self.live.has(id);
        // Before the containers, so that no volume is taken for left whose container is just being made.
        let volumes = self.volumes.list().await?;
        let containers = self.containers().await?;
        let (used, unused): (Vec<_>, Vec<_>) = containers
            .into_iter()
            .partition(|container| container.sandbox.is_some_and(is_used));
        for container in &unused {
            remove(&self.engine, &container.id).await?;
        }
        self.disks.sweep(is_used).await;
        let held = used.into_iter().flat_map(|container| container.volumes).collect();
        self.sweep_volumes(volumes, held, is_used).await?;
        Ok(unused.len())
    }

    /// Removes volumes of nobody. Notes are read last, so that whatever ceased to be a sandbox's by then is noted.
    async fn sweep_volumes(
        &self,
        listed: Vec<OwnVolume>,
        held: HashSet<String>,
        is_used: impl Fn(SandboxId) -> bool,
    ) -> Result<(), SandboxError> {
        let mut kept = held;
        // The engine does not know what lies under an overlay, and would remove it: a layer tells, whatever is noted.
        kept.extend(listed.iter().flat_map(|volume| volume.lower.iter().cloned()));
        let unused = listed
            .into_iter()
            .filter(|volume| !volume.sandbox.is_some_and(&is_used));
        let unused: Vec<_> = unused.collect();
        kept.extend(self.checkouts.settle().await);
        kept.extend(self.setups.settle().await);
        for volume in unused.iter().filter(|volume| !kept.contains(&volume.name)) {
            self.volumes.remove(&volume.name).await?;
        }
        Ok(())
    }

    async fn containers(&self) -> Result<Vec<OwnContainer>, SandboxError> {
        let options = ListContainersOptions {
            all: true,
            filters: Some(self.instance.filters()),
            ..ListContainersOptions::default()
        };
        let listed = self.engine.client().list_containers(Some(options)).await;
        let listed = listed.map_err(|error| self.engine.fault("list the containers", error))?;
        let own = listed.into_iter().filter_map(|container| {
            // A busy engine may go on listing one that it has removed, without a name.
            let names = container.names.filter(|names| !names.is_empty())?;
            let mounts = container.mounts.unwrap_or_default();
            Some(OwnContainer {
                id: container.id?,
                sandbox: names.iter().find_map(|name| id_of_name(name)),
                volumes: mounts.into_iter().filter_map(|mount| mount.name).collect(),
            })
        });
        Ok(own.collect())
    }
}
