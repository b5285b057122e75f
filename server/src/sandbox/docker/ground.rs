//! What this server and its engine have in common: the paths of one machine, or only the engine's interface.
//!
//! Found out and never configured: a file with a random text is shown to a container that is never started, and
//! asked back through the engine. Where that fails the supervisor goes into a volume, and objects over the protocol.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountType, VolumeCreateRequest};
use bollard::query_parameters::{CreateContainerOptions, DownloadFromContainerOptions, UploadToContainerOptions};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;
use tokio_stream::StreamExt as _;

use super::engine::{Engine, is_missing};
use super::image::ImageId;
use super::instance::Instance;
use super::life::remove;
use super::request::{SUPERVISOR, SUPERVISOR_FOLDER, labels};
use crate::sandbox::SandboxError;
use crate::task::id::SandboxId;

/// Most bytes that are asked back: a supervisor.
const MAX_ARCHIVE_BYTES: usize = 64 << 20;

/// Name of the supervisor in its folder.
const SUPERVISOR_NAME: &str = "backspace-supervisor";

/// Where a container gets its supervisor from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SupervisorSource {
    /// A file of the engine's machine.
    Path(String),
    /// A volume of the engine.
    Volume(String),
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Common {
    /// Whether the engine sees this server's files under the same paths.
    pub(super) has_paths: bool,
    /// Where the supervisor is.
    pub(super) supervisor: SupervisorSource,
}

/// Finds out once, and again after something that was found is gone.
pub(super) struct Ground {
    engine: Arc<Engine>,
    instance: Instance,
    supervisor: PathBuf,
    found: Mutex<Option<Arc<Common>>>,
}

impl Ground {
    pub(super) fn new(engine: Arc<Engine>, instance: &Instance, supervisor: PathBuf) -> Self {
        Self {
            engine,
            instance: instance.clone(),
            supervisor,
            found: Mutex::default(),
        }
    }

    /// Returns what is common, by a container of this image that is never started.
    pub(super) async fn find(&self, image: &ImageId) -> Result<Arc<Common>, SandboxError> {
        let mut found = self.found.lock().await;
        if let Some(common) = found.as_ref() {
            return Ok(Arc::clone(common));
        }
        let binary = fs::read(&self.supervisor).map_err(|error| self.unreadable(&error))?;
        let digest = hexadecimal(&Sha256::digest(&binary));
        let has_paths = self.sees_paths(image).await?;
        let supervisor = if has_paths {
            let path = self.keep(&binary, &digest).map_err(|error| self.unreadable(&error))?;
            SupervisorSource::Path(path.to_string_lossy().into_owned())
        } else {
            SupervisorSource::Volume(self.send(image, &binary, &digest).await?)
        };
        tracing::debug!(
            has_paths,
            ?supervisor,
            "found what the engine and this server have in common"
        );
        let common = Arc::new(Common { has_paths, supervisor });
        *found = Some(Arc::clone(&common));
        Ok(common)
    }

    /// Looks again the next time: what was found may be gone.
    pub(super) async fn forget(&self) {
        *self.found.lock().await = None;
    }

    fn unreadable(&self, error: &io::Error) -> SandboxError {
        SandboxError::Internal {
            message: format!("read the supervisor {}: {error}", self.supervisor.display()),
        }
    }

