//! Images of empty file systems, one for each size, copied for each sandbox.
//!
//! Making a file system costs more than copying one that is nearly all holes. Only empty images are touched
//! here: what commands have written is mounted by a launcher, in its own namespace, and never by the server.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tokio::process::Command;
use tokio::sync::Mutex;

use super::super::SandboxError;

const PATH: &str = "/usr/sbin:/sbin:/usr/bin:/bin";

/// Makes images.
pub(super) struct Templates {
    folder: PathBuf,
    /// Held while a template is made.
    making: Mutex<()>,
}

impl Templates {
    pub(super) fn new(state_folder: &Path) -> Self {
        Self {
            folder: state_folder.to_path_buf(),
            making: Mutex::default(),
        }
    }

    /// Makes an image of a size at a path.
    pub(super) async fn make(&self, bytes: u64, image: &Path) -> Result<(), SandboxError> {
        let template = self.folder.join(format!("disk-{bytes}.ext4"));
        {
            let _making = self.making.lock().await;
            if !template.is_file() {
                make_template(bytes, &template).await?;
            }
        }
        let copy = ["--reflink=auto", "--sparse=always", "--"].map(Into::into);
        let paths = [template.into_os_string(), image.into()];
        run("cp", copy.into_iter().chain(paths)).await
    }
}

async fn make_template(bytes: u64, template: &Path) -> Result<(), SandboxError> {
    let unfinished = template.with_extension("new");
    let hole = || -> io::Result<()> { fs::File::create(&unfinished)?.set_len(bytes) };
    hole().map_err(|error| failed("make a disk image", &error.to_string()))?;
    // Nothing is kept back for root, who has no place in it.
    let options = [
        "-q",
        "-F",
        "-m",
        "0",
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
