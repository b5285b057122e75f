//! The way to an engine, and what its answers mean.
//!
//! The one place that knows the client's errors. Every call has a deadline, so that an engine that hangs is
//! `Unavailable` and never holds a Task for longer.

use std::time::Duration;

use bollard::errors::Error;
use bollard::{API_DEFAULT_VERSION, Docker};

use super::EngineAddress;
use crate::sandbox::SandboxError;

/// Oldest version of the engine's interface that has all that a sandbox is made of.
const OLDEST_VERSION: (u32, u32) = (1, 41);

/// An engine.
pub(super) struct Engine {
    client: Docker,
    address: EngineAddress,
    answer_deadline: Duration,
}

/// What an engine says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EngineFacts {
    /// Version of the engine.
    pub(super) version: String,
    /// Version of its control groups, 1 or 2.
    pub(super) cgroup_version: String,
    /// Options such as `name=userns`.
    pub(super) security: Vec<String>,
}

impl Engine {
    /// Makes the way. The engine is not asked yet.
    pub(super) fn new(address: &EngineAddress, answer_deadline: Duration) -> Result<Self, SandboxError> {
        let seconds = answer_deadline.as_secs().max(1);
        let made = match address {
            EngineAddress::Socket(path) => {
                Docker::connect_with_unix(&path.to_string_lossy(), seconds, API_DEFAULT_VERSION)
            }
            EngineAddress::Plain(host) => {
                Docker::connect_with_http(&format!("tcp://{host}"), seconds, API_DEFAULT_VERSION)
            }
            EngineAddress::Tls { host, certificates } => Docker::connect_with_ssl(
                &format!("tcp://{host}"),
                &certificates.join("key.pem"),
                &certificates.join("cert.pem"),
                &certificates.join("ca.pem"),
                seconds,
                API_DEFAULT_VERSION,
            ),
        };
        let client = made.map_err(|error| SandboxError::Unsupported {
            message: format!("the Docker engine at {address} can't be used: {}", chain(&error)),
        })?;
        Ok(Self {
            client,
            address: address.clone(),
            answer_deadline,
        })
    }

    /// Returns the client.
    pub(super) fn client(&self) -> &Docker {
        &self.client
    }

    /// Asks what the engine is, and refuses one that is too old or of another system.
    pub(super) async fn facts(&self) -> Result<EngineFacts, SandboxError> {
        let failed = |error| self.fault("ask its version", error);
        // Negotiated for the sake of what the client may send; what is sent here is in the oldest version.
        let negotiated = self.client.clone().negotiate_version().await.map_err(failed)?;
        let version = negotiated.version().await.map_err(failed)?;
        let info = negotiated.info().await.map_err(failed)?;
        let api = version.api_version.unwrap_or_default();
        if !api.split_once('.').is_some_and(is_new_enough) {
            let (major, minor) = OLDEST_VERSION;
            return Err(self.unsupported(&format!(
                "its interface has version {api}, and {major}.{minor} is needed (Docker 20.10 or later)"
            )));
        }
        let system = version.os.unwrap_or_default();
        let machine = version.arch.unwrap_or_default();
        if system != "linux" || machine != "amd64" {
            return Err(self.unsupported(&format!(
                "it runs {system} on {machine}, and the supervisor is for linux on amd64"
            )));
        }
        Ok(EngineFacts {
            version: version.version.unwrap_or_default(),
            cgroup_version: info
                .cgroup_version
                .map(|version| version.to_string())
                .unwrap_or_default(),
            security: info.security_options.unwrap_or_default(),
        })
    }

    fn unsupported(&self, what: &str) -> SandboxError {
        SandboxError::Unsupported {
            message: format!("the Docker engine at {} can't be used: {what}", self.address),
        }
    }

