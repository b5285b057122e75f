//! The grammar of hosts that commands may reach: destinations, patterns, and lists of patterns.
//!
//! Pure, and on bytes of ASCII only. A name whose last label is a number is refused, because resolvers read
//! `127.1`, `0x7f000001` and `2130706433` as addresses; an address is itself only in its one usual form.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub mod presets;
pub mod rules;

/// Ports that a pattern without a port stands for.
pub const USUAL_PORTS: [u16; 2] = [80, 443];

const MAX_NAME_BYTES: usize = 253;
const MAX_LABEL_BYTES: usize = 63;

/// What is wrong with a host, a destination or a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// It is no host name and no address.
    #[error(
        "a host is a name like registry.npmjs.org, *.example.com or registry.example.com:8443, an address, or a group like @npm, without scheme or path"
    )]
    Grammar,
    /// It is a number that resolvers may read as an address.
    #[error("an address is written in its usual form, like 192.0.2.7 or [2001:db8::7]")]
    Number,
    /// The port is none.
    #[error("a port is a number from 1 to 65535")]
    Port,
    /// No group has that name.
    #[error("there is no group of that name; there are {}", presets::names())]
    UnknownPreset,
}

/// A host: a name, in lower case and without a dot at the end, or an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name.
    Name(String),
    /// An address.
    Address(IpAddr),
}

impl Host {
    /// Reads a host; an IPv6 address stands in brackets.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or(HostError::Grammar)?;
            let address = inner.parse::<Ipv6Addr>().map_err(|_| HostError::Number)?;
            return Ok(Self::Address(address.into()));
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Ok(Self::Address(address.into()));
        }
        parse_name(text).map(Self::Name)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => formatter.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(formatter, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(formatter, "[{address}]"),
        }
    }
}

fn parse_name(text: &str) -> Result<String, HostError> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        (1..=MAX_LABEL_BYTES).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    if name.len() > MAX_NAME_BYTES || !name.split('.').all(is_label) {
        return Err(HostError::Grammar);
    }
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_hexadecimal = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let starts_hexadecimal = last.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("0x"));
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit())
        || (starts_hexadecimal && last.get(2..).is_some_and(is_hexadecimal));
    if is_number {
        return Err(HostError::Number);
    }
    Ok(name.to_ascii_lowercase())
}

/// What a command wants to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    /// The host.
    pub host: Host,
    /// The port.
    pub port: u16,
}

impl Destination {
    /// Reads `host:port`, or `host` where a port is understood.
    pub fn parse(text: &str, default_port: Option<u16>) -> Result<Self, HostError> {
        let (host, port) = split_port(text)?;
        let port = port.or(default_port).ok_or(HostError::Port)?;
        let host = Host::parse(host)?;
        Ok(Self { host, port })
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.host, self.port)
    }
}

/// Splits a port off; the colons of an address in brackets are none of it.
fn split_port(text: &str) -> Result<(&str, Option<u16>), HostError> {
    if text.contains('/') {
        return Err(HostError::Grammar);
    }
    let end_of_host = text.rfind(']').map_or(0, |at| at + 1);
    let Some(colon) = text.get(end_of_host..).and_then(|rest| rest.find(':')) else {
        return Ok((text, None));
    };
    let (host, port) = text.split_at_checked(end_of_host + colon).ok_or(HostError::Grammar)?;
    let digits = port.get(1..).unwrap_or_default();
    let is_plain = !digits.is_empty() && digits.len() <= 5 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let port = digits.parse().ok().filter(|port| is_plain && *port != 0);
    port.map(|port| (host, Some(port))).ok_or(HostError::Port)
}

/// Hosts and ports that are allowed together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPattern {
    place: Place,
    /// `None` stands for `USUAL_PORTS`.
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Place {
    /// Every name; no address.
    AnyName,
    /// Every name below this one, and not the name itself.
    Below(String),
    /// This one.
    Exactly(Host),
}

impl HostPattern {
    /// Reads a pattern: `*`, `*.name`, a name or an address, each with `:port` or without.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        let (host, port) = split_port(text)?;
        let place = match (host, host.strip_prefix("*.")) {
            ("*", _) => Place::AnyName,
            (_, Some(name)) => Place::Below(parse_name(name)?),
            (host, None) => Place::Exactly(Host::parse(host)?),
        };
        Ok(Self { place, port })
    }

    /// Returns whether a destination is allowed.
    pub fn allows(&self, destination: &Destination) -> bool {
        self.takes_port(destination.port) && self.place.has(&destination.host)
    }

    /// Returns whether everything that the other pattern allows is allowed by this one.
    pub fn covers(&self, other: &Self) -> bool {
        let ports = match other.port {
            Some(port) => self.takes_port(port),
            None => self.port.is_none(),
        };
        let places = match (&self.place, &other.place) {
            (Place::AnyName, Place::AnyName | Place::Below(_)) => true,
            (Place::Below(mine), Place::Below(its)) => its == mine || is_below(its, mine),
            (place, Place::Exactly(host)) => place.has(host),
            (Place::Below(_) | Place::Exactly(_), _) => false,
        };
        ports && places
    }

    fn takes_port(&self, port: u16) -> bool {
        self.port.map_or(USUAL_PORTS.contains(&port), |mine| mine == port)
    }
}

impl Place {
    fn has(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::AnyName, Host::Name(_)) => true,
            (Self::Below(mine), Host::Name(name)) => is_below(name, mine),
            (Self::Exactly(mine), host) => mine == host,
            (Self::AnyName | Self::Below(_), Host::Address(_)) => false,
        }
    }
}

fn is_below(name: &str, parent: &str) -> bool {
    name.strip_suffix(parent)
        .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

impl fmt::Display for HostPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::AnyName => formatter.write_str("*")?,
            Place::Below(name) => write!(formatter, "*.{name}")?,
            Place::Exactly(host) => write!(formatter, "{host}")?,
        }
        self.port.map_or(Ok(()), |port| write!(formatter, ":{port}"))
    }
}

#[cfg(test)]
mod tests;
