//! The configuration file: several servers by name, each with its address, trust and token.
//!
//! A file that others can write could send the token elsewhere, and one with a token that others can
//! read gives it away; so owner and mode are checked before anything in it is used, as ssh does.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::exit::Exit;
use crate::problem::Problem;

/// The word for a private server where a server's name is asked for.
pub(crate) const PRIVATE: &str = "private";

const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The configuration file's content.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Name of the server to use when none is given; `private` when unset.
    pub(crate) default: Option<String>,
    /// The servers by name.
    #[serde(default)]
    pub(crate) servers: BTreeMap<String, Server>,
}

/// One server. Relative paths are relative to the configuration file.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    /// `https://host:port`, or `http://` on this machine.
    pub(crate) address: String,
    /// The bearer token itself.
    pub(crate) token: Option<String>,
    /// File with the bearer token.
    pub(crate) token_file: Option<PathBuf>,
    /// PEM file with certificates to trust beside the system's.
    pub(crate) ca: Option<PathBuf>,
    /// PEM file with our certificate chain, for a server that asks for one.
    pub(crate) client_certificate: Option<PathBuf>,
    /// PEM file with its key.
    pub(crate) client_key: Option<PathBuf>,
    /// The name in the server's certificate, when it is not the address's.
    pub(crate) server_name: Option<String>,
    /// Allow http:// to another machine.
    #[serde(default)]
    pub(crate) allow_plaintext: bool,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Server")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Secrecy {
    /// Others may read it, not write it.
    Public,
    /// Nobody but its owner may read it.
    Secret,
}

impl Settings {
    /// Reads the file; a file that is not there is empty unless it was asked for by name.
    pub(crate) fn load(asked_for: Option<&Path>, home: &Home) -> Result<Self, Problem> {
        let Some(path) = asked_for.map(Path::to_path_buf).or_else(|| home.config_file()) else {
            return Ok(Self::default());
        };
        match std::fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && asked_for.is_none() => return Ok(Self::default()),
            _ => {}
        }
        let text = read_checked(&path, Secrecy::Public)?;
        let mut settings: Self = toml::from_str(&text).map_err(|error| {
            let place = error.to_string();
            let place = place.trim_end().lines().next().unwrap_or_default().to_owned();
            Problem::new(
                Exit::Other,
                format!("{} cannot be read: {}", path.display(), error.message()),
            )
            .detail(place)
            .next("see docs/cli.md for what the file may hold")
        })?;
        if settings.servers.values().any(|server| server.token.is_some()) {
            check(&path, &metadata(&path)?, Secrecy::Secret)?;
        }
        settings.validate(&path)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        for server in settings.servers.values_mut() {
            let files = [
                &mut server.token_file,
                &mut server.ca,
                &mut server.client_certificate,
                &mut server.client_key,
            ];
            for file in files.into_iter().flatten() {
                *file = folder.join(home.expand(file));
            }
        }
        Ok(settings)
    }

    fn validate(&self, path: &Path) -> Result<(), Problem> {
        let mut problem = Problem::new(Exit::Other, format!("{} has faults", path.display()));
        let mut faults = 0_u32;
        let mut fault = |text: String| {
            problem = std::mem::replace(&mut problem, Problem::new(Exit::Other, "")).detail(text);
            faults += 1;
        };
        if let Some(default) = &self.default
            && default != PRIVATE
            && !self.servers.contains_key(default)
        {
            fault(format!("default names {default:?}, which is none of the servers in it"));
        }
        for (name, server) in &self.servers {
            if name == PRIVATE {
                fault(format!(
                    "a server cannot be called {PRIVATE:?}: that is the private server"
                ));
            }
            if server.token.is_some() && server.token_file.is_some() {
                fault(format!("server {name:?} has both token and token_file"));
            }
            if server.client_certificate.is_some() != server.client_key.is_some() {
                fault(format!(
                    "server {name:?} has only one of client_certificate and client_key"
                ));
            }
        }
        if faults == 0 { Ok(()) } else { Err(problem) }
    }
}

/// Reads a small text file after checking who could have written or read it.
pub(crate) fn read_checked(path: &Path, secrecy: Secrecy) -> Result<String, Problem> {
    let unreadable = |error: io::Error| Problem::new(Exit::Other, format!("cannot read {}: {error}", path.display()));
    let file = File::open(path).map_err(unreadable)?;
    // Of the file that is open, not of what the name may mean a moment later.
    check(path, &file.metadata().map_err(unreadable)?, secrecy)?;
    let mut text = String::new();
    file.take(MAX_FILE_BYTES)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    Ok(text)
}

fn metadata(path: &Path) -> Result<std::fs::Metadata, Problem> {
    std::fs::metadata(path)
        .map_err(|error| Problem::new(Exit::Other, format!("cannot read {}: {error}", path.display())))
}

