//! The private server: started for one call, on a fixed data folder, and stopped with it.
//!
//! One command at a time owns it, by a lock on the folder; others that only look or steer join the
//! running one by the address it left there. The server's standard input is a pipe that this process
//! holds: when it ends in whatever way, the server sees the end of its input and stops in order.
//!
//! The server is in a process group of its own, because Ctrl-C in a terminal goes to the whole group
//! and would stop it before the Task could be cancelled.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, ChildStdin, Command};

use crate::escape;
use crate::exit::Exit;
use crate::problem::Problem;

const READY_POLL: Duration = Duration::from_millis(10);
const READY_DEADLINE: Duration = Duration::from_secs(60);
/// The server's own deadline is 25 s.
const STOP_DEADLINE: Duration = Duration::from_secs(30);
const HASTY_STOP_DEADLINE: Duration = Duration::from_secs(3);
const MAX_LOG_BYTES: u64 = 10 * 1024 * 1024;
const SHOWN_LOG_LINES: usize = 8;

/// A running private server that this process owns.
pub(crate) struct PrivateServer {
    child: Child,
    /// Its end is the server's sign to stop. Held apart, since waiting for a child closes what it holds.
    lifeline: Option<ChildStdin>,
    address: String,
    files: Files,
    _lock: File,
}

/// How long the server may take to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// As long as an orderly stop takes.
    Orderly,
    /// The person wants to leave. Being killed is among the things the server is made for.
    Hasty,
}

/// What came of asking for a private server.
pub(crate) enum Private {
    /// It was started, and is ours to stop.
    Owned(Box<PrivateServer>),
    /// Another command runs one on the folder; it answers at this address as long as that command runs.
    Joined {
        /// Its address.
        address: String,
    },
}

struct Files {
    folder: PathBuf,
}

impl Files {
    fn lock(&self) -> PathBuf {
        self.folder.join("private.lock")
    }

    fn ready(&self) -> PathBuf {
        self.folder.join("private.address")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    /// Local repositories that tasks here were given: a later call must allow them again, since the
    /// server goes on with what it has not finished.
    fn roots(&self) -> PathBuf {
        self.folder.join("local-roots")
    }
}

/// Starts the server on `folder`, or joins the one that runs there.
pub(crate) async fn start(program: &Path, folder: PathBuf, allow: Option<&Path>) -> Result<Private, Problem> {
    let files = Files { folder };
    let mut builder = std::fs::DirBuilder::new();
    builder
        .recursive(true)
        .mode(0o700)
        .create(&files.folder)
        .map_err(|error| at(&files.folder, "make", &error))?;
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(files.lock());
    let lock = lock.map_err(|error| at(&files.lock(), "open", &error))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return join(&files, allow).await,
        Err(TryLockError::Error(error)) => return Err(at(&files.lock(), "lock", &error)),
    }
    let roots = remember(&files, allow)?;
    let _ = std::fs::remove_file(files.ready());
    let (log, log_start) = open_log(&files)?;
    let mut child = spawn(program, &files, &roots, log)?;
    let lifeline = child.stdin.take();
    match wait_until_ready(&mut child, &files).await {
        Ok(address) => Ok(Private::Owned(Box::new(PrivateServer {
            child,
            lifeline,
            address,
            files,
            _lock: lock,
        }))),
        Err(what) => {
            let _ = child.kill().await;
            Err(did_not_start(&what, &files, log_start))
        }
    }
}

impl PrivateServer {
    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Stops it, and waits until it is gone. Ctrl-C ends the waiting by killing it.
    pub(crate) async fn stop(mut self, patience: Patience) -> Result<(), Problem> {
        let _ = std::fs::remove_file(self.files.ready());
        drop(self.lifeline.take());
        let pid = self
            .child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            // It may be gone already, which is what we want.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let deadline = match patience {
            Patience::Orderly => STOP_DEADLINE,
            Patience::Hasty => HASTY_STOP_DEADLINE,
        };
        let waited = tokio::select! {
            waited = tokio::time::timeout(deadline, self.child.wait()) => waited.ok(),
            _ = tokio::signal::ctrl_c() => None,
        };
        match (waited, patience) {
            (Some(Ok(_)), _) => Ok(()),
            (Some(Err(error)), _) => Err(Problem::new(
                Exit::Other,
                format!("cannot wait for the private server: {error}"),
            )),
            (None, Patience::Hasty) => {
                let _ = self.child.kill().await;
                Ok(())
            }
            (None, Patience::Orderly) => {
                let _ = self.child.kill().await;
                Err(
                    Problem::new(Exit::Other, "the private server did not stop in order and was killed")
                        .detail("no work is lost: the next command goes on from the last checkpoint")
                        .next(format!(
                            "if it took its {} s, look into {}",
                            deadline.as_secs(),
                            self.files.log().display()
                        )),
                )
            }
        }
    }
}

/// Finds the server's program: what `BACKSPACE_SERVER_BIN` says, or beside our own.
pub(crate) fn find_program(configured: Option<PathBuf>) -> Result<PathBuf, Problem> {
    if let Some(program) = configured {
        if program.is_file() {
            return Ok(program);
        }
        let what = format!("BACKSPACE_SERVER_BIN is {}, which is no file", program.display());
        return Err(Problem::new(Exit::Unusable, what).next("set it to the program backspace-server, or unset it"));
    }
    let own = std::env::current_exe()
        .and_then(|path| path.canonicalize())
        .map_err(|error| Problem::new(Exit::Unusable, format!("cannot find our own program: {error}")))?;
    let beside = own.with_file_name("backspace-server");
    if beside.is_file() {
        return Ok(beside);
    }
    Err(Problem::new(
        Exit::Unusable,
        "no server is configured, and there is no backspace-server to start a private one",
    )
    .detail(format!("looked for {}", beside.display()))
    .next("give --server ADDRESS, or put backspace-server beside this command, or set BACKSPACE_SERVER_BIN"))
}

