//! The folder of each sandbox: `<state>/sandboxes/<id>/{work | overlay/upper, overlay/scratch; spill; lock}`;
//! with a disk limit all but the lock are in `disk.ext4` there. `home`, or `overlay/home-*`, where home is not memory.
//!
//! What lies in `work` was written by untrusted commands. The host makes, renames and removes these
//! folders and never opens anything in them. A folder is renamed before it is removed, so that a crash
//! in between leaves nothing that looks like a work tree.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sandbox_supervisor::plan::Tree;
use tokio::process::Command;

use super::super::SandboxError;
use super::kept::KEPT_HOME;
use crate::task::id::SandboxId;

const GONE: &str = "gone";
const IMAGE: &str = "disk.ext4";

/// Links to what lies under the sandbox's folders.
const CHECKOUT: &str = "checkout";
const SETUP: &str = "setup";

/// How long what a lock says is alive may take to die.
const LOCK_DEADLINE: Duration = Duration::from_secs(10);
const LOCK_INTERVAL: Duration = Duration::from_millis(5);

/// All sandboxes of one server.
#[derive(Clone, Debug)]
pub(super) struct Folders {
    root: PathBuf,
}

/// Where a sandbox's folders are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Storage {
    /// In its folder.
    Folders,
    /// In an image in its folder.
    Image,
    /// In its folder, and the home folder too, so that both can be moved out of it.
    Keepable,
}

/// What lies under a sandbox's folders.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lower<'a> {
    /// Under the work tree.
    pub(super) checkout: Option<&'a Path>,
    /// Under the work tree and its checkout; what is under the home folder is beside it.
    pub(super) setup: Option<&'a Path>,
}

/// One sandbox's folder.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

fn internal(step: &str, path: &Path, error: &io::Error) -> SandboxError {
    SandboxError::Internal {
        message: format!("{step} {}: {error}", path.display()),
    }
}

impl Folders {
    /// Makes the state folder if needed; nobody else may look into it.
    pub(super) fn prepare(state_folder: &Path) -> Result<Self, SandboxError> {
        let root = state_folder.join("sandboxes");
        let make = || -> io::Result<PathBuf> {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&root)?;
            fs::set_permissions(&root, fs::Permissions::from_mode(0o700))?;
            fs::canonicalize(&root)
        };
        let root = make().map_err(|error| internal("prepare", &root, &error))?;
        Ok(Self { root })
    }

    /// Returns the folder of all sandboxes.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the folder of a sandbox, there or not.
    pub(super) fn of(&self, id: SandboxId) -> Folder {
        Folder {
            path: self.root.join(id.to_string()),
        }
    }

    /// Lists sandboxes, and half-removed folders.
    pub(super) fn list(&self) -> io::Result<(Vec<SandboxId>, Vec<Folder>)> {
        let (mut ids, mut gone) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if let Ok(id) = name.parse() {
                ids.push(id);
            } else if Path::new(name).extension().is_some_and(|extension| extension == GONE) {
                gone.push(Folder { path: entry.path() });
            }
        }
        Ok((ids, gone))
    }
}

