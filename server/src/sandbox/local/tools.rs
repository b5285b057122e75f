//! What of the host is shown in every sandbox: the system, and toolchains outside /usr.
//!
//! A list of what is shown, not of what is hidden; only inside a shown toolchain are files that can hold
//! credentials covered. All of it is read-only and at the same path, because toolchains have their own
//! path built in. Looked up once, at start.

use std::fs;
use std::path::{Path, PathBuf};

mod credentials;
mod version;

/// Shown on every machine that has it.
const SYSTEM: [&str; 24] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/crypto-policies",
    "/etc/fonts",
    "/etc/java",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/maven/m2.conf",
    "/etc/mime.types",
    "/etc/perl",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/etc/protocols",
    "/etc/services",
];
const SYSTEM_TLS: [&str; 2] = ["/etc/ssl/certs", "/etc/ssl/openssl.cnf"];

/// A toolchain manager in a user's home.
struct Manager {
    folder: &'static str,
    /// What of it is shown; empty for all.
    parts: &'static [&'static str],
    /// Variable that tells where it is.
    variable: Option<&'static str>,
    /// Folders of programs, where `*` stands for one name.
    programs: &'static [&'static str],
}

const MANAGERS: [Manager; 6] = [
    Manager {
        folder: ".cargo",
        parts: &["bin"],
        variable: None,
        programs: &["bin"],
    },
    Manager {
        folder: ".rustup",
        parts: &["toolchains", "settings.toml", "update-hashes"],
        variable: Some("RUSTUP_HOME"),
        programs: &[],
    },
    Manager {
        folder: ".pyenv",
        parts: &[
            "bin",
            "libexec",
            "shims",
            "versions",
            "version",
            "pyenv.d",
            "plugins",
            "completions",
        ],
        variable: Some("PYENV_ROOT"),
        programs: &["shims", "bin"],
    },
    Manager {
        folder: ".nvm",
        parts: &["versions", "alias", "nvm.sh", "nvm-exec"],
        variable: Some("NVM_DIR"),
        programs: &["versions/node/*/bin"],
    },
    Manager {
        folder: "go",
        parts: &["bin"],
        variable: None,
        programs: &["bin"],
    },
    Manager {
        folder: ".sdkman",
        parts: &["candidates", "bin", "src"],
        variable: Some("SDKMAN_DIR"),
        programs: &["candidates/*/current/bin"],
    },
];

const PROGRAMS: [&str; 7] = [
    "/usr/local/go/bin",
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];

/// What is shown, what is covered, and the variables that go with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tools {
    pub(super) shown: Vec<PathBuf>,
    pub(super) hidden: Vec<PathBuf>,
    pub(super) environment: Vec<(String, String)>,
}

impl Tools {
    /// Looks in a home folder for toolchains, and adds the given paths.
    pub(super) fn find(home: Option<&Path>, extra_paths: &[PathBuf]) -> Self {
        let mut found = Self {
            shown: SYSTEM.iter().chain(&SYSTEM_TLS).map(PathBuf::from).collect(),
            ..Self::default()
        };
        found.shown.extend(java_settings());
        let mut programs = Vec::new();
        let mut roots: Vec<PathBuf> = extra_paths.to_vec();
        programs.extend(
            extra_paths
                .iter()
                .map(|path| path.join("bin"))
                .filter(|path| path.is_dir()),
        );
        for manager in home
            .iter()
            .flat_map(|home| MANAGERS.iter().map(|manager| (*home, manager)))
        {
            let (home, manager) = manager;
            let folder = home.join(manager.folder);
            let parts: Vec<_> = manager
                .parts
                .iter()
                .map(|part| folder.join(part))
                .filter(|path| path.exists())
                .collect();
            if parts.is_empty() {
                continue;
            }
            roots.extend(parts.iter().cloned());
            roots.extend(parts.iter().flat_map(|part| links_out_of(part, &folder)));
            let folders = manager.programs.iter().flat_map(|pattern| matching(&folder, pattern));
            programs.extend(folders.filter(|path| path.is_dir()));
            if let (Some(variable), Some(folder)) = (manager.variable, folder.to_str()) {
                found.environment.push((variable.into(), folder.into()));
            }
        }
        found.hidden = credentials::find(&roots);
        found.shown.extend(roots);
        let path: Vec<_> = programs
            .iter()
            .filter_map(|path| path.to_str())
            .chain(PROGRAMS)
            .filter(|path| !path.contains(':'))
            .collect();
        found.environment.push(("PATH".into(), path.join(":")));
        found
    }
}

