//! What may be pushed: rules over the diff of two trees, a scan for secrets, a report on tests.
//!
//! A denial stops the push and keeps the work; a finding goes into the pull request for its reviewer.
//! The rules are the server's; a repository can only add to them (`narrowed`). Nothing here is told to
//! the agent as a way around: messages name file and rule, never a secret.

use std::collections::HashMap;
use std::sync::Arc;

use crate::forge::git::{ChangedFile, DiffRequest, GitError, Quarantine};
use crate::forge::policy::files::{FileRules, SymlinkTarget};
use crate::forge::policy::secrets::SecretScan;
use crate::forge::policy::tamper::TamperReport;
use crate::secret::Redactor;
use crate::task::id::ObjectId;
use crate::task::result::{Finding, FindingKind};

mod entropy;
mod files;
mod lines;
mod paths;
mod rules;
mod secrets;
mod tamper;

use lines::ChangedLine;

/// Most findings of one check; a change with more is denied for its size long before.
const MAX_FINDINGS: usize = 500;

/// Bounds and patterns of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyConfig {
    /// Paths that a change may not touch, beside the built-in ones: globs from the root.
    pub protected_paths: Vec<String>,
    /// Built-in protected paths that a change may touch after all: globs from the root.
    pub exempt_paths: Vec<String>,
    /// Most files in a change. 3,000.
    pub max_files: usize,
    /// Most added lines. 200,000.
    pub max_added_lines: u64,
    /// Largest new content of a file. 10 MiB.
    pub max_file_bytes: u64,
    /// What to do with texts that look like a secret by name and randomness alone.
    pub guessed_secrets: GuessedSecrets,
}

/// What to do with texts that look like a secret by name and randomness alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuessedSecrets {
    /// They stop the push.
    Deny,
    /// They are a finding for the reviewer.
    Report,
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self {
            protected_paths: Vec::new(),
            exempt_paths: Vec::new(),
            max_files: 3_000,
            max_added_lines: 200_000,
            max_file_bytes: 10 << 20,
            guessed_secrets: GuessedSecrets::Deny,
        }
    }
}

/// Why a policy can't be used. Fatal at start.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// A pattern of the configuration is not a glob.
    #[error("the path pattern `{pattern}` is not a glob: {message}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        message: String,
    },
    /// The secret scan did not find what was planted for it, or found something harmless.
    #[error("the secret scan failed its self-test: {message}")]
    SelfTest {
        /// The rule, and what it did.
        message: String,
    },
}

/// A reason not to push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Which rule: `protected_path`, `secret`, `size`, `submodule` or `symlink`.
    pub policy: &'static str,
    /// The file.
    pub subject: String,
    /// Why, for a person.
    pub message: String,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyReport {
    /// Reasons not to push.
    pub denials: Vec<Denial>,
    /// What a reviewer should look at; also one for each denied secret.
    pub findings: Vec<Finding>,
}

impl PolicyReport {
    fn deny(&mut self, policy: &'static str, subject: &str, message: impl Into<String>) {
        let denial = Denial {
            policy,
            subject: subject.into(),
            message: message.into(),
        };
        if self.denials.len() < MAX_FINDINGS && !self.denials.contains(&denial) {
            self.denials.push(denial);
        }
    }

    fn find(&mut self, kind: FindingKind, path: &str, message: impl Into<String>) {
        let finding = Finding {
            kind,
            path: path.into(),
            message: message.into(),
        };
        if self.findings.len() < MAX_FINDINGS && !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }
}

/// The rules, ready to be used. Clones are cheap.
#[derive(Clone, Debug)]
pub struct Policy {
    config: PolicyConfig,
    files: Arc<FileRules>,
    secrets: Arc<SecretScan>,
}

impl Policy {
    /// Compiles the rules and proves that the secret scan works.
    pub fn new(config: PolicyConfig, redactor: Arc<Redactor>) -> Result<Self, PolicyError> {
        let files = FileRules::new(&config.protected_paths, &config.exempt_paths)?;
        let secrets = SecretScan::new(redactor)?;
        secrets.self_test()?;
        Ok(Self {
            config,
            files: Arc::new(files),
            secrets: Arc::new(secrets),
        })
    }

