//! Removes what of this server nobody will enter again: containers, layers of work trees, trees that were not kept.
//!
//! A container is known by its name, because one that was kept ready carries another id in its label. Only what
//! has this server's label is looked at.

use std::collections::HashSet;

use bollard::query_parameters::ListContainersOptions;

use super::container::Maker;
use super::life::remove;
use super::request::id_of_name;
use crate::sandbox::SandboxError;
use crate::task::id::SandboxId;

impl Maker {
    /// Removes what is neither kept nor in use by this process; returns how many containers.
    pub(super) async fn sweep(&self, keep: &[SandboxId]) -> Result<usize, SandboxError> {
        let is_used = |id: SandboxId| keep.contains(&id) || self.live.has(id);
        let mut count = 0;
        for (container, id) in self.containers().await? {
            if !id.is_some_and(is_used) {
                remove(&self.engine, &container).await?;
                count += 1;
            }
        }
        self.disks.sweep(is_used).await;
        self.sweep_volumes(is_used).await?;
        Ok(count)
    }

    /// Removes volumes of nobody. Notes are read last, so that whatever ceased to be a sandbox's by then is noted.
    async fn sweep_volumes(&self, is_used: impl Fn(SandboxId) -> bool) -> Result<(), SandboxError> {
        let listed = self.volumes.list().await?;
        // The engine does not know what lies under an overlay, and would remove it: a layer tells, whatever is noted.
        let mut kept: HashSet<_> = listed.iter().filter_map(|volume| volume.checkout.clone()).collect();
        let unused = listed
            .into_iter()
            .filter(|volume| !volume.sandbox.is_some_and(&is_used));
        let unused: Vec<_> = unused.collect();
        kept.extend(self.checkouts.settle().await);
        for volume in unused.iter().filter(|volume| !kept.contains(&volume.name)) {
            self.volumes.remove(&volume.name).await?;
        }
        Ok(())
    }

    /// Lists this server's containers, and the sandbox of each that is one.
    async fn containers(&self) -> Result<Vec<(String, Option<SandboxId>)>, SandboxError> {
        let options = ListContainersOptions {
            all: true,
            filters: Some(self.instance.filters()),
            ..ListContainersOptions::default()
        };
        let listed = self.engine.client().list_containers(Some(options)).await;
        let listed = listed.map_err(|error| self.engine.fault("list the containers", error))?;
        let own = listed.into_iter().filter_map(|container| {
            let names = container.names.unwrap_or_default();
            let id = names.iter().find_map(|name| id_of_name(name));
            Some((container.id?, id))
        });
        Ok(own.collect())
    }
}