fn check(path: &Path, metadata: &std::fs::Metadata, secrecy: Secrecy) -> Result<(), Problem> {
    let refuse =
        |what: &str, next: String| Err(Problem::new(Exit::Other, format!("{} {what}", path.display())).next(next));
    let (mode, shown) = (metadata.mode() & 0o777, path.display());
    let owner = metadata.uid();
    if owner != 0 && owner != rustix::process::getuid().as_raw() {
        return refuse(
            "belongs to another user, who could change it",
            format!("use a file of your own: cp {shown} ..."),
        );
    }
    if mode & 0o022 != 0 {
        return refuse("can be written by others", format!("chmod go-w {shown}"));
    }
    if secrecy == Secrecy::Secret && mode & 0o077 != 0 {
        return refuse("holds a token and can be read by others", format!("chmod 600 {shown}"));
    }
    Ok(())
}

/// Where a user's files are. Given, not asked of the environment, so that tests need not change it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Home {
    /// `HOME`.
    pub(crate) home: Option<PathBuf>,
    /// `XDG_CONFIG_HOME`.
    pub(crate) config: Option<PathBuf>,
    /// `XDG_DATA_HOME`.
    pub(crate) data: Option<PathBuf>,
}

impl Home {
    /// Asks the environment. A relative XDG folder is ignored, as its specification says.
    pub(crate) fn of_environment() -> Self {
        let folder = |name| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        Self {
            home: folder("HOME"),
            config: folder("XDG_CONFIG_HOME"),
            data: folder("XDG_DATA_HOME"),
        }
    }

    fn config_file(&self) -> Option<PathBuf> {
        let base = self
            .config
            .clone()
            .or_else(|| Some(self.home.as_ref()?.join(".config")));
        base.map(|base| base.join("backspace/config.toml"))
    }

    /// The folder of the private server.
    pub(crate) fn data_folder(&self) -> Option<PathBuf> {
        let base = self
            .data
            .clone()
            .or_else(|| Some(self.home.as_ref()?.join(".local/share")));
        base.map(|base| base.join("backspace"))
    }

    fn expand(&self, path: &Path) -> PathBuf {
        match (path.strip_prefix("~"), &self.home) {
            (Ok(rest), Some(home)) => home.join(rest),
            _ => path.to_path_buf(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const TEXT: &str = r#"
        default = "work"
        [servers.work]
        address = "https://code.example:8443"
        token_file = "~/token"
        ca = "ca.pem"
        [servers.home]
        address = "http://127.0.0.1:8000"
    "#;

    fn load(text: &str, mode: u32) -> Result<Settings, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let home = Home {
            home: Some(PathBuf::from("/home/me")),
            ..Home::default()
        };
        Settings::load(Some(&path), &home).map_err(|problem| {
            problem
                .render(crate::paint::Paint::PLAIN)
                .replace(&path.display().to_string(), "FILE")
        })
    }

    #[test]
    fn servers_are_read_and_their_paths_made_whole() {
        let settings = load(TEXT, 0o644).unwrap();
        let work = settings.servers.get("work").unwrap();
        assert_eq!(settings.default.as_deref(), Some("work"));
        assert_eq!(work.token_file.as_deref(), Some(Path::new("/home/me/token")));
        assert!(work.ca.as_ref().unwrap().is_absolute() && work.ca.as_ref().unwrap().ends_with("ca.pem"));
    }

    #[test]
    fn a_file_that_others_could_have_changed_is_refused() {
        assert_eq!(
            load(TEXT, 0o664).unwrap_err(),
            "error: FILE can be written by others\n  next: chmod go-w FILE"
        );
    }

    #[test]
    fn a_token_in_a_file_that_others_can_read_is_refused() {
        let text = "[servers.a]\naddress = \"h:1\"\ntoken = \"t\"\n";
        assert_eq!(
            load(text, 0o640).unwrap_err(),
            "error: FILE holds a token and can be read by others\n  next: chmod 600 FILE"
        );
        assert_eq!(
            load(text, 0o600).unwrap().servers.get("a").unwrap().token.as_deref(),
            Some("t")
        );
    }

    #[test]
    fn all_faults_are_told_together() {
        let text = "default = \"gone\"\n[servers.private]\naddress = \"h:1\"\n[servers.b]\naddress = \"h:1\"\n\
                    token = \"t\"\ntoken_file = \"f\"\nclient_key = \"k\"\n";
        let error = load(text, 0o600).unwrap_err();
        for part in [
            "\"gone\"",
            "cannot be called",
            "both token and token_file",
            "only one of",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
        let error = load("[servers.a]\naddres = \"h:1\"\n", 0o600).unwrap_err();
        assert!(error.contains("addres") && error.contains("line 2"), "{error}");
    }

    #[test]
    fn without_a_file_there_are_no_servers_unless_it_was_asked_for() {
        let home = Home {
            config: Some(PathBuf::from("/nonexistent")),
            ..Home::default()
        };
        assert_eq!(Settings::load(None, &home).unwrap(), Settings::default());
        assert!(Settings::load(Some(Path::new("/nonexistent/config.toml")), &home).is_err());
    }

    #[test]
    fn the_token_of_a_server_is_not_shown() {
        let settings = load("[servers.a]\naddress = \"h:1\"\ntoken = \"hidden\"\n", 0o600).unwrap();
        assert!(!format!("{settings:?}").contains("hidden"));
    }
}
