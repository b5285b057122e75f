//! Where a GitHub is: github.com, or an Enterprise Server, its API and its git.
//!
//! Plain HTTP is for a test host on loopback only; a token that crosses a network does so under TLS.

use crate::forge::GitTransport;
use crate::task::address::{AddressPolicy, RepositoryAddress};

/// Addresses of one GitHub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitHubHost {
    /// Scheme and authority of its pages and its git.
    web: String,
    /// Root of its REST API, without a slash at the end.
    api: String,
    name: String,
    port: Option<u16>,
    transport: GitTransport,
}

/// Why an address of a GitHub can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// It has another form.
    #[error("must be https://host or https://host:port, lower case, without a path")]
    Web,
    /// It has another form.
    #[error("must be an https:// address, such as https://github.example.com/api/v3")]
    Api,
}

impl GitHubHost {
    /// Reads the address of the pages, and that of the API where it is not the usual one.
    pub fn parse(web: &str, api: Option<&str>) -> Result<Self, HostError> {
        let web = web.strip_suffix('/').unwrap_or(web);
        let (transport, authority) = split(web).ok_or(HostError::Web)?;
        let (name, port) = match authority.split_once(':') {
            None => (authority, None),
            Some((name, port)) => (name, Some(port.parse::<u16>().map_err(|_| HostError::Web)?)),
        };
        let usual_port = if transport == GitTransport::Https { 443 } else { 80 };
        let mut host = Self {
            web: web.to_owned(),
            api: String::new(),
            name: name.to_owned(),
            port: port.filter(|port| *port != 443),
            transport,
        };
        // Plain HTTP has no meaning in an address of a repository, which names the port instead.
        if transport == GitTransport::Http && port.is_none() {
            host.port = Some(usual_port);
        }
        if host.address("owner", "name").is_none() {
            return Err(HostError::Web);
        }
        host.api = match api {
            Some(api) => {
                let api = api.strip_suffix('/').unwrap_or(api);
                let (_, rest) = split_any_path(api).ok_or(HostError::Api)?;
                if rest.contains(['?', '#', '@', '\\', ' ']) || rest.is_empty() {
                    return Err(HostError::Api);
                }
                api.to_owned()
            }
            None if name == "github.com" => "https://api.github.com".to_owned(),
            None => format!("{web}/api/v3"),
        };
        Ok(host)
    }

    /// Returns the host's name, by which addresses name this forge.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the port that addresses of its repositories name, if any.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Returns the root of the REST API.
    pub(super) fn api(&self) -> &str {
        &self.api
    }

    /// Returns the address of the GraphQL API, which an Enterprise Server has beside the REST API.
    pub(super) fn graphql(&self) -> String {
        match self.api.strip_suffix("/v3") {
            Some(root) => format!("{root}/graphql"),
            None => format!("{}/graphql", self.api),
        }
    }

    pub(super) fn transport(&self) -> GitTransport {
        self.transport
    }

    /// Returns the address that git takes.
    pub(super) fn git_url(&self, owner: &str, name: &str) -> String {
        format!("{}/{owner}/{name}.git", self.web)
    }

    /// Makes the address of a repository of this host; `None` when a part has not the form of one.
    pub(super) fn address(&self, owner: &str, name: &str) -> Option<RepositoryAddress> {
        let policy = AddressPolicy {
            hosts: vec![(self.name.clone(), self.port)],
            local_roots: Vec::new(),
        };
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        RepositoryAddress::parse(&format!("https://{}{port}/{owner}/{name}", self.name), &policy).ok()
    }
}

/// Takes an address without a path apart; plain HTTP only on loopback.
fn split(address: &str) -> Option<(GitTransport, &str)> {
    let (transport, rest) = split_any_path(address)?;
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b':');
    (!rest.is_empty() && rest.bytes().all(is_plain)).then_some((transport, rest))
}

fn split_any_path(address: &str) -> Option<(GitTransport, &str)> {
    if let Some(rest) = address.strip_prefix("https://") {
        return Some((GitTransport::Https, rest));
    }
    let rest = address.strip_prefix("http://")?;
    let authority = rest.split('/').next().unwrap_or_default();
    let name = authority.split(':').next().unwrap_or_default();
    matches!(name, "127.0.0.1" | "localhost").then_some((GitTransport::Http, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_addresses_follow_from_the_hosts() {
        let parts = |web: &str, api: Option<&str>| {
            let host = GitHubHost::parse(web, api).unwrap();
            (host.api.clone(), host.graphql(), host.git_url("o", "n"))
        };
        let own = |texts: (&str, &str, &str)| (texts.0.to_owned(), texts.1.to_owned(), texts.2.to_owned());
        assert_eq!(
            parts("https://github.com", None),
            own((
                "https://api.github.com",
                "https://api.github.com/graphql",
                "https://github.com/o/n.git"
            ))
        );
        assert_eq!(
            parts("https://git.example.com:8443/", None),
            own((
                "https://git.example.com:8443/api/v3",
                "https://git.example.com:8443/api/graphql",
                "https://git.example.com:8443/o/n.git"
            ))
        );
        assert_eq!(
            parts("https://acme.ghe.com", Some("https://api.acme.ghe.com/")),
            own((
                "https://api.acme.ghe.com",
                "https://api.acme.ghe.com/graphql",
                "https://acme.ghe.com/o/n.git"
            ))
        );
        let local = GitHubHost::parse("http://127.0.0.1:81", None).unwrap();
        assert_eq!((local.name(), local.port()), ("127.0.0.1", Some(81)));
    }

    #[test]
    fn other_addresses_are_refused() {
        for web in [
            "",
            "github.com",
            "http://github.com",
            "https://GitHub.com",
            "https://user@github.com",
            "https://github.com/x",
            "https://",
            "https://a b",
            "http://127.0.0.1.evil.test",
        ] {
            assert_eq!(GitHubHost::parse(web, None), Err(HostError::Web), "{web}");
        }
        for api in [
            "http://api.github.com",
            "https://",
            "https://u@api.test",
            "api.github.com",
        ] {
            assert_eq!(
                GitHubHost::parse("https://github.com", Some(api)),
                Err(HostError::Api),
                "{api}"
            );
        }
    }
}
