//! The way out of a sandbox: a proxy in the server that decides what commands may reach.
//!
//! A sandbox has no network; its supervisor carries each connection to here and judges nothing. A destination
//! must be allowed by a pattern; its name is resolved once, by the host's resolver; only public addresses, or
//! those of configured ranges, are kept, and one of exactly these is connected to. Every refusal is told to the
//! command and kept as a `Denial`. What can't be decided is refused.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use self::address::AddressRange;
use self::denials::Denials;
use super::Denial;
use crate::task::host::rules::HostRules;
use crate::task::host::{Destination, Host};

pub mod address;
mod denials;
mod flow;
mod proxy;
mod request;

/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 4;

/// Look-ups of all sandboxes at once; each holds a thread of the runtime while the resolver waits.
const MAX_LOOKUPS: usize = 16;

/// Look-ups of one sandbox at once, so that it can't keep the others from theirs.
const MAX_OWN_LOOKUPS: usize = 4;

/// What holds for every sandbox of this server.
#[derive(Clone, Debug, Default)]
pub struct EgressConfig {
    /// Addresses that may be reached although they are not public; none when empty.
    pub private_ranges: Vec<AddressRange>,
    /// Limits of each sandbox.
    pub limits: EgressLimits,
}

/// Limits of the way out of one sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EgressLimits {
    /// How long a command may take to say where it wants to go.
    pub head: Duration,
    /// How long a name may take to resolve.
    pub lookup: Duration,
    /// How long one address may take to connect.
    pub connect: Duration,
    /// How long a connection may carry nothing.
    pub idle: Duration,
    /// How long a connection may last.
    pub connection: Duration,
    /// Bytes of all connections, both directions together.
    pub bytes: u64,
}

impl Default for EgressLimits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(30),
            lookup: Duration::from_secs(10),
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(300),
            connection: Duration::from_secs(3600),
            bytes: 16 << 30,
        }
    }
}

/// The rules of a server, shared by its sandboxes.
#[derive(Debug)]
pub struct EgressPolicy {
    config: EgressConfig,
    lookups: Semaphore,
}

impl EgressPolicy {
    /// Makes the rules.
    pub fn new(config: EgressConfig) -> Arc<Self> {
        Arc::new(Self {
            config,
            lookups: Semaphore::new(MAX_LOOKUPS),
        })
    }

    fn may_be_reached(&self, address: IpAddr) -> bool {
        address::is_public(address) || self.config.private_ranges.iter().any(|range| range.contains(address))
    }

    /// Returns the addresses of a host, as the host's resolver knows them now.
    async fn resolve(&self, destination: &Destination) -> Result<Vec<SocketAddr>, Refusal> {
        let name = match &destination.host {
            Host::Address(address) => return Ok(vec![SocketAddr::new(*address, destination.port)]),
            Host::Name(name) => name.as_str(),
        };
        let lookup = async {
            let _turn = self.lookups.acquire().await;
            let found = tokio::net::lookup_host((name, destination.port)).await?;
            Ok::<Vec<SocketAddr>, std::io::Error>(found.collect())
        };
        match tokio::time::timeout(self.config.limits.lookup, lookup).await {
            Ok(Ok(addresses)) if !addresses.is_empty() => Ok(addresses),
            Ok(Ok(_)) => Err(Refusal::Unreachable("the name has no address".into())),
            Ok(Err(error)) => Err(Refusal::Unreachable(format!("the name can't be resolved: {error}"))),
            Err(_) => Err(Refusal::TimedOut("the name was not resolved in time".into())),
        }
    }
}

/// Why a command does not get a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Refusal {
    /// The policy says no.
    Denied(String),
    /// The policy says yes and the network no.
    Unreachable(String),
    /// Nothing answered in time.
    TimedOut(String),
}

/// The way out of one sandbox. Shut until hosts are allowed.
#[derive(Debug)]
pub struct Egress {
    policy: Arc<EgressPolicy>,
    rules: Mutex<Arc<HostRules>>,
    denials: Mutex<Denials>,
    bytes: AtomicU64,
    lookups: Semaphore,
}

impl Egress {
    /// Makes a way out that leads nowhere.
    pub fn new(policy: Arc<EgressPolicy>) -> Arc<Self> {
        Arc::new(Self {
            policy,
            rules: Mutex::default(),
            denials: Mutex::default(),
            bytes: AtomicU64::new(0),
            lookups: Semaphore::new(MAX_OWN_LOOKUPS),
        })
    }

    /// Allows these hosts and no others, from the next connection on.
    pub fn allow(&self, rules: HostRules) {
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }

    /// Returns the refusals since the last call.
    pub fn take_denials(&self) -> Vec<Denial> {
        self.denials.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn deny(&self, destination: &Destination, message: &str) {
        let denial = Denial {
            subject: destination.to_string(),
            message: message.to_owned(),
        };
        let subject = denial.subject.clone();
        let is_new = self.denials.lock().unwrap_or_else(PoisonError::into_inner).add(denial);
        // A command may try again and again; the log has each once, as the events do.
        if is_new {
            tracing::info!(subject, message, "a connection out of a sandbox was refused");
        }
    }

    fn limits(&self) -> EgressLimits {
        self.policy.config.limits
    }

    /// Counts bytes; false when the sandbox has had its share.
    fn count(&self, bytes: u64) -> bool {
        self.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) <= self.limits().bytes
    }

    /// Decides whether a destination may be reached, and connects to it. A denial has been recorded.
    async fn connect(&self, destination: &Destination) -> Result<TcpStream, Refusal> {
        let addresses = match self.admit(destination).await {
            Ok(addresses) => addresses,
            Err(refusal) => {
                if let Refusal::Denied(message) = &refusal {
                    self.deny(destination, message);
                }
                return Err(refusal);
            }
        };
        let mut last = Refusal::Unreachable("no address".into());
        for address in addresses.into_iter().take(MAX_ADDRESSES) {
            match tokio::time::timeout(self.limits().connect, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    // What a command sends is not to wait for more.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(error)) => last = Refusal::Unreachable(format!("{address}: {error}")),
                Err(_) => last = Refusal::TimedOut(format!("{address}: no answer in time")),
            }
        }
        Err(last)
    }

    /// Returns the addresses that may be connected to.
    async fn admit(&self, destination: &Destination) -> Result<Vec<SocketAddr>, Refusal> {
        let rules = Arc::clone(&self.rules.lock().unwrap_or_else(PoisonError::into_inner));
        if !rules.allows(destination) {
            return Err(Refusal::Denied(format!("is not an allowed host; allowed: {rules}")));
        }
        let addresses = {
            let _turn = self.lookups.acquire().await;
            self.policy.resolve(destination).await?
        };
        let (inside, outside): (Vec<_>, Vec<_>) = addresses
            .into_iter()
            .partition(|address| self.policy.may_be_reached(address.ip()));
        match outside.first() {
            Some(address) if inside.is_empty() => Err(Refusal::Denied(format!(
                "is an allowed host, but {} is not a public address",
                address.ip()
            ))),
            _ => Ok(inside),
        }
    }
}

#[cfg(test)]
mod tests;
