//! Everything of one test: a folder with the server's data, scripts and repositories.

use std::path::{Path, PathBuf};

use backspace_sdk::v1;
use serde_json::Value;
use tempfile::TempDir;

use crate::repository::{Gate, Repository};
use crate::server::{Launch, backend};

/// A test's folder; removed with it.
pub struct Site {
    folder: TempDir,
}

impl Site {
    pub fn new() -> Self {
        let site = Self {
            folder: tempfile::Builder::new().prefix("backspace-e2e.").tempdir().unwrap(),
        };
        for name in ["data", "home", "repositories", "scripts"] {
            std::fs::create_dir(site.path(name)).unwrap();
        }
        site
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// Writes, or replaces, the model `scripted/<name>`.
    pub fn script(&self, name: &str, turns: Value) {
        let text = toml::to_string(&serde_json::json!({ "turn": turns })).unwrap();
        // Replaced in one step: the server may be reading it.
        let new = self.path("scripts").join(format!("{name}.new"));
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.path("scripts").join(format!("{name}.toml"))).unwrap();
    }

    /// Makes a bare repository with one commit of these files, proved by `check`.
    pub fn repository(&self, name: &str, check: &str, files: &[(&str, &str)]) -> Repository {
        let settings = format!("[verify]\ncommands = [{}]\n", Value::from(check));
        let mut all = vec![(".backspace.toml", settings.as_str())];
        all.extend_from_slice(files);
        let bare = self.path("repositories").join(format!("{name}.git"));
        Repository::make(bare, &self.path(&format!("{name}.seed")), &all)
    }

    /// Makes the usual repository: `out.txt` holds `bad`, and the check wants `good`.
    pub fn red_repository(&self) -> Repository {
        self.repository("project", "grep -q good out.txt", &[("out.txt", "bad\n")])
    }

    /// Makes pushes to a repository stop before they land, until the gate is opened.
    pub fn gate(&self, repository: &Repository) -> Gate {
        Gate::install(repository, self.root())
    }

    pub fn serve(&self) -> Launch<'_> {
        Launch::new(self)
    }

    /// Returns the sandboxes that are on disk, or at the engine.
    pub fn sandboxes(&self) -> Vec<String> {
        if backend() == "local" {
            return file_names(&self.path("data/sandboxes/sandboxes"));
        }
        let instance = std::fs::read_to_string(self.path("data/docker/instance")).unwrap();
        let label = format!("label=backspace.instance={}", instance.trim());
        let listed = std::process::Command::new("docker")
            .args(["ps", "--all", "--format", "{{.Names}}", "--filter", &label])
            .output()
            .unwrap();
        assert!(listed.status.success(), "{listed:?}");
        let names = String::from_utf8(listed.stdout).unwrap();
        // A busy engine may go on listing one that it has removed, without a name.
        names
            .lines()
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// Returns the pull requests that the local forge holds.
    pub fn pull_requests(&self) -> Vec<Value> {
        let all = self.path("data/pull-requests");
        let folders = file_names(&all).into_iter().map(|name| all.join(name));
        let files = folders.flat_map(|folder| file_names(&folder).into_iter().map(move |name| folder.join(name)));
        files
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .map(|path| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
            .collect()
    }
}

/// What is kept at an engine outlives every server.
impl Drop for Site {
    fn drop(&mut self) {
        let Ok(instance) = std::fs::read_to_string(self.path("data/docker/instance")) else {
            return;
        };
        let filter = format!("label=backspace.instance={}", instance.trim());
        let docker = |arguments: &[&str]| std::process::Command::new("docker").args(arguments).output();
        let listed = docker(&["volume", "ls", "--quiet", "--filter", &filter]);
        for volume in String::from_utf8_lossy(&listed.map(|listed| listed.stdout).unwrap_or_default()).lines() {
            drop(docker(&["volume", "rm", volume]));
        }
    }
}

fn file_names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Asks for the usual change of a repository, by a scripted model.
pub fn spec(repository: &Repository, script: &str) -> v1::TaskSpec {
    v1::TaskSpec {
        instruction: "Make the output good".into(),
        repository: Some(v1::Repository {
            url: repository.url(),
            revision: None,
        }),
        model: format!("scripted/{script}"),
        ..v1::TaskSpec::default()
    }
}
