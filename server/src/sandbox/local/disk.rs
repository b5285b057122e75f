//! How the work tree's growth is limited: by an image of fixed size for each sandbox, or not as a whole.
//!
//! Making a file system costs more than copying one that is nearly all holes, so there is one template for each
//! size, and one spare copy made ahead. The spare is written to the disk there and then: the kernel does that before it
//! makes a loop device of a file, which would take longer than the rest. Only empty images are touched here: what
//! commands have written is mounted by a launcher, in its own namespace, and never by the server.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use tokio::process::Command;
use tokio::sync::Mutex;

use super::super::SandboxError;
use super::DiskLimit;
use crate::jobs::Jobs;

const PATH: &str = "/usr/sbin:/sbin:/usr/bin:/bin";

/// How the disk limit is held on this machine.
pub(super) struct Disk {
    limit: DiskLimit,
    templates: Option<Arc<Templates>>,
    /// Why there are no images; set when they were tried and failed.
    why_not: OnceLock<String>,
}

impl Disk {
    /// Chooses; whether images can really be mounted is only known when the self-test has made one.
    pub(super) fn find(limit: DiskLimit, state_folder: &Path, is_root: bool) -> Self {
        let missing = match limit {
            DiskLimit::Image => None,
            DiskLimit::Files => Some("the settings say so".to_owned()),
            DiskLimit::Automatic => missing(is_root),
        };
        let templates = missing.is_none().then(|| Arc::new(Templates::new(state_folder)));
        Self {
            limit,
            templates,
            why_not: missing.map_or_else(OnceLock::new, OnceLock::from),
        }
    }

    /// Returns what makes images, where sandboxes have some.
    pub(super) fn templates(&self) -> Option<&Arc<Templates>> {
        self.templates.as_ref().filter(|_| self.why_not.get().is_none())
    }

    /// Goes on without images when they were only tried; returns whether that changed anything.
    pub(super) fn give_up(&self, error: &SandboxError) -> bool {
        let is_tried = self.limit == DiskLimit::Automatic && self.templates().is_some();
        is_tried && self.why_not.set(error.to_string()).is_ok()
    }

    /// Returns why sandboxes have no images.
    pub(super) fn why_not(&self) -> Option<&str> {
        self.why_not.get().map(String::as_str)
    }
}

/// Names what images need and this machine lacks.
fn missing(is_root: bool) -> Option<String> {
    if !is_root {
        return Some("only root can mount an image".into());
    }
    let control = "/dev/loop-control";
    if let Err(error) = fs::OpenOptions::new().read(true).write(true).open(control) {
        return Some(format!("{control} can't be opened ({error})"));
    }
    let is_there = PATH
        .split(':')
        .any(|folder| Path::new(folder).join("mkfs.ext4").is_file());
    (!is_there).then(|| "mkfs.ext4 is not installed".into())
}

/// Makes images.
pub(super) struct Templates {
    folder: PathBuf,
    /// Held while a template or a spare copy is made.
    making: Mutex<()>,
}

impl Templates {
    fn new(state_folder: &Path) -> Self {
        Self {
            folder: state_folder.to_path_buf(),
            making: Mutex::default(),
        }
    }

    /// Puts an image of a size at a path, and makes one more ahead for the next sandbox.
    pub(super) async fn make(self: &Arc<Self>, bytes: u64, image: &Path, jobs: &Jobs) -> Result<(), SandboxError> {
        if fs::rename(self.spare(bytes), image).is_err() {
            let _making = self.making.lock().await;
            // It may have been made while this waited.
            if fs::rename(self.spare(bytes), image).is_err() {
                self.copy(bytes, image).await?;
            }
        }
        let this = Arc::clone(self);
        jobs.spawn("spare disk image", async move {
            if let Err(error) = this.make_spare(bytes).await {
                tracing::debug!(%error, "no spare disk image was made; the next sandbox makes its own");
            }
        });
        Ok(())
    }

    fn spare(&self, bytes: u64) -> PathBuf {
        self.folder.join(format!("disk-{bytes}.spare"))
    }

    async fn make_spare(&self, bytes: u64) -> Result<(), SandboxError> {
        let _making = self.making.lock().await;
        let (spare, unfinished) = (self.spare(bytes), self.folder.join(format!("disk-{bytes}.unfinished")));
        if spare.is_file() {
            return Ok(());
        }
        self.copy(bytes, &unfinished).await?;
        let keep = async {
            tokio::fs::File::open(&unfinished).await?.sync_all().await?;
            tokio::fs::rename(&unfinished, &spare).await
        };
        keep.await
            .map_err(|error| failed("keep a disk image", &error.to_string()))
    }

    /// The caller holds `making`.
    async fn copy(&self, bytes: u64, image: &Path) -> Result<(), SandboxError> {
        let template = self.folder.join(format!("disk-{bytes}.ext4"));
        if !template.is_file() {
            make_template(bytes, &template).await?;
        }
        let options = ["--reflink=auto", "--sparse=always", "--"].map(Into::into);
        let paths = [template.into_os_string(), image.into()];
        run("cp", options.into_iter().chain(paths)).await
    }
}

async fn make_template(bytes: u64, template: &Path) -> Result<(), SandboxError> {
    let unfinished = template.with_extension("new");
    let hole = || -> io::Result<()> { fs::File::create(&unfinished)?.set_len(bytes) };
    hole().map_err(|error| failed("make a disk image", &error.to_string()))?;
    // Nothing is kept back for root, who has no place in it, nor for growth. Tables of many groups lie together, so that
    // a fresh image is 150 KiB and not 4 MiB to copy and write.
    let options = [
        "-q",
        "-F",
        "-m",
        "0",
        "-O",
        "^resize_inode",
        "-G",
        "256",
        "-E",
        "nodiscard,lazy_itable_init=1,lazy_journal_init=1",
    ];
    let path = unfinished.as_os_str().to_owned();
    run("mkfs.ext4", options.map(Into::into).into_iter().chain([path])).await?;
    fs::rename(&unfinished, template).map_err(|error| failed("keep a disk image", &error.to_string()))
}

async fn run(program: &str, arguments: impl Iterator<Item = std::ffi::OsString>) -> Result<(), SandboxError> {
    let run = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .kill_on_drop(true)
        .output();
    let output = run.await.map_err(|error| failed(program, &error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(program, String::from_utf8_lossy(&output.stderr).trim()))
}

fn failed(step: &str, message: &str) -> SandboxError {
    SandboxError::Unavailable {
        message: format!("{step}: {message}; sandboxes with a disk limit need mkfs.ext4 and room in the state folder"),
    }
}