    /// Puts the supervisor where the engine sees it: the server's own may be in an image.
    fn keep(&self, binary: &[u8], digest: &str) -> io::Result<PathBuf> {
        let name = format!("supervisor-{}", digest.get(..16).unwrap_or_default());
        let path = self.instance.folder().join(name);
        if !fs::metadata(&path).is_ok_and(|metadata| metadata.len() == binary.len() as u64) {
            let unfinished = path.with_extension("new");
            fs::write(&unfinished, binary)?;
            fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o755))?;
            fs::rename(unfinished, &path)?;
        }
        Ok(path)
    }

    async fn sees_paths(&self, image: &ImageId) -> Result<bool, SandboxError> {
        const SHOWN: &str = "/.backspace/shown";
        let token = SandboxId::random().to_string();
        let failed = |error: io::Error| SandboxError::Internal {
            message: format!("prepare {}: {error}", self.instance.folder().display()),
        };
        let folder = tempfile::tempdir_in(self.instance.folder()).map_err(failed)?;
        fs::write(folder.path().join("token"), &token).map_err(failed)?;
        let mount = Mount {
            typ: Some(MountType::BIND),
            source: folder.path().to_str().map(str::to_owned),
            target: Some(SHOWN.into()),
            read_only: Some(true),
            ..Mount::default()
        };
        let helper = match self.helper(image, mount).await {
            Ok(helper) => helper,
            // The engine refuses a path that it does not have.
            Err(SandboxError::Unsupported { message }) if message.contains("does not exist") => return Ok(false),
            Err(error) => return Err(error),
        };
        let shown = self.read(&helper, &format!("{SHOWN}/token")).await;
        remove(&self.engine, &helper).await?;
        Ok(shown?.is_some_and(|shown| shown == token.as_bytes()))
    }

    /// Puts the supervisor into a volume, unless it is there; returns the volume's name.
    async fn send(&self, image: &ImageId, binary: &[u8], digest: &str) -> Result<String, SandboxError> {
        let name = format!("backspace-supervisor-{}", digest.get(..16).unwrap_or_default());
        let request = VolumeCreateRequest {
            name: Some(name.clone()),
            ..VolumeCreateRequest::default()
        };
        let made = self.engine.client().create_volume(request).await;
        made.map_err(|error| self.engine.fault("make the volume of the supervisor", error))?;
        let mount = Mount {
            typ: Some(MountType::VOLUME),
            source: Some(name.clone()),
            target: Some(SUPERVISOR_FOLDER.into()),
            ..Mount::default()
        };
        let helper = self.helper(image, mount).await?;
        let sent = self.send_into(&helper, binary).await;
        remove(&self.engine, &helper).await?;
        sent.map(|()| name)
    }

    async fn send_into(&self, helper: &str, binary: &[u8]) -> Result<(), SandboxError> {
        if self
            .read(helper, SUPERVISOR)
            .await?
            .is_some_and(|found| found == binary)
        {
            return Ok(());
        }
        let archive = archive(binary).map_err(|error| self.unreadable(&error))?;
        let options = UploadToContainerOptions {
            path: SUPERVISOR_FOLDER.into(),
            ..UploadToContainerOptions::default()
        };
        let body = bollard::body_full(Bytes::from(archive));
        let sent = self
            .engine
            .client()
            .upload_to_container(helper, Some(options), body)
            .await;
        sent.map_err(|error| self.engine.fault("send the supervisor", error))
    }

    /// Makes a container that is never started. Its labels have a sweep find it after a crash.
    async fn helper(&self, image: &ImageId, mount: Mount) -> Result<String, SandboxError> {
        let body = ContainerCreateBody {
            image: Some(image.as_str().to_owned()),
            cmd: Some(vec!["never started".into()]),
            labels: Some(labels(SandboxId::random(), self.instance.id())),
            host_config: Some(HostConfig {
                network_mode: Some("none".into()),
                mounts: Some(vec![mount]),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let made = self
            .engine
            .client()
            .create_container(None::<CreateContainerOptions>, body)
            .await;
        made.map(|made| made.id)
            .map_err(|error| self.engine.fault("make a container to look at paths", error))
    }

    /// Reads a file of a container through the engine; nothing when it is not there.
    async fn read(&self, helper: &str, path: &str) -> Result<Option<Vec<u8>>, SandboxError> {
        let options = DownloadFromContainerOptions { path: path.to_owned() };
        let mut pieces = self.engine.client().download_from_container(helper, Some(options));
        let mut bytes = Vec::new();
        while let Some(piece) = pieces.next().await {
            match piece {
                Ok(piece) => bytes.extend_from_slice(&piece),
                Err(error) if is_missing(&error) => return Ok(None),
                Err(error) => return Err(self.engine.fault(&format!("read {path} of a container"), error)),
            }
            if bytes.len() > MAX_ARCHIVE_BYTES {
                return Ok(None);
            }
        }
        Ok(first_file(&bytes))
    }
}

/// Returns the content of the first file of an archive.
fn first_file(archive: &[u8]) -> Option<Vec<u8>> {
    let mut archive = tar::Archive::new(archive);
    let mut entry = archive.entries().ok()?.next()?.ok()?;
    let mut content = Vec::new();
    io::Read::read_to_end(&mut entry, &mut content).ok()?;
    Some(content)
}

fn archive(binary: &[u8]) -> io::Result<Vec<u8>> {
    let mut header = tar::Header::new_gnu();
    header.set_size(binary.len() as u64);
    header.set_mode(0o755);
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_data(&mut header, Path::new(SUPERVISOR_NAME), binary)?;
    builder.into_inner()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_comes_out_of_its_archive_as_it_went_in() {
        for content in [&b""[..], b"x", &[7; 70_000]] {
            assert_eq!(first_file(&archive(content).unwrap()).as_deref(), Some(content));
        }
        assert_eq!(first_file(b"no archive"), None);
    }
}
