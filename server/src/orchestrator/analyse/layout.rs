//! Languages and layout, from paths alone: no file is opened for them.

use std::collections::{BTreeMap, BTreeSet};

use super::Language;
use super::tree::TreeListing;

const MAX_LANGUAGES: usize = 6;
const MAX_TOP_ENTRIES: usize = 40;

/// Folders whose files are not the repository's own.
const FOREIGN: [&str; 5] = ["node_modules", "vendor", "third_party", "dist", "target"];

/// Returns whether a file is somebody else's: installed, copied or generated.
pub(super) fn is_foreign(path: &str) -> bool {
    path.split('/').any(|part| FOREIGN.contains(&part))
}

fn language_of(path: &str) -> Option<&'static str> {
    let name = path.rsplit('/').next()?;
    let (_, extension) = name.rsplit_once('.')?;
    Some(match extension {
        "rs" => "Rust",
        "py" | "pyi" => "Python",
        "ts" | "tsx" | "mts" | "cts" => "TypeScript",
        "js" | "jsx" | "mjs" | "cjs" => "JavaScript",
        "go" => "Go",
        "java" => "Java",
        "kt" | "kts" => "Kotlin",
        "scala" => "Scala",
        "c" | "h" => "C",
        "cc" | "cpp" | "cxx" | "hpp" | "hh" => "C++",
        "cs" => "C#",
        "fs" => "F#",
        "rb" => "Ruby",
        "php" => "PHP",
        "swift" => "Swift",
        "ex" | "exs" => "Elixir",
        "erl" => "Erlang",
        "hs" => "Haskell",
        "ml" | "mli" => "OCaml",
        "dart" => "Dart",
        "lua" => "Lua",
        "pl" | "pm" => "Perl",
        "r" | "R" => "R",
        "sh" | "bash" => "Shell",
        "sql" => "SQL",
        "vue" => "Vue",
        "svelte" => "Svelte",
        "css" | "scss" | "less" => "CSS",
        "html" => "HTML",
        "tf" => "Terraform",
        "zig" => "Zig",
        _ => return None,
    })
}

/// Returns the languages by number of files, the most frequent first.
pub(super) fn languages(paths: &BTreeSet<String>) -> Vec<Language> {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for path in paths.iter().filter(|path| !is_foreign(path)) {
        if let Some(language) = language_of(path) {
            *counts.entry(language).or_default() += 1;
        }
    }
    let total: u32 = counts.values().sum();
    let mut languages: Vec<Language> = counts
        .into_iter()
        .map(|(name, files)| Language {
            name: name.into(),
            files,
            percent: (files * 100 + total / 2) / total.max(1),
        })
        .collect();
    languages.sort_by_key(|language| std::cmp::Reverse(language.files));
    languages.truncate(MAX_LANGUAGES);
    languages
}

/// Returns languages and layout in some lines.
pub(super) fn summary(tree: &TreeListing<'_>, languages: &[Language]) -> String {
    let mut text = String::new();
    if !languages.is_empty() {
        let shares: Vec<String> = languages
            .iter()
            .map(|each| format!("{} {} %", each.name, each.percent))
            .collect();
        text.push_str(&format!("Languages by files: {}.\n", shares.join(", ")));
    }
    let mut folders: BTreeMap<&str, usize> = BTreeMap::new();
    let mut files: Vec<&str> = Vec::new();
    for path in tree.paths() {
        match path.split_once('/') {
            Some((folder, _)) => *folders.entry(folder).or_default() += 1,
            None => files.push(path),
        }
    }
    let count = |number: usize| format!("{number} file{}", if number == 1 { "" } else { "s" });
    let folders = folders
        .iter()
        .map(|(name, number)| format!("{name}/ ({})", count(*number)));
    let mut entries: Vec<String> = folders.chain(files.iter().map(|&name| name.to_owned())).collect();
    let left_out = entries.len().saturating_sub(MAX_TOP_ENTRIES);
    entries.truncate(MAX_TOP_ENTRIES);
    if left_out > 0 {
        entries.push(format!("and {left_out} more"));
    }
    if !entries.is_empty() {
        let more = if tree.is_truncated() { "More than " } else { "" };
        text.push_str(&format!(
            "{more}{}. At the top: {}.\n",
            count(tree.paths().len()),
            entries.join(", ")
        ));
    }
    text
}
