//! Runs git: one child with a cleared environment, bounded output, a deadline and hard limits.
//!
//! It never runs git in, or pointed at, a work tree: every call names a `--git-dir` of ours or none
//! at all. File size and memory limits are set by a one-line shell before git starts, because the
//! server has no unsafe code and a limit set by the kernel needs no watching.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use crate::forge::git::error::{GitError, clean_message};
use crate::forge::{Credential, GitTransport};

/// Most bytes of stderr that are read; the rest is drained.
const MAX_STDERR_BYTES: u64 = 16 * 1024;

/// Sets limits in blocks of 512 bytes and in KiB (0 = none), then becomes git.
const LIMITED: &str =
    r#"[ "$1" = 0 ] || ulimit -f "$1"; [ "$2" = 0 ] || ulimit -v "$2"; ulimit -c 0; shift 2; exec "$@""#;

/// Settings on every command line; they must not reach a `receive-pack` of somebody else's, so they
/// are not in the configuration file.
const SETTINGS: [&str; 3] = ["core.hooksPath=/dev/null", "gc.auto=0", "maintenance.auto=false"];

/// The installed git and what every call of it gets.
#[derive(Clone, Debug)]
pub(crate) struct Git {
    pub(crate) program: PathBuf,
    /// Home and working folder of every call; holds no repository itself.
    pub(crate) folder: PathBuf,
    /// Proxy and certificate variables, for remotes over HTTP only.
    pub(crate) network_environment: Vec<(String, String)>,
}

/// How a call reaches a remote.
#[derive(Clone)]
pub(crate) struct Reach {
    pub(crate) transport: GitTransport,
    /// The remote, as errors name it.
    pub(crate) name: String,
    /// Sent to this scheme and host only.
    pub(crate) credential: Option<(String, Credential)>,
    /// Configuration file that trusts exactly this repository, for local ones.
    pub(crate) configuration: Option<PathBuf>,
}

/// One call of git.
pub(crate) struct Call {
    what: String,
    arguments: Vec<OsString>,
    git_dir: Option<PathBuf>,
    reach: Option<Reach>,
    environment: Vec<(&'static str, OsString)>,
    timeout: Duration,
    stdout_bytes: usize,
    file_bytes: u64,
    memory_bytes: u64,
}

/// How a call ended.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    /// Cleaned and bounded.
    pub(crate) stderr: String,
    /// True when stdout had more than the call allowed; git was killed then.
    pub(crate) truncated: bool,
}

impl Call {
    /// Makes a call of a subcommand: no repository, no network, 60 s, 1 MiB of output.
    pub(crate) fn new<I, S>(arguments: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<OsString>,
    {
        let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
        let name = arguments.first().map(|name| name.to_string_lossy().into_owned());
        Self {
            what: name.unwrap_or_default(),
            arguments,
            git_dir: None,
            reach: None,
            environment: Vec::new(),
            timeout: Duration::from_secs(60),
            stdout_bytes: 1 << 20,
            file_bytes: 0,
            memory_bytes: 0,
        }
    }

    pub(crate) fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub(crate) fn git_dir(mut self, folder: &Path) -> Self {
        self.git_dir = Some(folder.into());
        self
    }

    pub(crate) fn reach(mut self, reach: Reach) -> Self {
        self.reach = Some(reach);
        self
    }

    pub(crate) fn environment(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    pub(crate) fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    pub(crate) fn stdout_bytes(mut self, most: usize) -> Self {
        self.stdout_bytes = most;
        self
    }

    /// Limits every file that git writes.
    pub(crate) fn file_bytes(mut self, most: u64) -> Self {
        self.file_bytes = most;
        self
    }

    /// Limits git's address space.
    pub(crate) fn memory_bytes(mut self, most: u64) -> Self {
        self.memory_bytes = most;
        self
    }

    /// Names the call in errors, where its first argument is not the subcommand.
    pub(crate) fn named(mut self, what: &str) -> Self {
        self.what = what.into();
        self
    }
}

impl Output {
    /// Returns the lines of stdout as text.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        std::str::from_utf8(&self.stdout).unwrap_or_default().lines()
    }
}

impl Git {
    /// The configuration file that trusts no repository but ours.
    pub(crate) fn configuration(&self) -> PathBuf {
        self.folder.join("gitconfig")
    }

    /// Runs a call to its end; an exit status other than 0 is an error.
    pub(crate) async fn run(&self, call: Call) -> Result<Output, GitError> {
        let what = call.what.clone();
        let output = self.attempt(call, &[]).await?;
        output.require_success(&what)
    }

    /// Runs a call with bytes on its stdin; an exit status other than 0 is an error.
    pub(crate) async fn run_with_input(&self, call: Call, input: &[u8]) -> Result<Output, GitError> {
        let what = call.what.clone();
        let output = self.attempt(call, input).await?;
        output.require_success(&what)
    }

    /// Runs a call to its end, whatever its exit status. Dropping the future kills git and its children.
    pub(crate) async fn attempt(&self, call: Call, input: &[u8]) -> Result<Output, GitError> {
        let most = call.stdout_bytes;
        let what = call.what.clone();
        let (read, status, stderr) = self
            .drive(call, async |mut stdin, stdout| {
                let write = async {
                    // Git may end before it has read all; its exit status tells why.
                    let _ = stdin.write_all(input).await;
                    drop(stdin);
                };
                let ((), read) = tokio::join!(write, read_bounded(stdout, most));
                let then = match &read {
                    Ok((_, false)) => Then::Wait,
                    Ok((_, true)) | Err(_) => Then::Kill,
                };
                (read, then)
            })
            .await?;
        let (stdout, truncated) = read.map_err(|error| GitError::internal(&what, error))?;
        Ok(Output {
            status,
            stdout,
            stderr,
            truncated,
        })
    }

