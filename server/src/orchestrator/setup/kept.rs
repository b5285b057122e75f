//! What set-up commands left, kept for the Tasks that would run the same ones on the same locks.
//!
//! The commands run in a sandbox of their own, which ends before anything of it is used: so no agent can write in what
//! is kept, and the first Task works with the same as the second. It is kept by repository and credential (the mirror's
//! folder) and by where the base came from: whoever may push to one branch decides nothing for the Tasks of another.
//! What changes files that git knows, or leaves such as git would take in, is not kept: it would be part of each change.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::Setup;
use super::facts::Facts;
use super::inputs::Inputs;
use crate::forge::git::{Mirror, Quarantine};
use crate::jobs::Jobs;
use crate::metrics::{self, Lookup};
use crate::orchestrator::Parts;
use crate::orchestrator::analyse::settings::SetupCache;
use crate::orchestrator::run::Halt;
use crate::orchestrator::run_log::RunLog;
use crate::orchestrator::workbench::{discard, git_halt};
use crate::orchestrator::workspace::Workspace;
use crate::sandbox::{ExecSpec, FileRequest, KeptSetup, Sandbox, SandboxSpec, WORK_TREE};
use crate::task::branch::BranchName;
use crate::task::event::EventPayload;
use crate::task::id::{ObjectId, SandboxId, Timestamp};

const STRIP: &str = include_str!("strip.sh");
const REFRESH: &str = include_str!("refresh.sh");

/// Where commands have their home.
const HOME: &str = "/home/agent";

/// Longest time of each script.
const SCRIPT_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// Exit status of a script when what the commands left is not to be kept.
const NOT_ONLY_IGNORED: i32 = 3;

/// Where the paths that are made newer are listed.
const LIST: &str = ".git/backspace/newer";

/// Most bytes of that list: one piece of a file.
const MAX_LIST_BYTES: usize = 384 * 1024;

/// What is noted of a kept result.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    /// The commit that the commands ran on.
    commit: String,
    /// When.
    time: Timestamp,
}

/// What a Task starts from.
pub(in crate::orchestrator) struct Start<'a> {
    pub(in crate::orchestrator) mirror: &'a Mirror,
    pub(in crate::orchestrator) quarantine: &'a Quarantine,
    pub(in crate::orchestrator) branch: &'a BranchName,
    /// The branch that the base is of, or the commit that a caller named.
    pub(in crate::orchestrator) origin: &'a str,
    /// The image's content, for backends that use one.
    pub(in crate::orchestrator) image: Option<&'a str>,
}

impl Setup {
    /// Returns what the commands left: what an earlier Task kept, or what they leave now in a sandbox of their own. `None`
    /// where nothing is kept, and they are to run in the Task's own. `spec` is that of the Task's sandbox.
    pub(in crate::orchestrator) async fn kept(
        &self,
        parts: &Parts,
        log: &RunLog,
        start: &Start<'_>,
        spec: &SandboxSpec,
    ) -> Result<Option<KeptSetup>, Halt> {
        if self.commands.is_empty() || self.cache == SetupCache::Refused {
            return Ok(None);
        }
        let key = self.key(parts, start).await?;
        if let Some(kept) = parts.sandboxes.setup(&key).await {
            metrics::count_setup(Lookup::Hit);
            return Ok(Some(kept));
        }
        metrics::count_setup(Lookup::Miss);
        let unfit = format!("unfit set-up:1:{key}");
        if parts.store.recall(&unfit).await?.is_some() {
            return Ok(None);
        }
        let spec = SandboxSpec {
            id: SandboxId::random(),
            ..spec.clone()
        };
        let Some(sandbox) = parts.sandboxes.create_for_setup(spec).await? else {
            return Ok(None);
        };
        let sandbox = Passing::new(sandbox, &parts.jobs);
        match self.make(parts, log, start, &sandbox.sandbox, &key).await {
            Ok(Made::Kept(kept)) => {
                sandbox.forget();
                Ok(Some(kept))
            }
            Ok(Made::Unfit(why)) => {
                sandbox.end().await;
                parts.store.remember(&unfit, &why, Timestamp::now()).await?;
                let message =
                    format!("the result of the set-up is not kept, and each task on this commit sets up anew: {why}");
                log.events(vec![EventPayload::Warning { message }]).await?;
                Ok(None)
            }
            Ok(Made::NoRoom) => {
                sandbox.end().await;
                Ok(None)
            }
            Err(halt) => {
                sandbox.end().await;
                Err(halt)
            }
        }
    }

