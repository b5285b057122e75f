//! Rules over a changed file as such: where it is and what kind of thing.
//!
//! A rename counts for both paths. A submodule is denied, because it brings in what nobody here has
//! seen (most often it is a repository that was made inside the work tree by mistake).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::forge::git::ChangedFile;
use crate::forge::policy::paths::{PROTECTED, SENSITIVE};
use crate::forge::policy::{PolicyError, PolicyReport};
use crate::task::event::FileStatus;
use crate::task::result::FindingKind;

/// Longest target of a symbolic link that is looked at.
const MAX_TARGET_BYTES: usize = 4096;

/// Path rules with the reason for each pattern.
#[derive(Clone, Debug)]
pub(super) struct PathRules {
    globs: GlobSet,
    reasons: Vec<String>,
}

impl PathRules {
    pub(super) fn new<'a>(patterns: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, PolicyError> {
        let mut builder = GlobSetBuilder::new();
        let mut reasons = Vec::new();
        for (reason, pattern) in patterns {
            let wrong = |error: globset::Error| PolicyError::Pattern {
                pattern: pattern.into(),
                message: error.kind().to_string(),
            };
            let glob = GlobBuilder::new(pattern)
                .case_insensitive(true)
                .literal_separator(true)
                .empty_alternates(true)
                .build()
                .map_err(wrong)?;
            builder.add(glob);
            reasons.push(reason.to_owned());
        }
        let globs = builder.build().map_err(|error| PolicyError::Pattern {
            pattern: error.glob().unwrap_or_default().into(),
            message: error.kind().to_string(),
        })?;
        Ok(Self { globs, reasons })
    }

    pub(super) fn built_in(lists: &[(&'static str, &[&'static str])]) -> Result<Self, PolicyError> {
        let pairs = lists
            .iter()
            .flat_map(|(reason, patterns)| patterns.iter().map(move |pattern| (*reason, *pattern)));
        Self::new(pairs)
    }

    /// Returns the reason of the first pattern that matches.
    pub(super) fn reason(&self, path: &[u8]) -> Option<&str> {
        let matches = self.globs.matches(Path::new(OsStr::from_bytes(path)));
        matches
            .first()
            .and_then(|index| self.reasons.get(*index))
            .map(String::as_str)
    }
}

/// The rules of a server, and what a repository added.
#[derive(Clone, Debug)]
pub(super) struct FileRules {
    built_in: PathRules,
    exempt: PathRules,
    added: Vec<PathRules>,
    sensitive: PathRules,
}

impl FileRules {
    pub(super) fn new(protected: &[String], exempt: &[String]) -> Result<Self, PolicyError> {
        Ok(Self {
            built_in: PathRules::built_in(&PROTECTED)?,
            exempt: PathRules::new(exempt.iter().map(|pattern| ("", pattern.as_str())))?,
            added: vec![PathRules::new(
                protected
                    .iter()
                    .map(|pattern| ("this server protects it", pattern.as_str())),
            )?],
            sensitive: PathRules::built_in(&SENSITIVE)?,
        })
    }

    pub(super) fn with_protected(&self, protected: &[String]) -> Result<Self, PolicyError> {
        let mut narrowed = self.clone();
        let patterns = protected
            .iter()
            .map(|pattern| ("the repository protects it", pattern.as_str()));
        narrowed.added.push(PathRules::new(patterns)?);
        Ok(narrowed)
    }

    pub(super) fn check(&self, file: &ChangedFile, report: &mut PolicyReport) {
        let shown = file.display_path();
        for path in [Some(&file.path), file.old_path.as_ref()].into_iter().flatten() {
            if let Some(reason) = self.protection(path) {
                let subject = crate::forge::git::escape_path(path);
                report.deny(
                    "protected_path",
                    &subject,
                    format!("a change may not touch it: {reason}"),
                );
                report.find(FindingKind::SensitivePath, &subject, reason);
            } else if let Some(reason) = self.sensitive.reason(path) {
                report.find(FindingKind::SensitivePath, &shown, reason);
            }
        }
        self.check_kind(file, &shown, report);
    }

    fn protection(&self, path: &[u8]) -> Option<&str> {
        let added = self.added.iter().find_map(|rules| rules.reason(path));
        added.or_else(|| {
            self.built_in
                .reason(path)
                .filter(|_| self.exempt.reason(path).is_none())
        })
    }

    fn check_kind(&self, file: &ChangedFile, shown: &str, report: &mut PolicyReport) {
        if file.is_gitlink() {
            let message = "it is a repository inside the repository (a submodule); remove its .git to keep the files";
            report.deny("submodule", shown, message);
            report.find(FindingKind::UnusualFile, shown, "a submodule");
        } else if file.is_symlink() {
            report.find(FindingKind::UnusualFile, shown, "a symbolic link");
        } else if file.status != FileStatus::Deleted && file.lines.is_none() {
            report.find(FindingKind::UnusualFile, shown, "a binary file");
        }
        if file.old_mode == 0o100_644 && file.new_mode == 0o100_755 {
            report.find(FindingKind::UnusualFile, shown, "it became executable");
        }
    }
}

/// What a symbolic link points to, gathered from its lines.
#[derive(Debug, Default)]
pub(super) struct SymlinkTarget(Vec<u8>);

impl SymlinkTarget {
    pub(super) fn push(&mut self, line: &[u8]) {
        if !self.0.is_empty() {
            self.0.push(b'\n');
        }
        let room = (MAX_TARGET_BYTES + 1).saturating_sub(self.0.len());
        self.0.extend(line.iter().take(room));
    }

