//! Running the real command in an environment of its own.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tempfile::TempDir;
use tokio::process::Command;

/// A home folder for one test.
pub(crate) struct Home {
    folder: TempDir,
}

/// What the command did.
#[derive(Debug, PartialEq)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Home {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    /// The private server's folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.path().join(".local/share/backspace")
    }

    pub(crate) fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    /// The command, with nothing of our environment but where programs are.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_backspace"));
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.path())
            .current_dir(self.path());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Ran {
        self.command(arguments).output().await.unwrap().into()
    }

    /// Runs against a server at an address.
    pub(crate) async fn run_on(&self, address: &str, arguments: &[&str]) -> Ran {
        self.command(arguments)
            .env("BACKSPACE_SERVER", address)
            .output()
            .await
            .unwrap()
            .into()
    }

    /// The command with a stand-in for `backspace-server`, which is ready at an address that serves
    /// already; without one, it fails.
    pub(crate) fn privately(&self, address: Option<&str>, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        command.env(
            "BACKSPACE_SERVER_BIN",
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/stand-in.sh"),
        );
        command.envs(address.map(|address| ("STAND_IN_ADDRESS", address)));
        command
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).unwrap_or_default()
    }
}

/// Makes a folder look like a git repository.
pub(crate) fn make_repository(folder: &Path) {
    std::fs::create_dir_all(folder.join(".git")).unwrap();
}
