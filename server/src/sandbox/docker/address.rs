//! Where an engine is, as `DOCKER_HOST` says it: a socket of this machine, or a host over TLS.
//!
//! Whoever reaches an engine is root on its machine, so a plain address is taken for loopback only.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

const USUAL_SOCKET: &str = "/var/run/docker.sock";

/// Where an engine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineAddress {
    /// A socket of this machine.
    Socket(PathBuf),
    /// Host and port, unprotected; loopback only.
    Plain(String),
    /// Host and port over TLS, with `ca.pem`, `cert.pem` and `key.pem` in a folder.
    Tls {
        /// Host and port.
        host: String,
        /// Folder of the certificates.
        certificates: PathBuf,
    },
}

/// Why an engine's address is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEngineAddress {
    /// Another scheme.
    #[error("{0} must begin with unix:// or tcp://")]
    Scheme(String),
    /// Neither a host with a port.
    #[error("{0} must name a host and a port")]
    Host(String),
    /// A host of a network without TLS.
    #[error("{0} is not loopback: whoever reaches an engine is root there, so set DOCKER_CERT_PATH and use TLS")]
    Unprotected(String),
}

impl Default for EngineAddress {
    fn default() -> Self {
        Self::Socket(USUAL_SOCKET.into())
    }
}

impl EngineAddress {
    /// Reads an address; nothing means the usual socket, and `certificates` make it TLS.
    pub fn parse(text: &str, certificates: Option<PathBuf>) -> Result<Self, InvalidEngineAddress> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        if let Some(path) = text.strip_prefix("unix://") {
            return Ok(Self::Socket(path.into()));
        }
        let host = text.strip_prefix("tcp://").map(|host| host.trim_end_matches('/'));
        let host = host.ok_or_else(|| InvalidEngineAddress::Scheme(text.to_owned()))?;
        let (name, port) = host
            .rsplit_once(':')
            .ok_or_else(|| InvalidEngineAddress::Host(text.to_owned()))?;
        if name.is_empty() || port.parse::<u16>().is_err() || host.contains(['/', '@', '?', '#', ' ']) {
            return Err(InvalidEngineAddress::Host(text.to_owned()));
        }
        if let Some(certificates) = certificates {
            return Ok(Self::Tls {
                host: host.to_owned(),
                certificates,
            });
        }
        let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        if name != "localhost" && !address.is_ok_and(|address| address.is_loopback()) {
            return Err(InvalidEngineAddress::Unprotected(text.to_owned()));
        }
        Ok(Self::Plain(host.to_owned()))
    }
}

impl fmt::Display for EngineAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "unix://{}", path.display()),
            Self::Plain(host) | Self::Tls { host, .. } => write!(f, "tcp://{host}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_an_unprotected_one_of_a_network_is_refused() {
        let socket = |path: &str| Ok(EngineAddress::Socket(path.into()));
        let plain = |host: &str| Ok(EngineAddress::Plain(host.into()));
        for (text, expected) in [
            ("", socket(USUAL_SOCKET)),
            (
                "unix:///run/user/1000/docker.sock",
                socket("/run/user/1000/docker.sock"),
            ),
            ("tcp://127.0.0.1:2375", plain("127.0.0.1:2375")),
            ("tcp://[::1]:2375/", plain("[::1]:2375")),
            (
                "tcp://10.0.0.7:2375",
                Err(InvalidEngineAddress::Unprotected("tcp://10.0.0.7:2375".into())),
            ),
            ("tcp://engine", Err(InvalidEngineAddress::Host("tcp://engine".into()))),
            (
                "ssh://me@engine",
                Err(InvalidEngineAddress::Scheme("ssh://me@engine".into())),
            ),
        ] {
            assert_eq!(EngineAddress::parse(text, None), expected, "{text}");
        }
        let tls = EngineAddress::Tls {
            host: "engine:2376".into(),
            certificates: "/certs".into(),
        };
        assert_eq!(
            EngineAddress::parse("tcp://engine:2376", Some("/certs".into())),
            Ok(tls)
        );
    }
}
