//! The grammar of repository addresses, on raw bytes, before any URL library sees them.
//!
//! URL libraries repair what they read (tabs, backslashes, full-width letters, `..`), so that an
//! address they accept may not be the one a person saw. Here nothing is repaired: an address is
//! taken apart by this grammar and rebuilt from its parts, or refused.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A repository, named in canonical form.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RepositoryAddress {
    /// A repository on a forge host.
    Remote {
        /// Lower-case host name.
        host: String,
        /// Port, when it is not 443.
        port: Option<u16>,
        /// Owner as given.
        owner: String,
        /// Name as given, without `.git`.
        name: String,
    },
    /// A bare repository below a folder that the server's operator allowed; absolute, without `.` and `..`.
    Local {
        /// The path.
        path: String,
    },
}

/// Which addresses a server accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressPolicy {
    /// Lower-case hosts, each with the port it may be reached at (`None` = 443 only).
    pub hosts: Vec<(String, Option<u16>)>,
    /// Absolute folders whose bare repositories may be used.
    pub local_roots: Vec<String>,
}

impl Default for AddressPolicy {
    fn default() -> Self {
        Self {
            hosts: vec![("github.com".into(), None)],
            local_roots: Vec::new(),
        }
    }
}

/// Why an address was refused. The message says what would be right and never repeats the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is empty or longer than any real one.
    #[error("must be 1 to 512 bytes long")]
    Length,
    /// It has a byte outside printable ASCII, or one of `%`, `\`, `?`, `#`.
    #[error("must be plain printable ASCII without spaces, `%`, `\\`, `?` or `#`")]
    Character,
    /// It names a user or password.
    #[error("must not contain a user name or password; the server uses its own credential")]
    Credential,
    /// It has none of the accepted forms.
    #[error("must look like https://host/owner/name, git@host:owner/name or ssh://git@host/owner/name")]
    Form,
    /// The host or port is not on the server's list.
    #[error("names a host that this server is not configured for")]
    Host,
    /// The owner is not one that a forge could have.
    #[error("the owner must be 1 to 39 letters, digits, `_` or `-`")]
    Owner,
    /// The name is not one that a forge could have.
    #[error("the repository name must be 1 to 100 letters, digits, `.`, `_` or `-`")]
    Name,
    /// It is a path and lies outside every allowed folder.
    #[error("is a local path outside the folders that this server was started with")]
    LocalPath,
}

impl RepositoryAddress {
    /// Parses an address as a caller gave it.
    pub fn parse(text: &str, policy: &AddressPolicy) -> Result<Self, AddressError> {
        if text.is_empty() || text.len() > 512 {
            return Err(AddressError::Length);
        }
        if text.starts_with('/') {
            return parse_local(text, policy);
        }
        if !text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'%' | b'\\' | b'?' | b'#'))
        {
            return Err(AddressError::Character);
        }
        let lower = text.to_ascii_lowercase();
        let rest = text.get(8..).unwrap_or_default();
        let (authority, path) = if lower.starts_with("https://") {
            let (authority, path) = rest.split_once('/').ok_or(AddressError::Form)?;
            if authority.contains('@') {
                return Err(AddressError::Credential);
            }
            (authority, path)
        } else if lower.starts_with("ssh://") {
            let rest = text.get(6..).unwrap_or_default();
            let (authority, path) = rest.split_once('/').ok_or(AddressError::Form)?;
            let authority = authority.strip_prefix("git@").ok_or(AddressError::Form)?;
            (authority.strip_suffix(":22").unwrap_or(authority), path)
        } else if let Some(rest) = text.strip_prefix("git@") {
            rest.split_once(':').ok_or(AddressError::Form)?
        } else {
            return Err(AddressError::Form);
        };
        let (host, port) = parse_authority(authority)?;
        if !policy
            .hosts
            .iter()
            .any(|(allowed, allowed_port)| *allowed == host && *allowed_port == port)
        {
            return Err(AddressError::Host);
        }
        let path = path.strip_suffix('/').unwrap_or(path);
        let (owner, name) = path.split_once('/').ok_or(AddressError::Form)?;
        let name = name.strip_suffix(".git").unwrap_or(name);
        check_owner(owner)?;
        check_name(name)?;
        Ok(Self::Remote {
            host,
            port,
            owner: owner.into(),
            name: name.into(),
        })
    }

    /// Returns the host that serves it, or `local`.
    pub fn forge_name(&self) -> &str {
        match self {
            Self::Remote { host, .. } => host,
            Self::Local { .. } => "local",
        }
    }
}

impl fmt::Display for RepositoryAddress {
    /// Writes the canonical form: `https://host[:port]/owner/name`, or the path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Remote {
                host,
                port: Some(port),
                owner,
                name,
            } => write!(f, "https://{host}:{port}/{owner}/{name}"),
            Self::Remote {
                host,
                port: None,
                owner,
                name,
            } => write!(f, "https://{host}/{owner}/{name}"),
            Self::Local { path } => f.write_str(path),
        }
    }
}