/// Debian keeps parts of a JDK in /etc.
fn java_settings() -> Vec<PathBuf> {
    entries(Path::new("/etc"))
        .into_iter()
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("java-"))
        })
        .collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .collect();
    paths.sort();
    paths
}

/// Returns what matches a pattern; where `*` matches several, the newest version comes first.
fn matching(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let mut found = vec![folder.to_path_buf()];
    for part in pattern.split('/') {
        found = match part {
            "*" => found.iter().flat_map(|path| by_version(entries(path))).collect(),
            name => found.iter().map(|path| path.join(name)).collect(),
        };
    }
    found.retain(|path| path.exists());
    found
}

fn by_version(mut paths: Vec<PathBuf>) -> Vec<PathBuf> {
    paths.sort_by_key(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let numbers: Vec<u64> = name
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|n| n.parse().ok())
            .collect();
        std::cmp::Reverse(numbers)
    });
    paths
}

/// Returns where links in a folder lead, when that is a toolchain outside of the manager's own folder.
fn links_out_of(part: &Path, folder: &Path) -> Vec<PathBuf> {
    entries(part)
        .into_iter()
        .filter(|path| path.is_symlink())
        .filter_map(|path| fs::canonicalize(path).ok())
        .filter(|target| target.is_dir() && !target.starts_with(folder) && target.join("bin").is_dir())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_inside_a_shown_toolchain_are_covered_and_those_outside_are_not_shown() {
        let home = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let path = home.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "x").unwrap();
            path
        };
        make(".cargo/bin/cargo");
        let cargo_secret = make(".cargo/credentials.toml");
        make(".nvm/versions/node/v9.1.0/bin/node");
        make(".nvm/versions/node/v20.3.1/bin/node");
        let npm_secret = make(".nvm/versions/node/v20.3.1/etc/npmrc");
        make(".ssh/id_ed25519");

        let tools = Tools::find(Some(home.path()), &[]);
        let below_home: Vec<_> = tools
            .shown
            .iter()
            .filter(|path| path.starts_with(home.path()))
            .collect();
        assert_eq!(
            below_home,
            [&home.path().join(".cargo/bin"), &home.path().join(".nvm/versions")]
        );
        assert!(!below_home.iter().any(|shown| cargo_secret.starts_with(shown)));
        let hidden: Vec<_> = tools
            .hidden
            .iter()
            .filter(|path| path.starts_with(home.path()))
            .collect();
        assert_eq!(hidden, [&npm_secret]);

        let path = &tools.environment.iter().find(|(name, _)| name == "PATH").unwrap().1;
        let first: Vec<_> = path.split(':').take(3).map(PathBuf::from).collect();
        assert_eq!(
            first,
            [
                home.path().join(".cargo/bin"),
                home.path().join(".nvm/versions/node/v20.3.1/bin"),
                home.path().join(".nvm/versions/node/v9.1.0/bin")
            ]
        );
    }

    #[test]
    fn a_toolchain_that_is_a_link_to_elsewhere_is_shown_with_its_target() {
        let home = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        fs::create_dir_all(elsewhere.path().join("bin")).unwrap();
        fs::create_dir_all(home.path().join(".rustup/toolchains")).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), home.path().join(".rustup/toolchains/mine")).unwrap();
        let shown = Tools::find(Some(home.path()), &[]).shown;
        assert!(shown.contains(&fs::canonicalize(elsewhere.path()).unwrap()));
    }

    #[test]
    fn without_a_home_only_the_system_is_shown() {
        let tools = Tools::find(None, &["/opt/one".into()]);
        assert!(tools.shown.iter().all(|path| {
            ["/usr", "/bin", "/sbin", "/lib", "/nix", "/etc", "/opt/one"]
                .iter()
                .any(|above| path.starts_with(above) || path.to_string_lossy().starts_with(above))
        }));
        assert!(
            tools.hidden.iter().all(|path| path.starts_with("/usr")),
            "{:?}",
            tools.hidden
        );
    }
}
