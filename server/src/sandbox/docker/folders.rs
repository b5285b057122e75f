//! The folders of a new sandbox that are on disks: volumes of their own, or laid over what is kept.
//!
//! What is kept is known to the rest of the server by a path, which is the name of its volume here. Whole volumes are laid
//! under folders, and never a path in one: commands may have made what is in it, and the engine would follow a link there.

use std::path::Path;

use super::container::{Keeping, Maker};
use super::disks::Disk;
use super::request::FolderVolume;
use super::volumes::{self, Purpose};
use crate::sandbox::{SandboxError, SandboxSpec};

/// What is in volumes.
pub(super) struct Folders {
    pub(super) work_tree: FolderVolume,
    /// Memory when `None`.
    pub(super) home: Option<FolderVolume>,
}

impl Maker {
    /// Has the volumes of a sandbox ready.
    pub(super) async fn folders(
        &self,
        spec: &SandboxSpec,
        keeping: Keeping,
        has_paths: bool,
    ) -> Result<(Folders, Option<Disk>), SandboxError> {
        let kept = match keeping {
            Keeping::Nothing => return self.folders_over(spec, has_paths).await,
            Keeping::WorkTree => Folders {
                work_tree: self.keepable(spec, Purpose::Tree).await?,
                home: None,
            },
            Keeping::Setup => Folders {
                work_tree: self.keepable(spec, Purpose::Tree).await?,
                home: Some(self.keepable(spec, Purpose::Home).await?),
            },
        };
        Ok((kept, None))
    }

    async fn keepable(&self, spec: &SandboxSpec, purpose: Purpose) -> Result<FolderVolume, SandboxError> {
        self.volumes.make(spec.id, purpose, &[]).await?;
        Ok(FolderVolume::Named(volumes::name(spec.id, purpose)))
    }

    async fn folders_over(&self, spec: &SandboxSpec, has_paths: bool) -> Result<(Folders, Option<Disk>), SandboxError> {
        let setup = spec.setup.as_ref();
        let kept = [spec.checkout.as_deref(), setup.map(|setup| setup.work_tree.as_path())];
        let lower: Vec<&str> = kept.into_iter().flatten().filter_map(Path::to_str).collect();
        if lower.is_empty() {
            let disk = if has_paths {
                self.disks.make(spec.id, spec.limits.disk_bytes).await?
            } else {
                None
            };
            let device = disk.as_ref().map(|disk| FolderVolume::Disk(disk.device().to_owned()));
            let folders = Folders {
                work_tree: device.unwrap_or(FolderVolume::Own),
                home: None,
            };
            return Ok((folders, disk));
        }
        let work_tree = self.over(spec, &lower, (Purpose::Upper, Purpose::Scratch)).await?;
        let home = match setup.and_then(|setup| setup.home.to_str()) {
            Some(home) => Some(
                self.over(spec, &[home], (Purpose::HomeUpper, Purpose::HomeScratch))
                    .await?,
            ),
            None => None,
        };
        Ok((Folders { work_tree, home }, None))
    }

    async fn over(
        &self,
        spec: &SandboxSpec,
        lower: &[&str],
        (upper, scratch): (Purpose, Purpose),
    ) -> Result<FolderVolume, SandboxError> {
        let mut paths = Vec::new();
        for volume in lower {
            let path = self.volumes.find(volume).await?;
            paths.push(path.ok_or_else(|| SandboxError::Unavailable {
                message: format!("the engine has no volume {volume} any more"),
            })?);
        }
        Ok(FolderVolume::Over {
            lower: paths,
            upper: self.volumes.make(spec.id, upper, lower).await?,
            scratch: self.volumes.make(spec.id, scratch, lower).await?,
        })
    }
}