    /// Returns the policy with a repository's own protected paths added. Exemptions of the server do not
    /// reach them.
    pub fn narrowed(&self, protected_paths: &[String]) -> Result<Self, PolicyError> {
        Ok(Self {
            files: Arc::new(self.files.with_protected(protected_paths)?),
            ..self.clone()
        })
    }

    /// Checks the change from one tree to another, both in the quarantine.
    pub async fn check(
        &self,
        quarantine: &Quarantine,
        old: &ObjectId,
        new: &ObjectId,
    ) -> Result<PolicyReport, GitError> {
        let diff = quarantine.diff(old, new, DiffRequest::Files).await?;
        let mut report = PolicyReport::default();
        self.check_amount(&diff.files, &mut report);
        if !report.denials.is_empty() {
            return Ok(report);
        }
        self.check_sizes(quarantine, &diff.files, &mut report).await?;
        let mut tamper = TamperReport::default();
        for file in &diff.files {
            self.files.check(file, &mut report);
            tamper.file(file, &mut report);
            self.check_path_for_secrets(file, &mut report);
        }
        let targets = self
            .check_lines(quarantine, old, new, &diff.files, &mut tamper, &mut report)
            .await?;
        for (index, target) in targets {
            if let Some(file) = diff.files.get(index) {
                target.check(&file.path, &mut report);
            }
        }
        tamper.finish(&diff.files, &mut report);
        Ok(report)
    }

    fn check_amount(&self, files: &[ChangedFile], report: &mut PolicyReport) {
        if files.len() > self.config.max_files {
            let message = format!(
                "{} files are changed; at most {} may be",
                files.len(),
                self.config.max_files
            );
            report.deny("size", "the change", message);
        }
        let added: u64 = files
            .iter()
            .filter_map(|file| file.lines)
            .map(|(added, _)| u64::from(added))
            .sum();
        if added > self.config.max_added_lines {
            let message = format!(
                "{added} lines are added; at most {} may be",
                self.config.max_added_lines
            );
            report.deny("size", "the change", message);
        }
    }

    async fn check_sizes(
        &self,
        quarantine: &Quarantine,
        files: &[ChangedFile],
        report: &mut PolicyReport,
    ) -> Result<(), GitError> {
        let blobs: Vec<(&ChangedFile, &ObjectId)> = files
            .iter()
            .filter(|file| !file.is_gitlink())
            .filter_map(|file| file.new_id.as_ref().map(|id| (file, id)))
            .collect();
        let ids: Vec<&ObjectId> = blobs.iter().map(|(_, id)| *id).collect();
        let sizes = quarantine.sizes_of(&ids).await?;
        for ((file, _), size) in blobs.iter().zip(sizes) {
            if size > self.config.max_file_bytes {
                let (size, most) = (size >> 10, self.config.max_file_bytes >> 10);
                let message = format!("the file has {size} KiB; at most {most} KiB may be pushed");
                report.deny("size", &file.display_path(), message);
            }
        }
        Ok(())
    }

    fn check_path_for_secrets(&self, file: &ChangedFile, report: &mut PolicyReport) {
        if let Some(hit) = self.secrets.scan(&file.path) {
            // The path itself can't be told then.
            report.deny(
                "secret",
                "a file name",
                format!("a changed file's name looks like {}", hit.rule),
            );
        }
    }

    async fn check_lines(
        &self,
        quarantine: &Quarantine,
        old: &ObjectId,
        new: &ObjectId,
        files: &[ChangedFile],
        tamper: &mut TamperReport,
        report: &mut PolicyReport,
    ) -> Result<HashMap<usize, SymlinkTarget>, GitError> {
        let mut targets: HashMap<usize, SymlinkTarget> = HashMap::new();
        let visit = |line: ChangedLine<'_>| {
            let Some(file) = files.get(line.file) else {
                return;
            };
            tamper.line(file, &line);
            if !line.is_added() {
                return;
            }
            if file.is_symlink() {
                targets.entry(line.file).or_default().push(line.text);
            }
            let Some(hit) = self.secrets.scan(line.text) else {
                return;
            };
            let path = file.display_path();
            let message = format!("line {} has what looks like {}", line.number, hit.rule);
            if !hit.is_guess || self.config.guessed_secrets == GuessedSecrets::Deny {
                report.deny("secret", &path, message.clone());
            }
            report.find(FindingKind::Secret, &path, message);
        };
        lines::each_changed_line(quarantine, old, new, files, visit).await?;
        Ok(targets)
    }
}