    /// Makes an error of what the engine or the way to it said.
    pub(super) fn fault(&self, step: &str, error: Error) -> SandboxError {
        let said = match &error {
            Error::DockerResponseServerError { status_code, message } => {
                return judge(
                    *status_code,
                    &format!("{step}: the engine said: {}", message.trim()),
                    message,
                );
            }
            // An answer that began well: the engine tells of a pull while it goes on.
            Error::DockerStreamError { error } => {
                return judge(500, &format!("{step}: the engine said: {}", error.trim()), error);
            }
            Error::RequestTimeoutError => format!("it did not answer within {} s", self.answer_deadline.as_secs()),
            error => chain(error),
        };
        SandboxError::Unavailable {
            message: format!("{step}: the Docker engine at {} does not answer: {said}", self.address),
        }
    }
}

/// Tells whether the engine no longer has what was asked for.
pub(super) fn is_missing(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code: 404, .. })
}

/// Tells whether the engine is busy with the same already.
pub(super) fn is_conflict(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code: 409, .. })
}

/// Tells whether the engine has killed a container and gave up waiting for its end, as on a busy machine.
pub(super) fn is_slow_kill(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { message, .. } if message.contains("did not receive an exit event"))
}

/// Sorts what an engine refuses by what can be done about it.
fn judge(status_code: u16, message: &str, said: &str) -> SandboxError {
    let message = message.to_owned();
    if said.contains("no space left on device") {
        return SandboxError::Unavailable {
            message: format!("{message}; the engine's disk is full, free some room there"),
        };
    }
    // A request that is wrong stays wrong.
    let of_image = [
        "No such image",
        "exec format error",
        "pull access denied",
        "manifest unknown",
        "name unknown",
        "unauthorized",
        "no basic auth credentials",
    ];
    if of_image.iter().any(|words| said.contains(words)) {
        return SandboxError::Image { message };
    }
    if status_code == 400 || said.contains("nknown runtime") {
        return SandboxError::Unsupported { message };
    }
    SandboxError::Unavailable { message }
}

fn is_new_enough((major, minor): (&str, &str)) -> bool {
    let number = |text: &str| text.parse::<u32>().unwrap_or(0);
    (number(major), number(minor)) >= OLDEST_VERSION
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(&format!(": {more}"));
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_engine_refuses_is_sorted_by_what_can_be_done() {
        let sorted = |status, said: &str| match judge(status, said, said) {
            SandboxError::Image { .. } => "image",
            SandboxError::Unsupported { .. } => "unsupported",
            SandboxError::Unavailable { .. } => "unavailable",
            _ => "other",
        };
        for (status, said, expected) in [
            (404, "No such image: x:latest", "image"),
            (
                404,
                "manifest for x:9 not found: manifest unknown: manifest unknown",
                "image",
            ),
            (500, "unauthorized: authentication required", "image"),
            (
                500,
                "Get \"http://127.0.0.1:1/v2/\": dial tcp: connection refused",
                "unavailable",
            ),
            (400, "Unknown runtime specified runsc", "unsupported"),
            (400, "invalid mount config", "unsupported"),
            (500, "write /var/lib/docker/x: no space left on device", "unavailable"),
            (500, "shim is dead", "unavailable"),
            (409, "Conflict. The container name is in use", "unavailable"),
        ] {
            assert_eq!(sorted(status, said), expected, "{said}");
        }
    }

    #[test]
    fn what_an_engine_says_in_the_middle_of_an_answer_is_its_own() {
        let engine = Engine::new(&EngineAddress::Plain("127.0.0.1:1".into()), Duration::from_secs(1)).unwrap();
        let told = |error: &str| {
            let error = error.to_owned();
            engine
                .fault("pull the image x", Error::DockerStreamError { error })
                .to_string()
        };
        assert_eq!(
            told("manifest unknown: no x"),
            "the image can't be used: pull the image x: the engine said: manifest unknown: no x"
        );
        assert_eq!(
            told("toomanyrequests: later"),
            "a sandbox could not be made: pull the image x: the engine said: toomanyrequests: later"
        );
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        for (version, expected) in [
            ("1.41", true),
            ("1.100", true),
            ("2.0", true),
            ("1.40", false),
            ("1.9", false),
        ] {
            assert_eq!(
                version.split_once('.').is_some_and(is_new_enough),
                expected,
                "{version}"
            );
        }
    }
}
