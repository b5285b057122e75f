//! Bare repositories of our own, laid out without running git: no template, no hook, no start-up cost.
//!
//! The layout (HEAD, config, objects, refs) is stable and documented in gitrepository-layout(5);
//! writing four small files is cheaper than a process and can't pick up a template folder.

use std::io;
use std::path::Path;

use crate::task::id::ObjectId;

/// Hash function of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectFormat {
    /// 40 digits.
    Sha1,
    /// 64 digits.
    Sha256,
}

impl ObjectFormat {
    /// Returns the format that an id belongs to.
    pub fn of(id: &ObjectId) -> Self {
        if id.as_str().len() == 64 {
            Self::Sha256
        } else {
            Self::Sha1
        }
    }

    /// Returns git's name for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }

    /// Returns the length of an id in bytes.
    pub(crate) fn id_bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// Returns the head of a repository's configuration.
    pub(crate) fn configuration(self) -> String {
        match self {
            Self::Sha1 => "[core]\n\trepositoryformatversion = 0\n".into(),
            Self::Sha256 => "[extensions]\n\tobjectformat = sha256\n[core]\n\trepositoryformatversion = 1\n".into(),
        }
    }
}

/// Makes a bare repository whose files another user id may read, borrowing objects from `alternate`.
///
/// Does nothing when it is there; HEAD is written last, so that a half-made one is made again.
pub(crate) fn create_bare(folder: &Path, format: ObjectFormat, alternate: Option<&Path>) -> io::Result<()> {
    if folder.join("HEAD").exists() {
        return Ok(());
    }
    for part in ["objects/info", "objects/pack", "refs/heads"] {
        std::fs::create_dir_all(folder.join(part))?;
    }
    let mut configuration = format.configuration();
    configuration.push_str("\tbare = true\n\tsharedRepository = 0644\n");
    std::fs::write(folder.join("config"), configuration)?;
    if let Some(alternate) = alternate {
        let mut line = alternate.as_os_str().as_encoded_bytes().to_vec();
        line.push(b'\n');
        std::fs::write(folder.join("objects/info/alternates"), line)?;
    }
    open_permissions(folder)?;
    std::fs::write(folder.join("HEAD"), "ref: refs/heads/none\n")
}

/// Opens a repository's folders to other user ids; the 0700 folder above keeps them out on the host.
#[cfg(unix)]
fn open_permissions(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    for part in ["", "objects", "objects/info", "objects/pack"] {
        std::fs::set_permissions(folder.join(part), std::fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// Makes a folder that only this user may enter.
pub(crate) fn create_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::create_dir_all(folder)?;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))
}

/// Writes a file whole or not at all.
pub(crate) fn write_atomically(path: &Path, content: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    std::fs::File::open(folder)?.sync_all()
}
