//! Tells whether the tools that sandboxes are shown have changed: what set-up commands left may point to those that were.
//!
//! By the times of what every installation touches, and not by looking at the tools themselves, of which there are too
//! many: a change that is missed costs what an upgrade under a developer's own work tree does.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::Tools;

/// Files and folders that package managers write at each installation.
const WRITTEN: [&str; 8] = [
    "/etc/ld.so.cache",
    "/lib/apk/db/installed",
    "/usr/bin",
    "/usr/local/bin",
    "/usr/local/lib",
    "/var/lib/dpkg/status",
    "/var/lib/pacman/local",
    "/var/lib/rpm",
];

impl Tools {
    /// Returns what differs when tools differ.
    pub(in crate::sandbox::local) fn version(&self) -> String {
        let written = WRITTEN.iter().map(Path::new);
        let all = written.chain(self.shown.iter().map(AsRef::as_ref));
        all.filter_map(|path| {
            let metadata = fs::metadata(path).ok()?;
            Some(format!(
                "{} {}.{}\n",
                path.display(),
                metadata.mtime(),
                metadata.mtime_nsec()
            ))
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_installation_is_seen_and_its_lack_too() {
        let shown = tempfile::tempdir().unwrap();
        let tools = Tools {
            shown: vec![shown.path().into()],
            ..Tools::default()
        };
        let before = tools.version();
        assert_eq!(tools.version(), before);
        let earlier = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1);
        fs::File::open(shown.path()).unwrap().set_modified(earlier).unwrap();
        assert_ne!(tools.version(), before);
    }
}
