//! Files inside what is shown that can hold credentials; they are covered by nothing.
//!
//! Looked for by name, a few folders deep, since a toolchain has hundreds of thousands of files. A name that
//! usually holds settings is covered only when its content looks like a credential: a build tool without its
//! settings breaks. Only the machine owner's own files are read here, never anything of a work tree.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{entries, matching};

/// Covered wherever they are.
const CREDENTIALS: [&str; 26] = [
    ".aws",
    ".docker",
    ".env",
    ".git",
    ".git-credentials",
    ".gnupg",
    ".netrc",
    ".npmrc",
    ".pypirc",
    ".ssh",
    ".terraformrc",
    ".yarnrc",
    ".yarnrc.yml",
    "_netrc",
    "auth.json",
    "auth.toml",
    "credentials",
    "credentials.json",
    "credentials.toml",
    "hosts.yml",
    "id_ed25519",
    "id_rsa",
    "npmrc",
    "pip.conf",
    "pip.ini",
    "settings-security.xml",
];

/// Covered when something in them looks like a credential.
const SETTINGS: [&str; 14] = [
    ".condarc",
    "NuGet.Config",
    "condarc",
    "config",
    "config.json",
    "config.toml",
    "env",
    "go.env",
    "gradle.properties",
    "init.gradle",
    "init.gradle.kts",
    "nuget.config",
    "settings.xml",
    "uv.toml",
];

/// Words before a value that nobody else may know.
const SECRET_WORDS: [&str; 9] = [
    "_auth",
    "apikey",
    "api_key",
    "passphrase",
    "password",
    "private_key",
    "privatekey",
    "secret",
    "token",
];

/// How deep they are looked for: `versions/node/<version>/etc/npmrc`.
const DEPTH: usize = 4;

/// Longest file of settings that is read; a longer one is covered.
const MAX_SETTINGS_BYTES: u64 = 1 << 20;

/// Where system-wide settings are in what is shown of every machine.
const SYSTEM: [&str; 5] = [
    "/usr/etc",
    "/usr/local/etc",
    "/usr/local/go/go.env",
    "/usr/share/maven/conf",
    "/usr/share/gradle",
];

/// Deeper ones: npm's own settings, in a toolchain and in the system.
const DEEP: [&str; 3] = [
    "node/*/lib/node_modules/npm/npmrc",
    "*/lib/node_modules/npm/npmrc",
    "lib/node_modules/npm/npmrc",
];

/// Finds what is to be covered in toolchains and in the system.
pub(super) fn find(roots: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = BTreeSet::new();
    let system = SYSTEM.map(PathBuf::from);
    for root in roots.iter().chain(&system) {
        search(root, &mut found);
    }
    let trees = roots
        .iter()
        .map(PathBuf::as_path)
        .chain(["/usr", "/usr/local"].map(Path::new));
    for tree in trees {
        let deep = DEEP.iter().flat_map(|pattern| matching(tree, pattern));
        found.extend(deep.filter(|path| path.is_file() && !path.is_symlink()));
    }
    // A link with such a name leads somewhere that may be shown under another name.
    let links: Vec<_> = found.iter().filter(|path| path.is_symlink()).cloned().collect();
    for link in links {
        found.remove(&link);
        if let Ok(target) = fs::canonicalize(&link)
            && roots.iter().any(|root| target.starts_with(root) && target != *root)
        {
            found.insert(target);
        }
    }
    found.into_iter().collect()
}

fn search(root: &Path, found: &mut BTreeSet<PathBuf>) {
    let mut level = vec![root.to_path_buf()];
    if root.is_file() && is_credential(root) {
        found.insert(root.to_path_buf());
    }
    for _ in 0..DEPTH {
        let mut next = Vec::new();
        let folders = level.iter().filter(|path| path.is_dir() && !path.is_symlink());
        for path in folders.flat_map(|path| entries(path)) {
            if is_credential(&path) {
                found.insert(path);
            } else {
                next.push(path);
            }
        }
        level = next;
    }
}

fn is_credential(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if CREDENTIALS.contains(&name.as_ref()) {
        return true;
    }
    SETTINGS.contains(&name.as_ref()) && path.is_file() && holds_secret(path)
}

/// What can't be read is taken for a secret: the server may be somebody who can't read what a command could.
fn holds_secret(path: &Path) -> bool {
    let is_long = fs::metadata(path).is_ok_and(|metadata| metadata.len() > MAX_SETTINGS_BYTES);
    is_long || fs::read(path).map_or(true, |bytes| looks_secret(&String::from_utf8_lossy(&bytes)))
}

/// Comments don't count: the settings that tools are delivered with explain passwords there.
fn looks_secret(text: &str) -> bool {
    let mut rest = text;
    let mut plain = String::new();
    while let Some((before, comment)) = rest.split_once("<!--") {
        plain.push_str(before);
        rest = comment.split_once("-->").map_or("", |(_, after)| after);
    }
    plain.push_str(rest);
    plain
        .lines()
        .map(|line| line.trim().to_ascii_lowercase())
        .filter(|line| !line.starts_with(['#', ';']) && !line.starts_with("//"))
        .any(|line| SECRET_WORDS.iter().any(|word| line.contains(word)) || has_user_in_address(&line))
}

fn has_user_in_address(line: &str) -> bool {
    line.split("://").skip(1).any(|rest| {
        let authority = rest.split(['/', '"', '\'', ' ', ',']).next().unwrap_or_default();
        authority.contains('@')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(files: &[(&str, &str)]) -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = home.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, content).unwrap();
        }
        home
    }

    fn hidden(home: &tempfile::TempDir) -> Vec<String> {
        let below = |path: PathBuf| Some(path.strip_prefix(home.path()).ok()?.display().to_string());
        find(&[home.path().into()]).into_iter().filter_map(below).collect()
    }

    #[test]
    fn settings_are_covered_only_with_a_credential_in_them() {
        let delivered = "<settings>\n<!-- <password>repopwd</password> -->\n</settings>";
        let mine = "<settings><servers><server><password>x</password></server></servers></settings>";
        let home = home(&[
            ("maven/3.9.9/conf/settings.xml", delivered),
            ("maven/3.9.8/conf/settings.xml", mine),
            ("go/a/go.env", "# a token\nGOPROXY=https://proxy.golang.org,direct\n"),
            ("go/b/go.env", "GOPROXY=https://me:key@proxy.example,direct\n"),
            ("gradle/a/gradle.properties", "org.gradle.daemon=false\n"),
            ("gradle/b/gradle.properties", "repoPassword=x\n"),
        ]);
        let expected = [
            "go/b/go.env",
            "gradle/b/gradle.properties",
            "maven/3.9.8/conf/settings.xml",
        ];
        assert_eq!(hidden(&home), expected);
    }

    #[test]
    fn a_link_with_such_a_name_covers_what_it_leads_to() {
        let home = home(&[("node/v1/etc/mine", "x"), ("node/v1/bin/node", "x")]);
        std::os::unix::fs::symlink("mine", home.path().join("node/v1/etc/npmrc")).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", home.path().join("node/v1/.netrc")).unwrap();
        assert_eq!(hidden(&home), ["node/v1/etc/mine"]);
    }

    #[test]
    fn npms_own_settings_are_found_though_they_are_deep() {
        let home = home(&[("node/v20.1.0/lib/node_modules/npm/npmrc", "x")]);
        assert_eq!(hidden(&home), ["node/v20.1.0/lib/node_modules/npm/npmrc"]);
    }
}