impl Folder {
    /// Makes the folder for a sandbox with or without something under its folders.
    pub(super) fn make(&self, command_id: Option<u32>, lower: Lower<'_>, storage: Storage) -> io::Result<()> {
        let private = |path: &Path| fs::DirBuilder::new().mode(0o700).create(path);
        private(&self.path)?;
        let mine = |name: &str, mode: u32, owner: Option<u32>| {
            let path = self.path.join(name);
            private(&path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
            owner.map_or(Ok(()), |owner| chown(&path, Some(owner), Some(owner)))
        };
        for (name, target) in [(CHECKOUT, lower.checkout), (SETUP, lower.setup)] {
            target.map_or(Ok(()), |target| symlink(target, self.path.join(name)))?;
        }
        if storage == Storage::Image {
            // The launcher makes the folders in it.
            return Ok(());
        }
        mine("spill", 0o755, command_id.map(|id| id + 1))?;
        if storage == Storage::Keepable {
            mine("home", 0o700, command_id)?;
        }
        if lower.checkout.is_none() && lower.setup.is_none() {
            return mine("work", 0o755, command_id);
        }
        // The overlay is mounted by the supervisor's user, who must get to its layers.
        let supervisor_id = command_id.map(|id| id + 1);
        mine("overlay", 0o755, supervisor_id)?;
        mine("overlay/upper", 0o755, command_id)?;
        mine("overlay/scratch", 0o700, supervisor_id)?;
        if lower.setup.is_some() {
            mine("overlay/home-upper", 0o700, command_id)?;
            mine("overlay/home-scratch", 0o700, supervisor_id)?;
        }
        Ok(())
    }

    /// Returns what the work tree is made of.
    pub(super) fn work_tree(&self) -> Tree {
        let lower: Vec<_> = self.checkout().into_iter().chain(self.setup()).collect();
        if lower.is_empty() {
            return Tree::Folder { path: self.work() };
        }
        Tree::Overlay {
            lower,
            upper: self.upper(),
            scratch: self.path.join("overlay/scratch"),
        }
    }

    /// Returns what the home folder is made of, where it is not of memory.
    pub(super) fn home_tree(&self) -> Option<Tree> {
        let Some(setup) = self.setup() else {
            return Some(self.home())
                .filter(|path| path.is_dir())
                .map(|path| Tree::Folder { path });
        };
        Some(Tree::Overlay {
            lower: vec![setup.with_file_name(KEPT_HOME)],
            upper: self.path.join("overlay/home-upper"),
            scratch: self.path.join("overlay/home-scratch"),
        })
    }

    /// Tells whether a work tree is there.
    pub(super) fn has_work_tree(&self) -> bool {
        self.image().is_some() || self.work().is_dir() || self.upper().is_dir()
    }

    /// Returns the host id that the commands ran as.
    pub(super) fn command_id(&self) -> io::Result<u32> {
        let tree = if self.upper().is_dir() {
            self.upper()
        } else {
            self.work()
        };
        let top = self.image().unwrap_or(tree);
        fs::symlink_metadata(top).map(|metadata| metadata.uid())
    }

    /// Gives the image its owner, who is the record of the sandbox's host ids; nobody opens it as that.
    pub(super) fn own_image(&self, command_id: Option<u32>) -> io::Result<()> {
        chown(self.path.join(IMAGE), command_id, command_id)
    }

    /// Returns where the image of this sandbox is to be.
    pub(super) fn image_place(&self) -> PathBuf {
        self.path.join(IMAGE)
    }

    /// Returns the image with the work tree, if it is in one.
    pub(super) fn image(&self) -> Option<PathBuf> {
        Some(self.image_place()).filter(|path| path.is_file())
    }

    /// Returns the checkout under the work tree.
    pub(super) fn checkout(&self) -> Option<PathBuf> {
        fs::read_link(self.path.join(CHECKOUT)).ok()
    }

    /// Returns what set-up commands left, under the work tree.
    pub(super) fn setup(&self) -> Option<PathBuf> {
        fs::read_link(self.path.join(SETUP)).ok()
    }

    pub(super) fn work(&self) -> PathBuf {
        self.path.join("work")
    }

    pub(super) fn upper(&self) -> PathBuf {
        self.path.join("overlay/upper")
    }

    pub(super) fn home(&self) -> PathBuf {
        self.path.join("home")
    }

    pub(super) fn spill(&self) -> PathBuf {
        self.path.join("spill")
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.path.join("lock")
    }

    /// Waits until nothing of the sandbox lives: its launcher holds the lock to the end.
    pub(super) async fn wait_until_dead(&self) -> Result<(), SandboxError> {
        let Ok(lock) = File::open(self.lock()) else {
            return Ok(());
        };
        // A lock of another process can't be awaited without blocking a thread for as long.
        let freed = async {
            while let Err(fs::TryLockError::WouldBlock) = lock.try_lock() {
                tokio::time::sleep(LOCK_INTERVAL).await;
            }
            // Not left to the close: a process that is being started beside this may hold a copy until its exec.
            let _ = lock.unlock();
        };
        tokio::time::timeout(LOCK_DEADLINE, freed)
            .await
            .map_err(|_| SandboxError::Unavailable {
                message: format!(
                    "an earlier process of it still lives and holds {}",
                    self.lock().display()
                ),
            })
    }

    /// Removes the folder and all below it. Safe to repeat.
    pub(super) async fn remove(&self) -> Result<(), SandboxError> {
        let doomed = self.path.with_extension(GONE);
        match fs::rename(&self.path, &doomed) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(internal("rename", &self.path, &error)),
            _ => remove_tree(doomed).await,
        }
    }
}

/// Removes a tree that untrusted commands wrote. Missing is not an error.
pub(super) async fn remove_tree(path: PathBuf) -> Result<(), SandboxError> {
    let missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    match tokio::fs::remove_dir_all(&path).await {
        Ok(()) => return Ok(()),
        Err(error) if missing(&error) => return Ok(()),
        Err(_) => {}
    }
    // Folders without permissions, or deeper than there are descriptors: the system's tools cope with both.
    for (program, arguments) in [("chmod", ["-R", "u+rwX", "--"]), ("rm", ["-r", "-f", "--"])] {
        let run = Command::new(program)
            .args(arguments)
            .arg(&path)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .kill_on_drop(true)
            .output()
            .await;
        if let Err(error) = run {
            return Err(internal(program, &path, &error));
        }
    }
    match fs::symlink_metadata(&path) {
        Err(error) if missing(&error) => Ok(()),
        _ => Err(SandboxError::Internal {
            message: format!("{} could not be removed; remove it by hand", path.display()),
        }),
    }
}