    /// Denies a link that leaves the repository, or leads into a git folder.
    pub(super) fn check(&self, link: &[u8], report: &mut PolicyReport) {
        let subject = crate::forge::git::escape_path(link);
        if self.0.len() > MAX_TARGET_BYTES || self.0.first() == Some(&b'/') || !stays_inside(link, &self.0) {
            report.deny("symlink", &subject, "the symbolic link leaves the repository");
        } else if self
            .0
            .split(|byte| *byte == b'/')
            .any(|part| part.eq_ignore_ascii_case(b".git"))
        {
            report.deny("symlink", &subject, "the symbolic link leads into a git folder");
        }
    }
}

/// Follows a relative target from a link's folder, by names alone.
fn stays_inside(link: &[u8], target: &[u8]) -> bool {
    let mut depth = link.iter().filter(|byte| **byte == b'/').count();
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return false,
            },
            _ => depth += 1,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, old_path: Option<&str>, modes: (u32, u32)) -> ChangedFile {
        ChangedFile {
            status: if old_path.is_some() {
                FileStatus::Renamed
            } else {
                FileStatus::Modified
            },
            path: path.into(),
            old_path: old_path.map(Into::into),
            old_mode: modes.0,
            new_mode: modes.1,
            old_id: None,
            new_id: None,
            lines: Some((1, 1)),
        }
    }

    fn denied(rules: &FileRules, path: &str) -> bool {
        let mut report = PolicyReport::default();
        rules.check(&file(path, None, (0o100_644, 0o100_644)), &mut report);
        !report.denials.is_empty()
    }

    #[test]
    fn what_runs_by_itself_is_protected_and_what_only_looks_alike_is_not() {
        let rules = FileRules::new(&[], &[]).unwrap();
        for path in [
            ".github/workflows/ci.yml",
            ".GitHub/Workflows/CI.yml",
            ".github/actions/x/action.yml",
            ".gitlab-ci.yml",
            ".circleci/config.yml",
            "Jenkinsfile",
            "sub/Jenkinsfile.release",
            "CODEOWNERS",
            "docs/CODEOWNERS",
            ".gitmodules",
            "sub/.vscode/tasks.json",
            ".claude/settings.json",
            "AGENTS.md",
            "a/b/CLAUDE.md",
            ".cursorrules",
            ".mcp.json",
            ".husky/pre-commit",
            ".githooks/pre-push",
            ".pre-commit-config.yaml",
            ".backspace.toml",
            ".devcontainer/devcontainer.json",
            ".envrc",
        ] {
            assert!(denied(&rules, path), "{path}");
        }
        for path in [
            "src/workflows/ci.yml",
            "github/workflows/ci.yml",
            "docs/github/CODEOWNERS.md",
            "src/main.rs",
            "agents/main.py",
            "src/hooks/useThing.ts",
            "Cargo.lock",
            "README.md",
        ] {
            assert!(!denied(&rules, path), "{path}");
        }
    }

    #[test]
    fn the_server_can_exempt_its_own_rules_and_a_repository_can_only_add() {
        let rules = FileRules::new(&["db/**".into()], &["AGENTS.md".into(), "db/**".into()]).unwrap();
        assert!(!denied(&rules, "AGENTS.md"));
        assert!(denied(&rules, "db/schema.sql"));
        let narrowed = rules.with_protected(&["AGENTS.md".into(), "*.lock".into()]).unwrap();
        assert!(denied(&narrowed, "AGENTS.md"));
        assert!(denied(&narrowed, "x.lock"));
        assert!(denied(&narrowed, "db/schema.sql"));
        assert!(FileRules::new(&["a[".into()], &[]).is_err());
    }

    #[test]
    fn a_rename_away_from_a_protected_path_is_denied_too() {
        let rules = FileRules::new(&[], &[]).unwrap();
        let mut report = PolicyReport::default();
        let renamed = file("old.yml", Some(".github/workflows/ci.yml"), (0o100_644, 0o100_644));
        rules.check(&renamed, &mut report);
        assert_eq!(report.denials.len(), 1);
        assert_eq!(report.denials[0].subject, ".github/workflows/ci.yml");
    }

    #[test]
    fn kinds_of_files_are_told() {
        let rules = FileRules::new(&[], &[]).unwrap();
        let kind = |modes| {
            let mut report = PolicyReport::default();
            rules.check(&file("x", None, modes), &mut report);
            (
                report.denials.len(),
                report
                    .findings
                    .into_iter()
                    .map(|finding| finding.message)
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(kind((0, 0o160_000)), (1, vec!["a submodule".into()]));
        assert_eq!(kind((0, 0o120_000)), (0, vec!["a symbolic link".into()]));
        assert_eq!(kind((0o100_644, 0o100_755)), (0, vec!["it became executable".into()]));
        assert_eq!(kind((0o100_644, 0o100_644)), (0, vec![]));
    }

    #[test]
    fn links_that_leave_the_repository_are_denied() {
        for (link, target, is_denied) in [
            ("a", "b", false),
            ("d/a", "../b", false),
            ("d/a", "./../b/../c", false),
            ("a", "../b", true),
            ("d/a", "../../b", true),
            ("d/a", "x/../../../b", true),
            ("a", "/etc/passwd", true),
            ("a", ".git/config", true),
            ("a", "sub/.GIT/hooks", true),
        ] {
            let mut report = PolicyReport::default();
            let mut gathered = SymlinkTarget::default();
            gathered.push(target.as_bytes());
            gathered.check(link.as_bytes(), &mut report);
            assert_eq!(!report.denials.is_empty(), is_denied, "{link} -> {target}");
        }
    }
}