fn spawn(program: &Path, files: &Files, roots: &[PathBuf], log: File) -> Result<Child, Problem> {
    let mut command = Command::new(program);
    command
        .args(["--listen", "127.0.0.1:0"])
        .arg("--data-folder")
        .arg(&files.folder);
    command.arg("--ready-file").arg(files.ready()).arg("--exit-with-parent");
    for root in roots {
        command.arg("--allow-local").arg(root);
    }
    let log_too = log.try_clone().map_err(|error| at(&files.log(), "open", &error))?;
    command
        .stdin(Stdio::piped())
        .stdout(log)
        .stderr(log_too)
        .process_group(0);
    // The way to the private server is this process; a token of ours is for another one.
    command.env_remove("BACKSPACE_TOKEN").env_remove("BACKSPACE_TOKEN_FILE");
    command.spawn().map_err(|error| {
        Problem::new(
            Exit::Unusable,
            format!("cannot start the private server {}: {error}", program.display()),
        )
        .next("check that the program is whole and may be executed")
    })
}

async fn wait_until_ready(child: &mut Child, files: &Files) -> Result<String, String> {
    let deadline = tokio::time::Instant::now() + READY_DEADLINE;
    loop {
        // Polled, because the file is the interface and watching it would need a dependency; a server
        // that starts in a few milliseconds is not held up by it.
        if let Some(address) = read_address(files) {
            return Ok(address);
        }
        tokio::select! {
            status = child.wait() => return Err(match status {
                Ok(status) => format!("the private server ended at its start ({status})"),
                Err(error) => format!("the private server cannot be waited for: {error}"),
            }),
            () = tokio::time::sleep(READY_POLL) => {}
        }
        if tokio::time::Instant::now() > deadline {
            return Err(format!(
                "the private server was not ready in {} s",
                READY_DEADLINE.as_secs()
            ));
        }
    }
}

fn read_address(files: &Files) -> Option<String> {
    let text = std::fs::read_to_string(files.ready()).ok()?;
    let address = text.lines().next()?.trim();
    (!address.is_empty()).then(|| address.to_owned())
}

async fn join(files: &Files, allow: Option<&Path>) -> Result<Private, Problem> {
    let busy = |what: &str| {
        Problem::new(
            Exit::Unusable,
            format!(
                "another backspace command runs the private server on {}{what}",
                files.folder.display()
            ),
        )
        .next(
            "wait until it ends; for several tasks at once start `backspace-server` and \
                 set BACKSPACE_SERVER=http://127.0.0.1:8000",
        )
    };
    if allow.is_some() {
        return Err(busy(", and it was not given this repository"));
    }
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while tokio::time::Instant::now() < deadline {
        if let Some(address) = read_address(files) {
            return Ok(Private::Joined { address });
        }
        tokio::time::sleep(READY_POLL).await;
    }
    Err(busy(", and is starting or stopping it"))
}

/// Adds a root to those remembered; returns all that still exist.
fn remember(files: &Files, allow: Option<&Path>) -> Result<Vec<PathBuf>, Problem> {
    let known = std::fs::read_to_string(files.roots()).unwrap_or_default();
    let mut roots: Vec<PathBuf> = known.lines().map(PathBuf::from).filter(|root| root.is_dir()).collect();
    if let Some(root) = allow
        && !roots.iter().any(|known| known == root)
    {
        roots.push(root.to_path_buf());
    }
    let text: String = roots.iter().map(|root| format!("{}\n", root.display())).collect();
    if text != known {
        std::fs::write(files.roots(), text).map_err(|error| at(&files.roots(), "write", &error))?;
    }
    Ok(roots)
}

fn open_log(files: &Files) -> Result<(File, u64), Problem> {
    let path = files.log();
    if std::fs::metadata(&path).is_ok_and(|metadata| metadata.len() > MAX_LOG_BYTES) {
        let _ = std::fs::rename(&path, files.folder.join("server.log.1"));
    }
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
    let mut log = log.map_err(|error| at(&path, "open", &error))?;
    let start = log.seek(SeekFrom::End(0)).map_err(|error| at(&path, "read", &error))?;
    log.flush().map_err(|error| at(&path, "write", &error))?;
    Ok((log, start))
}

fn did_not_start(what: &str, files: &Files, log_start: u64) -> Problem {
    let mut problem = Problem::new(Exit::Unusable, what);
    let mut text = Vec::new();
    if let Ok(mut log) = File::open(files.log()) {
        let _ = log.seek(SeekFrom::Start(log_start));
        let _ = log.take(64 * 1024).read_to_end(&mut text);
    }
    let shown = escape::block_of_bytes(&text);
    let lines: Vec<&str> = shown.lines().collect();
    for line in lines.iter().skip(lines.len().saturating_sub(SHOWN_LOG_LINES)) {
        problem = problem.detail(format!("| {line}"));
    }
    problem.next(format!(
        "correct what it says; its whole log is {}",
        files.log().display()
    ))
}

fn at(path: &Path, verb: &str, error: &std::io::Error) -> Problem {
    Problem::new(Exit::Unusable, format!("cannot {verb} {}: {error}", path.display()))
        .next("the private server needs a folder of its own to write to; XDG_DATA_HOME names another")
}
