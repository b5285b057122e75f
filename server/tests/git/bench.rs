//! A repository, its quarantine and real sandboxes of the local backend.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use backspace_server::forge::git::{DiffRequest, GitLimits, Mirror, Quarantine};
use backspace_server::jobs::Jobs;
use backspace_server::orchestrator::workspace::Workspace;
use backspace_server::sandbox::local::{LocalConfig, LocalProvider, find_supervisor};
use backspace_server::sandbox::{ExecSpec, Sandbox, SandboxProvider, SandboxSpec};
use backspace_server::task::id::TaskId;
use backspace_server::task::record::Checkpoint;

use crate::fixture::{Bare, Fixture, git, main_branch};

pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// A repository and a provider of sandboxes.
pub(crate) struct Bench {
    pub(crate) fixture: Fixture,
    pub(crate) provider: LocalProvider,
    pub(crate) mirror: Mirror,
    pub(crate) task: TaskId,
    pub(crate) quarantine: Quarantine,
}

impl Bench {
    pub(crate) async fn new(files: &[(&str, &[u8])]) -> Self {
        let fixture = Fixture::new().await;
        let bare = fixture.bare("a.git", files);
        Self::over(fixture, &bare).await
    }

    pub(crate) async fn with_limits(limits: GitLimits, files: &[(&str, &[u8])]) -> Self {
        let fixture = Fixture::with_limits(limits).await;
        let bare = fixture.bare("a.git", files);
        Self::over(fixture, &bare).await
    }

    pub(crate) async fn over(fixture: Fixture, bare: &Bare) -> Self {
        let supervisor = find_supervisor(&std::env::current_exe().unwrap());
        let supervisor = supervisor.expect("run `cargo build -p sandbox-supervisor` first");
        let config = LocalConfig::new(fixture.path("sandboxes"), supervisor);
        let provider = LocalProvider::new(config, Jobs::new()).unwrap();
        let mirror = fixture.mirror(bare).await;
        let task = TaskId::random();
        let quarantine = fixture.store.quarantine(task, &mirror).unwrap();
        Self {
            fixture,
            provider,
            mirror,
            task,
            quarantine,
        }
    }

    fn spec(&self) -> SandboxSpec {
        SandboxSpec {
            objects: Some(self.mirror.objects.clone()),
            ..SandboxSpec::of_no_task(10 * MINUTE)
        }
    }

    pub(crate) async fn sandbox(&self) -> Arc<dyn Sandbox> {
        self.provider.create(self.spec()).await.unwrap()
    }

    /// Makes a sandbox over a kept checkout.
    pub(crate) async fn over_checkout(&self, kept: Option<PathBuf>) -> (Arc<dyn Sandbox>, Workspace) {
        let spec = SandboxSpec {
            checkout: Some(kept.unwrap()),
            ..self.spec()
        };
        let sandbox = self.provider.create(spec).await.unwrap();
        let workspace = Workspace::over_checkout(Arc::clone(&sandbox), self.quarantine.clone());
        (sandbox, workspace)
    }

    /// Lists the files that differ from the base.
    pub(crate) async fn changed(&self, checkpoint: &Checkpoint) -> Vec<String> {
        let (_, base_tree) = self.quarantine.base();
        let diff = self.quarantine.diff(base_tree, &checkpoint.tree, DiffRequest::Files);
        let files = diff.await.unwrap().files;
        files.iter().map(|file| file.display_path()).collect()
    }

    /// Makes a sandbox whose work tree can be kept.
    pub(crate) async fn keepable_workspace(&self) -> (Arc<dyn Sandbox>, Workspace) {
        let sandbox = self.provider.create_for_checkout(self.spec()).await.unwrap().unwrap();
        self.workspace_in(sandbox).await
    }

    /// Makes a sandbox that is not shown the mirror's objects, as on a machine that can't mount them.
    pub(crate) async fn blind_sandbox(&self) -> Arc<dyn Sandbox> {
        let spec = SandboxSpec {
            objects: None,
            ..self.spec()
        };
        self.provider.create(spec).await.unwrap()
    }

    pub(crate) async fn workspace(&self) -> (Arc<dyn Sandbox>, Workspace) {
        let sandbox = self.sandbox().await;
        self.workspace_in(sandbox).await
    }

    async fn workspace_in(&self, sandbox: Arc<dyn Sandbox>) -> (Arc<dyn Sandbox>, Workspace) {
        let workspace = Workspace::materialize(Arc::clone(&sandbox), self.quarantine.clone(), &main_branch()).await;
        (sandbox, workspace.unwrap())
    }

    /// Lists a saved tree: mode, path and content of each file.
    pub(crate) fn content(&self, checkpoint: &Checkpoint) -> Vec<String> {
        let quarantine = self.quarantine_folder();
        let list = git(Some(&quarantine), &["ls-tree", "-r", checkpoint.tree.as_str()]);
        list.lines()
            .map(|line| {
                let (head, path) = line.split_once('\t').unwrap();
                let words: Vec<&str> = head.split(' ').collect();
                let content = match words[1] {
                    "blob" => git(Some(&quarantine), &["cat-file", "blob", words[2]]),
                    kind => kind.into(),
                };
                format!("{} {path} {content}", words[0])
            })
            .collect()
    }

    pub(crate) fn quarantine_folder(&self) -> std::path::PathBuf {
        let entries = std::fs::read_dir(self.fixture.path("git/quarantines")).unwrap();
        entries.map(|entry| entry.unwrap().path()).next().unwrap()
    }
}

pub(crate) async fn sh(sandbox: &Arc<dyn Sandbox>, command: &str) -> String {
    let report = sandbox.exec(ExecSpec::shell(command, MINUTE), None).await.unwrap();
    let output = String::from_utf8(report.output).unwrap();
    assert_eq!(report.exit_code, Some(0), "{command}: {output}");
    output
}
