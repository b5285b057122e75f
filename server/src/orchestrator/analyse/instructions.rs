//! What a repository tells agents, within one budget for all files.
//!
//! `AGENTS.md` of the root first, then nested ones from the top down. Files of particular agents stand
//! in only where the root has no `AGENTS.md`; where both exist they mostly say the same twice.

use super::tree::{TreeError, TreeListing};
use crate::agent::prompt::SourcedText;
use crate::task::event::floor_char_boundary;

const MAX_BYTES: usize = 32 * 1024;
const MAX_FILES: usize = 20;
const STAND_INS: [&str; 5] = [
    "CLAUDE.md",
    ".github/copilot-instructions.md",
    "GEMINI.md",
    ".cursorrules",
    ".windsurfrules",
];

/// Reads the instruction files.
pub(super) async fn read(tree: &TreeListing<'_>) -> Result<Vec<SourcedText>, TreeError> {
    let mut paths: Vec<&str> = Vec::new();
    if tree.has("AGENTS.md") {
        paths.push("AGENTS.md");
    } else {
        paths.extend(STAND_INS.iter().find(|path| tree.has(path)));
    }
    let mut nested: Vec<&str> = tree
        .paths()
        .iter()
        .map(String::as_str)
        .filter(|path| path.ends_with("/AGENTS.md"))
        .collect();
    nested.sort_by_key(|path| path.matches('/').count());
    paths.extend(nested);
    paths.truncate(MAX_FILES);
    let mut left_bytes = MAX_BYTES;
    let mut files = Vec::new();
    for path in paths {
        let Some(text) = tree.text(path, MAX_BYTES + 1).await? else {
            continue;
        };
        if text.trim().is_empty() {
            continue;
        }
        let shown = text.get(..floor_char_boundary(&text, left_bytes)).unwrap_or_default();
        left_bytes -= shown.len();
        let text = match shown.len() < text.len() {
            true => format!("{shown}\n[the rest of {path} is left out; read the file if you need it]\n"),
            false => text,
        };
        files.push(SourcedText {
            origin: path.to_owned(),
            text,
        });
        if left_bytes == 0 {
            break;
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::super::tree::MemoryTree;
    use super::*;

    async fn origins(files: &[(&str, &str)]) -> Vec<String> {
        let files = MemoryTree::new(files);
        let texts = read(&files.listing()).await.unwrap();
        texts.into_iter().map(|text| text.origin).collect()
    }

    #[tokio::test]
    async fn files_of_particular_agents_only_stand_in() {
        let all = [
            ("AGENTS.md", "a"),
            ("CLAUDE.md", "c"),
            ("x/y/AGENTS.md", "n"),
            ("z/AGENTS.md", "m"),
        ];
        assert_eq!(origins(&all).await, ["AGENTS.md", "z/AGENTS.md", "x/y/AGENTS.md"]);
        assert_eq!(origins(&all[1..]).await, ["CLAUDE.md", "z/AGENTS.md", "x/y/AGENTS.md"]);
        assert_eq!(origins(&[("AGENTS.md", " \n")]).await, Vec::<String>::new());
    }

    #[tokio::test]
    async fn all_together_stay_within_the_budget_and_the_cut_is_said() {
        let long = "é".repeat(12 * 1024);
        let files = MemoryTree::new(&[("AGENTS.md", &long), ("a/AGENTS.md", &long), ("b/AGENTS.md", "x")]);
        let texts = read(&files.listing()).await.unwrap();
        assert_eq!(texts.len(), 2);
        assert_eq!(texts[0].text, long);
        let cut = format!("{}\n[the rest of a/AGENTS.md is left out", "é".repeat(4 * 1024));
        assert!(texts[1].text.starts_with(&cut));
    }
}
