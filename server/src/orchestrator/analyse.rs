//! What a repository is: languages, layout, how it is checked, what it tells agents.
//!
//! Everything is read from the base commit through a `TreeListing`, never from the edited tree: a
//! model must not be able to change its own instructions or the checks it is measured by. The result
//! can be cached by commit. A broken `.backspace.toml` is an error and not a warning, because ignoring
//! it could ignore a protected path.

use serde::{Deserialize, Serialize};

use crate::agent::prompt::SourcedText;

mod absent;
mod ci;
pub mod code_map;
mod commands;
mod ecosystem;
mod instructions;
mod layout;
pub mod settings;
mod template;
pub mod tree;

use code_map::Outliner;
use settings::{RepositorySettings, SettingsError};
use tree::{TreeError, TreeListing};

/// Version of the form of `Analysis`; a cached one of another version is made anew.
pub const VERSION: u32 = 5;

/// What is known of a commit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Analysis {
    /// `VERSION` of the program that made it.
    pub version: u32,
    /// Languages by number of files, the most frequent first.
    pub languages: Vec<Language>,
    /// Languages and layout in some lines, for the first prompt.
    pub summary: String,
    /// What the work tree lacks, for people and the model, one sentence each.
    pub absent: Vec<String>,
    /// Files and their main definitions, one file a line; empty when there is nothing to tell.
    pub code_map: String,
    /// Commands that check the repository, in the order to run them.
    pub verification_commands: Vec<String>,
    /// What the repository tells agents; at most 32 KiB together.
    pub instruction_files: Vec<SourcedText>,
    /// What pull requests are asked to say.
    pub pull_request_template: Option<SourcedText>,
    /// `.backspace.toml`.
    pub settings: RepositorySettings,
}

/// A language and its share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Language {
    /// Its name.
    pub name: String,
    /// Files in it.
    pub files: u32,
    /// Percent of the files whose language is known.
    pub percent: u32,
}

/// Why a commit could not be analysed.
#[derive(Debug, thiserror::Error)]
pub enum AnalyseError {
    /// `.backspace.toml` is wrong; the message says where and what is right.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A file could not be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// Analyses a commit.
pub async fn analyse(tree: &TreeListing<'_>, outliner: &Outliner) -> Result<Analysis, AnalyseError> {
    let settings = match tree.text(settings::FILE_NAME, settings::MAX_BYTES).await? {
        Some(text) => RepositorySettings::parse(&text)?,
        None => RepositorySettings::default(),
    };
    let verification_commands = match settings.verify.commands.as_slice() {
        [] => commands::find(tree).await?,
        stated => stated.to_vec(),
    };
    let languages = layout::languages(tree.paths());
    let absent = absent::find(tree).await?;
    let mut summary = layout::summary(tree, &languages);
    summary.extend(absent.iter().map(|sentence| format!("Note: {sentence}.\n")));
    Ok(Analysis {
        version: VERSION,
        summary,
        languages,
        absent,
        code_map: code_map::draw(tree, outliner).await?,
        verification_commands,
        instruction_files: instructions::read(tree).await?,
        pull_request_template: template::read(tree).await?,
        settings,
    })
}

#[cfg(test)]
mod tests {
    use super::tree::MemoryTree;
    use super::*;

    #[tokio::test]
    async fn a_repository_is_analysed_whole_and_survives_its_cache() {
        let files = MemoryTree::new(&[
            ("AGENTS.md", "Write tests.\n"),
            ("Cargo.toml", "[workspace]\nmembers = [\"a\"]\n"),
            ("a/src/lib.rs", ""),
            ("a/src/main.rs", ""),
            ("tools/run.py", ""),
        ]);
        let analysis = analyse(&files.listing(), &Outliner::default()).await.unwrap();
        let language = |name: &str, files, percent| Language {
            name: name.into(),
            files,
            percent,
        };
        let right = Analysis {
            version: VERSION,
            languages: vec![language("Rust", 2, 67), language("Python", 1, 33)],
            summary:
                "Languages by files: Rust 67 %, Python 33 %.\n5 files. At the top: a/ (2 files), tools/ (1 file), \
AGENTS.md, Cargo.toml.\n"
                    .into(),
            absent: Vec::new(),
            code_map: String::new(),
            verification_commands: vec!["cargo test --workspace".into()],
            instruction_files: vec![SourcedText {
                origin: "AGENTS.md".into(),
                text: "Write tests.\n".into(),
            }],
            pull_request_template: None,
            settings: RepositorySettings::default(),
        };
        assert_eq!(analysis, right);
        let cached = serde_json::to_string(&analysis).unwrap();
        assert_eq!(serde_json::from_str::<Analysis>(&cached).unwrap(), right);
    }

    #[tokio::test]
    async fn stated_commands_win_and_a_broken_file_is_an_error() {
        let stated = "[verify]\ncommands = [\"make everything\"]\n";
        let files = MemoryTree::new(&[(".backspace.toml", stated), ("go.mod", "")]);
        let analysis = analyse(&files.listing(), &Outliner::default()).await.unwrap();
        assert_eq!(analysis.verification_commands, ["make everything"]);
        let files = MemoryTree::new(&[(".backspace.toml", "[verify]\ncommand = []\n")]);
        let error = analyse(&files.listing(), &Outliner::default()).await.unwrap_err();
        assert!(matches!(error, AnalyseError::Settings(_)), "{error}");
    }
}
