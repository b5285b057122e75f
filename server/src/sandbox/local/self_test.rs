//! Makes a sandbox and tries from inside what must be refused.
//!
//! Every attempt that could fail for another reason has its control on the host: the listener that must
//! not be reached is reached from here, and the file that must not be seen is read from here. What can't be
//! shown to hold is an error, never a warning.

use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use sandbox_supervisor::plan::PROBE;
use sandbox_supervisor::probe::ProbeReport;

use super::super::{Capabilities, ExecReport, ExecSpec, OutputMode, Sandbox, SandboxError, SandboxSpec};
use super::running::{Maker, Probe};

const DEADLINE: Duration = Duration::from_secs(60);

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

/// Runs the test and says what holds. Where images were only to be tried, a second time without them.
pub(super) async fn run(maker: &Maker) -> Result<Capabilities, SandboxError> {
    match try_once(maker).await {
        Err(error) if maker.disk.give_up(&error) => try_once(maker).await,
        result => result,
    }
}

async fn try_once(maker: &Maker) -> Result<Capabilities, SandboxError> {
    let host = HostSide::prepare(maker)?;
    let spec = SandboxSpec::of_no_task(DEADLINE);
    let sandbox = maker.create_with(spec, maker.storage(), Probe::Shown).await?;
    let probed = probe(sandbox.as_ref(), &host).await;
    let layers = sandbox.layers().to_vec();
    let destroyed = sandbox.destroy().await;
    let missing = host.missing(&probed?);
    destroyed?;
    if !missing.is_empty() {
        return Err(SandboxError::Unsupported {
            message: format!("the sandbox does not hold: {}", missing.join("; ")),
        });
    }
    Ok(capabilities(maker, layers))
}

async fn probe(sandbox: &dyn Sandbox, host: &HostSide) -> Result<ProbeReport, SandboxError> {
    let mut argv = vec![PROBE.to_owned(), "probe".to_owned(), host.address()?];
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
struct HostSide {
    listener: TcpListener,
    secret: tempfile::NamedTempFile,
    namespaces: BTreeMap<String, String>,
}

impl HostSide {
    fn prepare(maker: &Maker) -> Result<Self, SandboxError> {
        let internal = |error: std::io::Error| SandboxError::Internal {
            message: format!("prepare the self-test: {error}"),
        };
        let listener = TcpListener::bind("127.0.0.1:0").map_err(internal)?;
        let address = listener.local_addr().map_err(internal)?;
        // The control: from here it can be reached, and the file can be read.
        TcpStream::connect_timeout(&address, Duration::from_secs(5)).map_err(internal)?;
        let secret = tempfile::NamedTempFile::new_in(maker.folders.root()).map_err(internal)?;
        fs::read(secret.path()).map_err(internal)?;
        let namespaces = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"]
            .into_iter()
            .filter_map(|name| Some((name, fs::read_link(format!("/proc/self/ns/{name}")).ok()?)))
            .map(|(name, link)| (name.to_owned(), link.to_string_lossy().into_owned()))
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

fn capabilities(maker: &Maker, mut enforced: Vec<String>) -> Capabilities {
    let limited = maker.cgroups.limited();
    enforced.extend(limited.iter().map(|&name| name.to_owned()));
    let mut not_enforced = Vec::new();
    if !limited.contains(&"memory") {
        not_enforced.push(
            "no aggregate memory limit: no memory cgroup can be made here, so each process is limited alone and \
             shared memory is not counted"
                .to_owned(),
        );
    }
    if limited.contains(&"pids") {
        enforced.push("processes".into());
    }
    if !limited.contains(&"cpu") {
        not_enforced.push("no CPU limit: no cpu cgroup can be made here".to_owned());
    }
    match maker.disk.why_not() {
        None => enforced.push("disk".into()),
        Some(why) => not_enforced.push(format!(
            "no disk limit on the work tree that always holds: each file has one, and the whole is watched while commands run; it is a folder of this machine, because {why}"
        )),
    }
    if !maker.host_ids.are_mapped() {
        not_enforced.push(
            "commands run as the server's own user on the host; process namespace, mount tree and seccomp keep them in"
                .into(),
        );
    }
    enforced.sort();
    enforced.dedup();
    Capabilities { enforced, not_enforced }
}
