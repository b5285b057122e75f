//! A map of the code for the first prompt: files and their main definitions, within a budget.
//!
//! It saves a model its first turns of looking around. Which files come first is decided by where they
//! stand, the shallow before the deep and tests last; when not all fits, each file tells less before any
//! file is left out. What names say is the repository's word, so the prompt shows the map as data.

use futures_util::future::join_all;

use super::layout;
use super::tree::{TreeError, TreeListing};

pub mod child;
mod definition;
mod outliner;

use definition::{Definition, Language};
pub use outliner::Outliner;

/// Most files that are read.
const MAX_FILES: usize = 400;

/// Most bytes of one file; what is longer was seldom written by people.
const MAX_FILE_BYTES: usize = 128 * 1024;

/// Most bytes of all files.
const MAX_TOTAL_BYTES: usize = 8 * 1024 * 1024;

/// Files read at once.
const READS_AT_ONCE: usize = 8;

/// Most bytes of the map: about 3,000 tokens.
const MAX_MAP_BYTES: usize = 9_000;

/// How many definitions each file may tell, tried from the most.
const DEFINITIONS_PER_FILE: [usize; 6] = [40, 20, 10, 5, 2, 0];

/// A file with what it defines.
struct Outlined {
    path: String,
    definitions: Vec<Definition>,
}

/// Makes the map; empty when there is nothing to tell.
pub(super) async fn draw(tree: &TreeListing<'_>, outliner: &Outliner) -> Result<String, TreeError> {
    let chosen = chosen(tree);
    let mut files = Vec::new();
    let mut paths = Vec::new();
    let mut total_bytes = 0;
    for some in chosen.chunks(READS_AT_ONCE) {
        let mut reads = Vec::new();
        for (path, _) in some {
            reads.push(tree.text(path, MAX_FILE_BYTES + 1));
        }
        for ((path, language), text) in some.iter().zip(join_all(reads).await) {
            let text = text?.unwrap_or_default();
            if text.len() > MAX_FILE_BYTES || total_bytes + text.len() > MAX_TOTAL_BYTES {
                continue;
            }
            total_bytes += text.len();
            files.push((*language, text));
            paths.push((*path).to_owned());
        }
    }
    let told = match outliner.outline(&files).await {
        Ok(told) => told,
        Err(error) => {
            // The model can look for itself.
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the code is not mapped for this task"
            );
            return Ok(String::new());
        }
    };
    let outlined = paths.into_iter().zip(told).map(|(path, definitions)| Outlined {
        path,
        definitions: top_first(definitions),
    });
    let outlined: Vec<Outlined> = outlined.filter(|file| !file.definitions.is_empty()).collect();
    let unread = candidates(tree).count().saturating_sub(chosen.len());
    Ok(render(&outlined, unread))
}

fn candidates<'a>(tree: &'a TreeListing<'_>) -> impl Iterator<Item = (&'a str, Language)> {
    let own = tree
        .paths()
        .iter()
        .filter(|path| !layout::is_foreign(path) && !path.contains(char::is_control) && !path.ends_with(".min.js"));
    own.filter_map(|path| Some((path.as_str(), Language::of_path(path)?)))
}

/// Returns the files to read, the most telling first.
fn chosen<'a>(tree: &'a TreeListing<'_>) -> Vec<(&'a str, Language)> {
    let mut files: Vec<_> = candidates(tree).collect();
    files.sort_by_key(|(path, _)| (is_test(path), path.matches('/').count(), *path));
    files.truncate(MAX_FILES);
    files
}

fn is_test(path: &str) -> bool {
    let mut parts = path.rsplit('/');
    let name = parts.next().unwrap_or_default();
    let stem = name.split('.').next().unwrap_or_default();
    parts.any(|part| {
        matches!(
            part,
            "test" | "tests" | "__tests__" | "spec" | "testdata" | "fixtures" | "examples"
        )
    }) || stem.starts_with("test_")
        || stem.ends_with("_test")
        || (stem.ends_with("Test") && name.ends_with(".java"))
        || name.contains(".test.")
        || name.contains(".spec.")
}

/// Puts members behind what they are members of: of a file that may tell two things, the types count.
fn top_first(definitions: Vec<Definition>) -> Vec<Definition> {
    let (mut top, members): (Vec<_>, Vec<_>) = definitions.into_iter().partition(|each| !each.kind.is_empty());
    top.extend(members);
    top
}

fn render(files: &[Outlined], unread: usize) -> String {
    for most in DEFINITIONS_PER_FILE {
        let lines: Vec<String> = files.iter().map(|file| line(file, most)).collect();
        let bytes: usize = lines.iter().map(|line| line.len() + 1).sum();
        if bytes <= MAX_MAP_BYTES {
            return with_rest(lines, unread);
        }
    }
    let mut left_bytes = MAX_MAP_BYTES;
    let mut lines = Vec::new();
    for file in files {
        let line = line(file, 0);
        let Some(left) = left_bytes.checked_sub(line.len() + 1) else {
            break;
        };
        left_bytes = left;
        lines.push(line);
    }
    let left_out = files.len() - lines.len();
    with_rest(lines, unread + left_out)
}

fn with_rest(mut lines: Vec<String>, left_out: usize) -> String {
    if left_out > 0 && !lines.is_empty() {
        lines.push(format!("and {left_out} more files"));
    }
    lines.join("\n")
}

fn line(file: &Outlined, most: usize) -> String {
    let mut told = String::new();
    let mut kind_before = "";
    for definition in file.definitions.iter().take(most) {
        if !told.is_empty() {
            told.push_str(", ");
        }
        if definition.kind != kind_before && !definition.kind.is_empty() {
            told.push_str(&definition.kind);
            told.push(' ');
        }
        kind_before = &definition.kind;
        told.push_str(&definition.name);
    }
    let left_out = file.definitions.len().saturating_sub(most);
    let path = &file.path;
    match (told.is_empty(), left_out) {
        (true, _) => path.clone(),
        (false, 0) => format!("{path}: {told}"),
        (false, left_out) => format!("{path}: {told}, and {left_out} more"),
    }
}

#[cfg(test)]
mod tests;
