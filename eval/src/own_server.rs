//! The server that the harness starts for a run, on a free port and a data folder of its own.
//!
//! It takes its keys and other settings from the environment like any server; flags only say what a run
//! needs. Its standard input is a pipe that this process holds: when it ends in whatever way, the server
//! sees the end of its input and stops.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, ChildStdin, Command};
use tokio::time::Instant;

const READY_POLL: Duration = Duration::from_millis(20);
const READY_DEADLINE: Duration = Duration::from_secs(60);
/// The server's own deadline is 25 s.
const STOP_DEADLINE: Duration = Duration::from_secs(30);
const SHOWN_LOG_LINES: usize = 12;

/// How the server is started.
pub(crate) struct Launch<'a> {
    pub(crate) program: PathBuf,
    pub(crate) supervisor: PathBuf,
    /// Everything of the run; must hold `repositories` and `scripts`.
    pub(crate) work: &'a Path,
    pub(crate) models_file: Option<&'a Path>,
    pub(crate) jobs: u16,
}

/// A running server.
pub(crate) struct OwnServer {
    child: Child,
    lifeline: Option<ChildStdin>,
    address: String,
}

/// The server did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    #[error("{path} can't be used: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("the server did not start: {what}\n{log}")]
    NotReady { what: String, log: String },
}

impl OwnServer {
    /// Starts the server and waits until it answers.
    pub(crate) async fn start(launch: Launch<'_>) -> Result<Self, ServerError> {
        let (ready, log) = (launch.work.join("server.address"), launch.work.join("server.log"));
        let output = File::create(&log).map_err(|source| ServerError::File {
            path: log.clone(),
            source,
        })?;
        let mut command = Command::new(&launch.program);
        command
            .args(["--listen", "127.0.0.1:0", "--sandbox", "local", "--exit-with-parent"])
            // Nobody else calls it, and starting work is all that is done here.
            .args(["--rate-limit-requests", "100000"])
            .args(["--max-concurrent-jobs", &launch.jobs.to_string()])
            .arg("--ready-file")
            .arg(&ready)
            .arg("--data-folder")
            .arg(launch.work.join("data"))
            .arg("--allow-local")
            .arg(launch.work.join("repositories"))
            .arg("--scripts")
            .arg(launch.work.join("scripts"))
            .arg("--supervisor")
            .arg(&launch.supervisor);
        if let Some(file) = launch.models_file {
            command.arg("--models-file").arg(file);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(output)
            // Ctrl-C goes to the whole group; this process decides what it means.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| ServerError::File {
                path: launch.program.clone(),
                source,
            })?;
        let lifeline = child.stdin.take();
        match wait_until_ready(&mut child, &ready).await {
            Ok(address) => Ok(Self {
                child,
                lifeline,
                address: format!("http://{address}"),
            }),
            Err(what) => Err(ServerError::NotReady {
                what,
                log: last_lines(&log),
            }),
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Stops it and waits until it is gone.
    pub(crate) async fn stop(mut self) {
        drop(self.lifeline.take());
        if tokio::time::timeout(STOP_DEADLINE, self.child.wait()).await.is_err() {
            // All that is of interest has been read by now.
            let _ = self.child.kill().await;
        }
    }
}

async fn wait_until_ready(child: &mut Child, ready: &Path) -> Result<String, String> {
    let deadline = Instant::now() + READY_DEADLINE;
    loop {
        // Polled, because the file is the interface.
        if let Some(address) = std::fs::read_to_string(ready)
            .ok()
            .map(|text| text.trim().to_owned())
            .filter(|address| !address.is_empty())
        {
            return Ok(address);
        }
        tokio::select! {
            status = child.wait() => return Err(match status {
                Ok(status) => format!("it ended ({status})"),
                Err(error) => format!("it can't be waited for: {error}"),
            }),
            () = tokio::time::sleep(READY_POLL) => {}
        }
        if Instant::now() > deadline {
            return Err(format!("it was not ready in {} s", READY_DEADLINE.as_secs()));
        }
    }
}

fn last_lines(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let skipped = lines.len().saturating_sub(SHOWN_LOG_LINES);
    lines.into_iter().skip(skipped).collect::<Vec<_>>().join("\n")
}
