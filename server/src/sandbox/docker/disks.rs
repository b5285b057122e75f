//! The disk limit of a work tree: a file system of that size in a file, which the engine mounts as a volume.
//!
//! Only where engine and server share paths, and for root with loop devices. The file has no name any more once the
//! container has started: it goes with the container's mount, whoever ends that, and nothing is left to remove. Only empty
//! file systems are made here; what commands have written is mounted by the engine, and never by the server.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tokio::process::Command;
use tokio::sync::Mutex;

use crate::sandbox::SandboxError;
use crate::task::id::SandboxId;

const PATH: &str = "/usr/sbin:/sbin:/usr/bin:/bin";

/// What a file system of any size needs for itself.
const OWN_BYTES: u64 = 4 << 20;

/// Ends the name of a disk that is a sandbox's.
const SUFFIX: &str = "ext4";

/// How the growth of a work tree is limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WorkTreeLimit {
    /// As a whole where the self-test can make that work; else only single files are, which the capabilities then say.
    #[default]
    Automatic,
    /// Only single files.
    Files,
}

/// The disks of one server.
pub(super) struct Disks {
    folder: PathBuf,
    /// Held while a template is made.
    making: Mutex<()>,
    /// Why there are none; set when they can't be had or were tried and failed.
    why_not: OnceLock<String>,
}

/// A disk that a container is about to be started with.
pub(super) struct Disk {
    path: PathBuf,
    device: String,
}

impl Disk {
    /// Returns the block device.
    pub(super) fn device(&self) -> &str {
        &self.device
    }

    /// Lets go of it, mounted or not: it is gone when nothing has it mounted any more.
    pub(super) async fn release(self) {
        // A device in use is detached by the kernel when its last user is gone.
        if let Err(error) = run("losetup", ["--detach".as_ref(), self.device.as_ref()]).await {
            // It is found by the name of its file.
            tracing::debug!(%error, "a loop device could not be released; a sweep will");
            return;
        }
        let _ = fs::remove_file(&self.path);
    }
}

impl Disks {
    /// Looks whether there can be any; whether the engine sees them is only known when the self-test has made one.
    pub(super) fn prepare(state_folder: &Path, limit: WorkTreeLimit) -> io::Result<Self> {
        let folder = state_folder.join("disks");
        fs::create_dir_all(&folder)?;
        let missing = match limit {
            WorkTreeLimit::Files => Some("the settings say so".to_owned()),
            WorkTreeLimit::Automatic => missing(),
        };
        Ok(Self {
            folder,
            making: Mutex::default(),
            why_not: missing.map_or_else(OnceLock::new, OnceLock::from),
        })
    }

    /// Goes on without disks; returns whether that changes anything.
    pub(super) fn give_up(&self, why: &str) -> bool {
        self.why_not.set(why.to_owned()).is_ok()
    }

    /// Returns why there are none.
    pub(super) fn why_not(&self) -> Option<&str> {
        self.why_not.get().map(String::as_str)
    }

    /// Makes an empty disk for a sandbox; nothing where there are none.
    pub(super) async fn make(&self, id: SandboxId, bytes: u64) -> Result<Option<Disk>, SandboxError> {
        if self.why_not().is_some() {
            return Ok(None);
        }
        let template = self.template(bytes).await?;
        let path = self.folder.join(format!("{id}.{SUFFIX}"));
        let options = ["--reflink=auto", "--sparse=always", "--"].map(AsRef::as_ref);
        run(
            "cp",
            options.into_iter().chain([template.as_os_str(), path.as_os_str()]),
        )
        .await?;
        let shown = run(
            "losetup",
            ["--find", "--show", "--"]
                .map(AsRef::as_ref)
                .into_iter()
                .chain([path.as_os_str()]),
        );
        match shown.await {
            Ok(device) => Ok(Some(Disk {
                path,
                device: device.trim().to_owned(),
            })),
            Err(error) => {
                let _ = fs::remove_file(path);
                Err(error)
            }
        }
    }

    async fn template(&self, bytes: u64) -> Result<PathBuf, SandboxError> {
        let _making = self.making.lock().await;
        let template = self.folder.join(format!("template-{bytes}"));
        if template.is_file() {
            return Ok(template);
        }
        let unfinished = self.folder.join("template.new");
        let hole = || -> io::Result<()> { fs::File::create(&unfinished)?.set_len(bytes + OWN_BYTES) };
        hole().map_err(|error| failed("make a disk", &error.to_string()))?;
        // The work tree is the commands' from the start, and nothing is kept back for root.
        let extended = "nodiscard,lazy_itable_init=1,lazy_journal_init=1,root_owner=1000:1000";
        let options = ["-q", "-F", "-m", "0", "-E", extended].map(AsRef::as_ref);
        run("mkfs.ext4", options.into_iter().chain([unfinished.as_os_str()])).await?;
        // A work tree is empty at first; the one who may need this folder is a checker of file systems.
        let empty = ["-w", "-R", "rmdir lost+found"].map(AsRef::as_ref);
        run("debugfs", empty.into_iter().chain([unfinished.as_os_str()])).await?;
        fs::rename(&unfinished, &template).map_err(|error| failed("keep a disk", &error.to_string()))?;
        Ok(template)
    }

    /// Removes disks that a crash left between their making and their container's start.
    pub(super) async fn sweep(&self, is_used: impl Fn(SandboxId) -> bool) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let id = path
                .file_stem()
                .and_then(|stem| stem.to_str())
                .and_then(|stem| stem.parse().ok());
            let is_disk = path.extension().is_some_and(|extension| extension == SUFFIX);
            if !is_disk || id.is_none_or(&is_used) {
                continue;
            }
            let found = run("losetup", ["--associated".as_ref(), path.as_os_str()])
                .await
                .unwrap_or_default();
            for device in found
                .lines()
                .filter_map(|line| line.split_once(':'))
                .map(|(device, _)| device)
            {
                drop(run("losetup", ["--detach".as_ref(), device.as_ref()]).await);
            }
            let _ = fs::remove_file(path);
        }
    }
}

/// Names what disks need and this machine lacks.
fn missing() -> Option<String> {
    if !fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0) {
        return Some("only root can make a loop device".into());
    }
    let control = "/dev/loop-control";
    if let Err(error) = fs::OpenOptions::new().read(true).write(true).open(control) {
        return Some(format!("{control} can't be opened ({error})"));
    }
    let absent = ["mkfs.ext4", "debugfs", "losetup"]
        .into_iter()
        .find(|program| !PATH.split(':').any(|folder| Path::new(folder).join(program).is_file()))?;
    Some(format!("{absent} is not installed"))
}

async fn run<'a>(
    program: &str,
    arguments: impl IntoIterator<Item = &'a std::ffi::OsStr>,
) -> Result<String, SandboxError> {
    let output = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .kill_on_drop(true)
        .output();
    let output = output.await.map_err(|error| failed(program, &error.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(failed(program, String::from_utf8_lossy(&output.stderr).trim()))
}

fn failed(step: &str, message: &str) -> SandboxError {
    SandboxError::Unavailable {
        message: format!(
            "{step}: {message}; work trees with a disk limit need mkfs.ext4, losetup and room in the data folder"
        ),
    }
}