    async fn make(
        &self,
        parts: &Parts,
        log: &RunLog,
        start: &Start<'_>,
        sandbox: &Arc<dyn Sandbox>,
        key: &str,
    ) -> Result<Made, Halt> {
        let workspace = Workspace::materialize(Arc::clone(sandbox), start.quarantine.clone(), start.branch).await?;
        if workspace.has_phantoms() {
            return Ok(Made::Unfit("attributes change files on their way out".into()));
        }
        self.run(parts, log, sandbox.as_ref()).await?;
        let report = sandbox.exec(script(STRIP, &[WORK_TREE, HOME]), None).await?;
        let said = String::from_utf8_lossy(&report.output).into_owned();
        let bytes = match (report.exit_code, said.trim().parse()) {
            (Some(0), Ok(bytes)) => bytes,
            (Some(NOT_ONLY_IGNORED), _) => {
                let names = parts.redactor.mask(said.trim()).replace('\n', ", ");
                return Ok(Made::Unfit(format!(
                    "it left more than files that git ignores ({names}); have .gitignore name them"
                )));
            }
            _ => {
                let message = said.trim();
                tracing::warn!(exit_code = ?report.exit_code, message, "the result of a set-up could not be looked at");
                return Ok(Made::NoRoom);
            }
        };
        let note = Note {
            commit: start.mirror.commit.to_string(),
            time: Timestamp::now(),
        };
        let note = serde_json::to_string(&note).unwrap_or_default();
        let kept = parts.sandboxes.keep_setup(sandbox, key, &note, bytes).await?;
        Ok(kept.map_or(Made::NoRoom, Made::Kept))
    }

    async fn key(&self, parts: &Parts, start: &Start<'_>) -> Result<String, Halt> {
        let inputs = Inputs::new(&self.commands, &self.inputs);
        let files = parts.git.files_at(start.mirror, |path| inputs.has(path));
        let files = files.await.map_err(git_halt)?;
        let facts = Facts {
            backend: parts.sandboxes.name(),
            tools: &parts.sandboxes.tools(),
            repository_and_credential: start.mirror.folder.as_os_str().as_encoded_bytes(),
            origin: start.origin,
            image: start.image.unwrap_or_default(),
            commands: &self.commands,
            hosts: &self.hosts.to_texts(),
            files: &files,
        };
        Ok(facts.key())
    }
}

/// What became of a set-up in a sandbox of its own.
enum Made {
    Kept(KeptSetup),
    /// It is never kept, for this reason.
    Unfit(String),
    /// It is not kept this time.
    NoRoom,
}

/// Says that a kept result is used.
pub(in crate::orchestrator) async fn tell(log: &RunLog, kept: &KeptSetup) -> Result<(), Halt> {
    let time = note(kept).map_or_else(|| "an earlier task".to_owned(), |note| minute(note.time));
    Ok(log
        .step(13, &format!("Set-up: the kept result of {time} is used"))
        .await?)
}

/// Makes the files that differ from those the commands ran on newer than what they built; only a checkout that was
/// kept can be older than that.
pub(in crate::orchestrator) async fn refresh(
    parts: &Parts,
    mirror: &Mirror,
    sandbox: &dyn Sandbox,
    kept: &KeptSetup,
) -> Result<(), Halt> {
    let commit = note(kept).and_then(|note| note.commit.parse::<ObjectId>().ok());
    if commit.as_ref() == Some(&mirror.commit) {
        return Ok(());
    }
    let changed = match &commit {
        Some(commit) => parts
            .git
            .changed_since(mirror, commit, MAX_LIST_BYTES)
            .await
            .map_err(git_halt)?,
        None => None,
    };
    if let Some(list) = changed {
        if list.is_empty() {
            return Ok(());
        }
        let request = FileRequest::Write {
            path: format!("{WORK_TREE}/{LIST}"),
            content: STANDARD.encode(list),
        };
        if let Err(error) = sandbox.file(request).await? {
            tracing::warn!(%error, "the list of changed files could not be written; all are made newer");
        }
    }
    let report = sandbox.exec(script(REFRESH, &[WORK_TREE, LIST]), None).await?;
    if report.exit_code != Some(0) {
        tracing::warn!(exit_code = ?report.exit_code, "files could not be made newer than the set-up's result");
    }
    Ok(())
}

fn note(kept: &KeptSetup) -> Option<Note> {
    serde_json::from_str(&kept.note).ok()
}

/// Returns a moment to the minute, as people read it.
fn minute(time: Timestamp) -> String {
    let time = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(time.0) * 1000).ok();
    let text = time.and_then(|time| time.format(&time::format_description::well_known::Rfc3339).ok());
    let text = text.unwrap_or_default();
    format!("{} UTC", text.get(..16).unwrap_or(&text).replace('T', " "))
}

fn script(text: &str, arguments: &[&str]) -> ExecSpec {
    let mut spec = ExecSpec::shell(text, SCRIPT_TIMEOUT);
    spec.argv.push("backspace".into());
    spec.argv.extend(arguments.iter().map(|&argument| argument.to_owned()));
    spec.folder = Some("/".into());
    spec
}

/// A sandbox that is ended when nobody waits for it any more: set-up commands may run for long.
struct Passing {
    sandbox: Arc<dyn Sandbox>,
    jobs: Option<Jobs>,
}

impl Passing {
    fn new(sandbox: Arc<dyn Sandbox>, jobs: &Jobs) -> Self {
        Self {
            sandbox,
            jobs: Some(jobs.clone()),
        }
    }

    fn forget(mut self) {
        self.jobs = None;
    }

    async fn end(mut self) {
        self.jobs = None;
        discard(self.sandbox.as_ref()).await;
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        if let Some(jobs) = self.jobs.take() {
            let sandbox = Arc::clone(&self.sandbox);
            jobs.spawn("end a set-up's sandbox", async move { discard(sandbox.as_ref()).await });
        }
    }
}