fn parse_authority(authority: &str) -> Result<(String, Option<u16>), AddressError> {
    let (host, port) = match authority.split_once(':') {
        None => (authority, None),
        Some((host, port)) => {
            let is_plain = !port.is_empty() && !port.starts_with('0') && port.bytes().all(|byte| byte.is_ascii_digit());
            let port = port
                .parse::<u16>()
                .ok()
                .filter(|_| is_plain)
                .ok_or(AddressError::Host)?;
            (host, Some(port).filter(|port| *port != 443))
        }
    };
    let label_ok = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if host.len() > 253 || !host.split('.').all(label_ok) {
        return Err(AddressError::Host);
    }
    Ok((host.to_ascii_lowercase(), port))
}

fn check_owner(owner: &str) -> Result<(), AddressError> {
    let good = !owner.starts_with('-')
        && (1..=39).contains(&owner.len())
        && owner
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if good { Ok(()) } else { Err(AddressError::Owner) }
}

fn check_name(name: &str) -> Result<(), AddressError> {
    let plain = (1..=100).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    let good = plain
        && !name.starts_with('-')
        && !matches!(name, "." | ".." | ".git")
        && !name.to_ascii_lowercase().ends_with(".git");
    if good { Ok(()) } else { Err(AddressError::Name) }
}

fn parse_local(text: &str, policy: &AddressPolicy) -> Result<RepositoryAddress, AddressError> {
    let path = text.strip_suffix('/').unwrap_or(text);
    let plain =
        !path.chars().any(char::is_control) && path.split('/').skip(1).all(|part| !matches!(part, "" | "." | ".."));
    let inside = policy.local_roots.iter().any(|root| {
        let root = root.strip_suffix('/').unwrap_or(root);
        // The root itself too: a person allows one repository by its own path.
        path.strip_prefix(root)
            .is_some_and(|rest| rest.starts_with('/') || (rest.is_empty() && !path.is_empty()))
    });
    if plain && inside {
        Ok(RepositoryAddress::Local { path: path.into() })
    } else {
        Err(AddressError::LocalPath)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, AddressError> {
        let policy = AddressPolicy {
            local_roots: vec!["/srv/git".into()],
            ..AddressPolicy::default()
        };
        RepositoryAddress::parse(text, &policy).map(|address| address.to_string())
    }

    #[test]
    fn every_accepted_form_has_one_canonical_form() {
        for form in [
            "https://github.com/octo/hello.world",
            "https://GitHub.com/octo/hello.world.git",
            "HTTPS://github.com:443/octo/hello.world/",
            "git@github.com:octo/hello.world.git",
            "ssh://git@github.com/octo/hello.world",
            "ssh://git@github.com:22/octo/hello.world.git",
        ] {
            assert_eq!(
                parse(form).as_deref(),
                Ok("https://github.com/octo/hello.world"),
                "{form}"
            );
        }
        assert_eq!(parse("/srv/git/a/b.git").as_deref(), Ok("/srv/git/a/b.git"));
        assert_eq!(parse("/srv/git").as_deref(), Ok("/srv/git"));
    }

    #[test]
    fn hostile_addresses_are_refused_each_for_its_reason() {
        for (text, error) in [
            ("", AddressError::Length),
            ("https://github.com/octo/hel lo", AddressError::Character),
            ("https://github.com/octo/hello\n", AddressError::Character),
            ("https://github.com\\@evil.test/octo/hello", AddressError::Character),
            ("https://github.com/octo/%2e%2e", AddressError::Character),
            ("https://user:pw@github.com/octo/hello", AddressError::Credential),
            ("https:/github.com/octo/hello", AddressError::Form),
            ("http://github.com/octo/hello", AddressError::Form),
            ("ext::sh -c id", AddressError::Character),
            ("ext::id", AddressError::Form),
            ("file:///etc", AddressError::Form),
            ("ssh://root@github.com/octo/hello", AddressError::Form),
            ("https://github.com.evil.test/octo/hello", AddressError::Host),
            ("https://github.com:8443/octo/hello", AddressError::Host),
            ("https://169.254.169.254/octo/hello", AddressError::Host),
            ("https://github.com/-octo/hello", AddressError::Owner),
            ("https://github.com/octo/..", AddressError::Name),
            ("https://github.com/octo/.git", AddressError::Name),
            ("https://github.com/octo/a.git.git", AddressError::Name),
            ("https://github.com/octo/hello/extra", AddressError::Name),
            ("https://github.com/octo", AddressError::Form),
            ("/etc/passwd", AddressError::LocalPath),
            ("/srv/git/../../etc", AddressError::LocalPath),
            ("/srv/gitx/a", AddressError::LocalPath),
            ("/srv", AddressError::LocalPath),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }
}