    /// Runs a call while `work` uses its stdin and stdout, within the call's time. Dropping the future
    /// kills git and its children.
    pub(crate) async fn drive<T>(
        &self,
        call: Call,
        work: impl AsyncFnOnce(ChildStdin, ChildStdout) -> (T, Then),
    ) -> Result<(T, ExitStatus, String), GitError> {
        let what = call.what.clone();
        let mut child = self.command(&call).spawn().map_err(|error| GitError::Unusable {
            message: format!("{} can't be started: {error}", self.program.display()),
        })?;
        let mut group = Group::of(&child);
        let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(GitError::internal(&what, "it has no pipes"));
        };
        let timeout = call.timeout;
        let whole = async {
            let working = async {
                let (value, then) = work(stdin, stdout).await;
                if then == Then::Kill {
                    group.kill();
                }
                value
            };
            let (value, message) = tokio::join!(working, read_stderr(stderr));
            let status = child.wait().await.map_err(|error| GitError::internal(&what, error))?;
            // The leader is reaped: its number may belong to somebody else from now on.
            group.release();
            Ok((value, status, message))
        };
        let (value, status, message) = tokio::time::timeout(timeout, whole).await.unwrap_or_else(|_| {
            Err(GitError::TimedOut {
                what: what.clone(),
                after: timeout,
            })
        })?;
        let credential = call.reach.as_ref().and_then(|reach| reach.credential.as_ref());
        let secret = credential.map(|(_, credential)| credential.secret.expose());
        Ok((value, status, clean_message(&message, secret)))
    }

    fn command(&self, call: &Call) -> Command {
        let mut command = if call.file_bytes == 0 && call.memory_bytes == 0 {
            Command::new(&self.program)
        } else {
            let mut shell = Command::new("/bin/sh");
            shell.args(["-c", LIMITED, "git-with-limits"]);
            shell.arg(call.file_bytes.div_ceil(512).to_string());
            shell.arg(call.memory_bytes.div_ceil(1024).to_string());
            shell.arg(&self.program);
            shell
        };
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        command.env_clear();
        for (name, value) in [
            ("PATH", "/usr/local/bin:/usr/bin:/bin"),
            ("LC_ALL", "C"),
            ("TZ", "UTC"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_ATTR_NOSYSTEM", "1"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_OPTIONAL_LOCKS", "0"),
        ] {
            command.env(name, value);
        }
        command.env("HOME", &self.folder).env("XDG_CONFIG_HOME", &self.folder);
        command.env("GIT_CEILING_DIRECTORIES", &self.folder);
        command.env("GIT_CONFIG_GLOBAL", self.configuration());
        self.add_reach(&mut command, call.reach.as_ref());
        command.envs(call.environment.iter().map(|(name, value)| (name, value)));
        if let Some(git_dir) = &call.git_dir {
            command.arg("--git-dir").arg(git_dir);
        }
        command.args(&call.arguments).current_dir(&self.folder);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        command
    }

    fn add_reach(&self, command: &mut Command, reach: Option<&Reach>) {
        let Some(reach) = reach else {
            command.env("GIT_ALLOW_PROTOCOL", "none");
            return;
        };
        let protocol = match reach.transport {
            GitTransport::Https => "https",
            GitTransport::Http => "http",
            GitTransport::File => "file",
        };
        command.env("GIT_ALLOW_PROTOCOL", protocol);
        if protocol != "file" {
            command.envs(self.network_environment.iter().map(|(name, value)| (name, value)));
        }
        if let Some(configuration) = &reach.configuration {
            command.env("GIT_CONFIG_GLOBAL", configuration);
        }
        command.args(["-c", "credential.helper="]);
        if let Some((scope, credential)) = &reach.credential {
            // The helper reads the token from this child's environment; it is in no argument and no file.
            let helper = r#"!f() { test "$1" = get && printf 'username=%s\npassword=%s\n' "$BACKSPACE_GIT_USERNAME" "$BACKSPACE_GIT_TOKEN"; }; f"#;
            command.arg("-c").arg(format!("credential.{scope}.helper={helper}"));
            command.env("BACKSPACE_GIT_USERNAME", &credential.username);
            command.env("BACKSPACE_GIT_TOKEN", credential.secret.expose());
        }
    }
}

impl Output {
    pub(crate) fn require_success(self, what: &str) -> Result<Self, GitError> {
        if self.status.success() || self.truncated {
            Ok(self)
        } else {
            Err(GitError::internal(what, format!("{} ({})", self.stderr, self.status)))
        }
    }
}

/// What is to become of a git whose stdin and stdout were used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// It ends by itself.
    Wait,
    /// Nothing more is wanted of it.
    Kill,
}

/// Git's process group: git with the children that it starts. Dropping it kills them.
#[derive(Debug)]
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }

    fn kill(&mut self) {
        if let Some(group) = self.0.take() {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    fn release(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn read_stderr(mut stderr: ChildStderr) -> Vec<u8> {
    let mut message = Vec::new();
    let _ = (&mut stderr).take(MAX_STDERR_BYTES).read_to_end(&mut message).await;
    let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
    message
}

async fn read_bounded(stdout: impl AsyncRead + Unpin, most: usize) -> std::io::Result<(Vec<u8>, bool)> {
    let mut bytes = Vec::new();
    stdout.take(most as u64 + 1).read_to_end(&mut bytes).await?;
    let truncated = bytes.len() > most;
    bytes.truncate(most);
    Ok((bytes, truncated))
}
