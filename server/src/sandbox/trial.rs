//! Tries from inside a sandbox what must be refused, for the self-test of every backend.
//!
//! Every attempt that could fail for another reason has its control on the host: the listener that must
//! not be reached is reached from here, and the file that must not be seen is read from here. What can't be
//! shown to hold is an error, never a warning.

use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sandbox_supervisor::probe::ProbeReport;

use super::{ExecReport, ExecSpec, OutputMode, Sandbox, SandboxError};

/// How long the test may take, and the sandbox that it is made in may live.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);

/// What a process inside must show in /proc/self/status.
const STATUS: [(&str, &str, &str); 7] = [
    ("NoNewPrivs", "1", "no-new-privileges"),
    ("Seccomp", "2", "seccomp"),
    ("CapEff", "0000000000000000", "dropped capabilities"),
    ("CapPrm", "0000000000000000", "dropped capabilities"),
    ("CapInh", "0000000000000000", "dropped capabilities"),
    ("CapBnd", "0000000000000000", "dropped capabilities"),
    ("CapAmb", "0000000000000000", "dropped capabilities"),
];

/// PID 1, the command, and one more at most: a command's own process namespace.
const MAX_PROCESSES: usize = 3;

/// Runs the program of the self-test, which is at `program` inside, and fails when a layer is missing.
pub(super) async fn judge(sandbox: &dyn Sandbox, program: &str, host: &HostSide) -> Result<(), SandboxError> {
    let missing = host.missing(&probe(sandbox, program, host).await?);
    if missing.is_empty() {
        return Ok(());
    }
    Err(SandboxError::Unsupported {
        message: format!("the sandbox does not hold: {}", missing.join("; ")),
    })
}

async fn probe(sandbox: &dyn Sandbox, program: &str, host: &HostSide) -> Result<ProbeReport, SandboxError> {
    let mut argv = vec![program.to_owned(), "probe".to_owned(), host.address()?];
    argv.extend(host.secret_path());
    let spec = ExecSpec {
        argv,
        folder: None,
        environment: Vec::new(),
        timeout: DEADLINE,
        output: OutputMode::Captured,
    };
    let ExecReport { exit_code, output, .. } = sandbox.exec(spec, None).await?;
    let text = String::from_utf8_lossy(&output);
    serde_json::from_str(&text).map_err(|error| SandboxError::Unsupported {
        message: format!("the self-test did not run inside (exit status {exit_code:?}, {error}): {text}"),
    })
}

/// What is on the host for the sandbox not to reach.
pub(super) struct HostSide {
    listener: TcpListener,
    secret: tempfile::NamedTempFile,
    namespaces: BTreeMap<String, String>,
}

impl HostSide {
    /// Prepares; `folder` is one of the server's, and `namespaces` are those that must be the sandbox's own.
    pub(super) fn prepare(folder: &Path, namespaces: &[&str]) -> Result<Self, SandboxError> {
        let internal = |error: std::io::Error| SandboxError::Internal {
            message: format!("prepare the self-test: {error}"),
        };
        let listener = TcpListener::bind("127.0.0.1:0").map_err(internal)?;
        let address = listener.local_addr().map_err(internal)?;
        // The control: from here it can be reached, and the file can be read.
        TcpStream::connect_timeout(&address, Duration::from_secs(5)).map_err(internal)?;
        let secret = tempfile::NamedTempFile::new_in(folder).map_err(internal)?;
        fs::read(secret.path()).map_err(internal)?;
        let namespaces = namespaces
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), fs::read_link(format!("/proc/self/ns/{name}")).ok()?)))
            .map(|(name, link)| (name, link.to_string_lossy().into_owned()))
            .collect();
        Ok(Self {
            listener,
            secret,
            namespaces,
        })
    }

    fn address(&self) -> Result<String, SandboxError> {
        let address = self.listener.local_addr().map_err(|error| SandboxError::Internal {
            message: format!("look at the listener of the self-test: {error}"),
        })?;
        Ok(address.to_string())
    }

    fn secret_path(&self) -> Option<String> {
        let path: PathBuf = self.secret.path().into();
        path.into_os_string().into_string().ok()
    }

    /// Names every layer that a report shows to be missing.
    fn missing(&self, report: &ProbeReport) -> Vec<String> {
        let mut missing: Vec<String> = report
            .allowed
            .iter()
            .map(|attempt| format!("a command can {attempt}"))
            .collect();
        if report.refused.is_empty() {
            missing.push("no attempt was made".into());
        }
        for (name, wanted, layer) in STATUS {
            let found = report.status.get(name).map_or("nothing", String::as_str);
            if found != wanted {
                missing.push(format!("{layer}: {name} is {found}, not {wanted}"));
            }
        }
        for (name, outside) in &self.namespaces {
            if report.namespaces.get(name).is_none_or(|inside| inside == outside) {
                missing.push(format!("the {name} namespace is the host's"));
            }
        }
        if report.descriptors != [0, 1, 2] {
            missing.push(format!("a command has the descriptors {:?}", report.descriptors));
        }
        if report.processes > MAX_PROCESSES {
            missing.push(format!("a command sees {} processes", report.processes));
        }
        missing
    }
}
