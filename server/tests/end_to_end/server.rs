//! The server as a process: started, killed, stopped in good order, and started again on the same data.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use backspace_sdk::{Client, Options, Token};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::event_log::PATIENCE;
use crate::site::Site;

/// The sandbox backend of all servers here: `local`, unless the part that runs these tests again for another says so.
pub fn backend() -> String {
    std::env::var("BACKSPACE_TEST_SANDBOX").unwrap_or_else(|_| "local".into())
}

/// How a server is started.
pub struct Launch<'a> {
    site: &'a Site,
    flags: Vec<String>,
    environment: Vec<(String, String)>,
}

/// A running server. Killed when dropped; a failing test shows its log.
pub struct TestServer {
    process: Child,
    address: String,
    log: Arc<Mutex<Vec<String>>>,
    lines: watch::Receiver<usize>,
}

impl<'a> Launch<'a> {
    pub fn new(site: &'a Site) -> Self {
        Self {
            site,
            flags: Vec::new(),
            environment: Vec::new(),
        }
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn flag(mut self, name: &str, value: &str) -> Self {
        self.flags.extend([name.to_owned(), value.to_owned()]);
        self
    }

    pub fn switch(mut self, name: &str) -> Self {
        self.flags.push(name.to_owned());
        self
    }

    pub async fn start(self) -> TestServer {
        let server = PathBuf::from(env!("CARGO_BIN_EXE_backspace-server"));
        let supervisor = server.with_file_name("backspace-supervisor");
        assert!(
            supervisor.is_file(),
            "{} is missing: run `make supervisor` first",
            supervisor.display()
        );
        let ready = self.site.path("ready");
        drop(std::fs::remove_file(&ready));
        let mut process = Command::new(server)
            .args(["--listen", "127.0.0.1:0", "--exit-with-parent", "--sandbox"])
            .arg(backend())
            .args(["--rate-limit-requests", "1000"])
            .arg("--ready-file")
            .arg(&ready)
            .arg("--data-folder")
            .arg(self.site.path("data"))
            .arg("--allow-local")
            .arg(self.site.path("repositories"))
            .arg("--scripts")
            .arg(self.site.path("scripts"))
            .args(&self.flags)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.site.path("home"))
            .env("BACKSPACE_SUPERVISOR", supervisor)
            .envs(self.environment)
            .envs(std::env::var_os("BACKSPACE_IMAGE").map(|image| ("BACKSPACE_IMAGE", image)))
            // No `.env` of the developer's is read.
            .current_dir(self.site.root())
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (sender, lines) = watch::channel(0);
        let mut stderr = BufReader::new(process.stderr.take().unwrap()).lines();
        let kept = Arc::clone(&log);
        #[expect(clippy::disallowed_methods, reason = "a test has no Jobs")]
        tokio::spawn(async move {
            while let Ok(Some(line)) = stderr.next_line().await {
                kept.lock().unwrap().push(line);
                sender.send_modify(|count| *count += 1);
            }
        });
        let mut server = TestServer {
            process,
            address: String::new(),
            log,
            lines,
        };
        server.log_line("serving").await;
        server.address = format!("http://{}", std::fs::read_to_string(ready).unwrap().trim());
        server
    }
}

impl TestServer {
    pub fn client(&self) -> Client {
        Client::connect_lazy(&self.address, Options::default()).unwrap()
    }

    pub fn client_of(&self, token: &str) -> Client {
        let options = Options {
            token: Some(Token::new(token).unwrap()),
            ..Options::default()
        };
        Client::connect_lazy(&self.address, options).unwrap()
    }

    /// Returns where the server answers, as `127.0.0.1:<port>`.
    pub fn authority(&self) -> &str {
        self.address.trim_start_matches("http://")
    }

    /// Returns the id of the process.
    pub fn id(&self) -> u32 {
        self.process.id().expect("it runs")
    }

    /// Waits until the server has logged a text.
    pub async fn log_line(&mut self, text: &str) {
        let written = async {
            while !self.log.lock().unwrap().iter().any(|line| line.contains(text)) {
                self.lines.changed().await.expect("the server ended");
            }
        };
        let is_written = tokio::time::timeout(PATIENCE, written).await.is_ok();
        assert!(is_written, "the server did not log {text:?}");
    }

    /// Ends the process at once, as a crash does.
    pub async fn kill9(mut self) {
        self.process.kill().await.unwrap();
    }

    /// Returns what the server has logged, a line each.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Asks the process to stop, without waiting.
    pub fn begin_to_stop(&self) {
        let id = rustix::process::Pid::from_raw(self.process.id().unwrap().try_into().unwrap()).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    }

    /// Waits for the end of the process.
    pub async fn ended(mut self) -> ExitStatus {
        let status = tokio::time::timeout(PATIENCE, self.process.wait()).await;
        status.expect("the server did not stop").unwrap()
    }

    /// Stops the process in good order. Every run has ended, and given its sandbox up or left it, when this returns.
    pub async fn terminate(self) {
        self.begin_to_stop();
        assert_eq!(self.ended().await.code(), Some(0));
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of the server\n{}\n---", self.log.lock().unwrap().join("\n"));
        }
    }
}
