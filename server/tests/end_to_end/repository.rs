//! A bare repository as its owner sees it, by the git command.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tokio::sync::mpsc;

/// A bare repository.
pub struct Repository {
    bare: PathBuf,
}

impl Repository {
    pub fn make(bare: PathBuf, seed: &Path, files: &[(&str, &str)]) -> Self {
        for (path, content) in files {
            let path = seed.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        let seed = seed.to_str().unwrap();
        run(&["-c", "init.defaultBranch=main", "init", "-q", seed]);
        run(&["-C", seed, "add", "-A"]);
        run(&["-C", seed, "commit", "-qm", "Begin"]);
        run(&["clone", "-q", "--bare", seed, bare.to_str().unwrap()]);
        Self { bare }
    }

    /// Takes a bare repository that was made in another way.
    pub fn of(bare: PathBuf) -> Self {
        Self { bare }
    }

    pub fn url(&self) -> String {
        self.bare.to_str().unwrap().to_owned()
    }

    /// Runs git in the repository and returns what it says, without the last line end.
    pub fn git(&self, arguments: &[&str]) -> String {
        let mut all = vec!["--git-dir", self.bare.to_str().unwrap()];
        all.extend_from_slice(arguments);
        run(&all)
    }

    /// Puts a commit of somebody else on a branch, without asking its hooks; returns its id.
    pub fn others_commit(&self, branch: &str, files: &[(&str, &str)]) -> String {
        let clone = tempfile::tempdir().unwrap();
        let path = clone.path().to_str().unwrap();
        run(&["clone", "-q", "--branch", branch, self.bare.to_str().unwrap(), path]);
        for (name, content) in files {
            std::fs::write(clone.path().join(name), content).unwrap();
        }
        run(&["-C", path, "add", "-A"]);
        run(&["-C", path, "commit", "-qm", "Work of others"]);
        self.git(&["fetch", "-q", path, &format!("+HEAD:refs/heads/{branch}")]);
        self.git(&["rev-parse", branch])
    }

    /// Returns every branch but `main`.
    pub fn branches(&self) -> Vec<String> {
        let all = self.git(&["for-each-ref", "--format=%(refname:short)", "refs/heads"]);
        all.lines().filter(|name| *name != "main").map(str::to_owned).collect()
    }

    /// Returns the one branch that was pushed.
    pub fn only_branch(&self) -> String {
        let branches = self.branches();
        assert_eq!(branches.len(), 1, "{branches:?}");
        branches[0].clone()
    }

    /// Returns the files that a branch changes, one `<status>\t<path>` each.
    pub fn changes(&self, branch: &str) -> Vec<String> {
        let all = self.git(&["diff", "--name-status", "main", branch]);
        all.lines().map(str::to_owned).collect()
    }

    pub fn file(&self, branch: &str, path: &str) -> String {
        self.git(&["show", &format!("{branch}:{path}")])
    }
}

/// Runs git as Ada, and returns what it says without the last line end.
pub fn run(arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(arguments)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .envs([("GIT_AUTHOR_NAME", "Ada"), ("GIT_AUTHOR_EMAIL", "ada@example.invalid")])
        .envs([
            ("GIT_COMMITTER_NAME", "Ada"),
            ("GIT_COMMITTER_EMAIL", "ada@example.invalid"),
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// Stops pushes in a hook of the repository: each says that it came, and waits for a line.
pub struct Gate {
    arrivals: mpsc::UnboundedReceiver<()>,
    /// Open for reading too, so that opening and writing never wait.
    lines: File,
}

impl Gate {
    pub fn install(repository: &Repository, folder: &Path) -> Self {
        let (came, go) = (folder.join("gate.came"), folder.join("gate.go"));
        let both_ways = |path: &Path| {
            assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
            OpenOptions::new().read(true).write(true).open(path).unwrap()
        };
        let (came_file, lines) = (both_ways(&came), both_ways(&go));
        let hook = repository.bare.join("hooks/pre-receive");
        let script = format!(
            "#!/bin/sh\necho came >{}\nread line <{}\n",
            came.display(),
            go.display()
        );
        std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
        std::fs::write(&hook, script).unwrap();
        std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
        let (sender, arrivals) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for _line in BufReader::new(came_file).lines().map_while(Result::ok) {
                if sender.send(()).is_err() {
                    return;
                }
            }
        });
        Self { arrivals, lines }
    }

    /// Waits for a push to stand before the gate.
    pub async fn reached(&mut self) {
        let arrival = tokio::time::timeout(crate::event_log::PATIENCE, self.arrivals.recv());
        arrival.await.expect("no push came to the gate").unwrap();
    }

    /// Lets every push through, those to come included.
    pub fn open(&self) {
        (&self.lines).write_all(&[b'\n'; 16]).unwrap();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}
