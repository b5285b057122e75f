//! What a work tree does not have although the repository names it: submodules and the contents of Git LFS.
//!
//! Neither is ever fetched (each would be another repository or server to trust); people and the model are
//! told, because a check that needs them fails on the base already.

use super::tree::{TreeError, TreeListing};

/// Most names in one sentence.
const MAX_NAMED: usize = 10;

/// Most files of attributes that are read.
const MAX_ATTRIBUTES: usize = 20;

const MAX_FILE_BYTES: usize = 64 * 1024;

/// Says what is not there, one sentence each.
pub(super) async fn find(tree: &TreeListing<'_>) -> Result<Vec<String>, TreeError> {
    let mut sentences = Vec::new();
    let modules = tree.text(".gitmodules", MAX_FILE_BYTES).await?.unwrap_or_default();
    let submodules: Vec<&str> = modules.lines().filter_map(submodule).collect();
    if !submodules.is_empty() {
        sentences.push(format!(
            "submodules are not fetched, their folders are empty: {}",
            named(&submodules)
        ));
    }
    let is_attributes = |path: &&String| path.rsplit('/').next() == Some(".gitattributes");
    let mut patterns = Vec::new();
    for path in tree.paths().iter().filter(is_attributes).take(MAX_ATTRIBUTES) {
        let text = tree.text(path, MAX_FILE_BYTES).await?.unwrap_or_default();
        patterns.extend(text.lines().filter_map(lfs_pattern).map(str::to_owned));
    }
    if !patterns.is_empty() {
        let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
        sentences.push(format!(
            "contents in Git LFS are not fetched, these files are pointers: {}",
            named(&patterns)
        ));
    }
    Ok(sentences)
}

/// Returns the folder of a line `path = folder`.
fn submodule(line: &str) -> Option<&str> {
    let (name, value) = line.split_once('=')?;
    (name.trim() == "path").then(|| value.trim())
}

/// Returns the pattern of a line of attributes that gives files to Git LFS.
fn lfs_pattern(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    let pattern = words.next().filter(|pattern| !pattern.starts_with('#'))?;
    words.any(|word| word == "filter=lfs").then_some(pattern)
}

fn named(names: &[&str]) -> String {
    let clean = |name: &&str| -> String { name.chars().filter(|character| !character.is_control()).collect() };
    let mut shown: Vec<String> = names.iter().take(MAX_NAMED).map(clean).collect();
    if names.len() > MAX_NAMED {
        shown.push(format!("and {} more", names.len() - MAX_NAMED));
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::tree::MemoryTree;
    use super::*;

    #[tokio::test]
    async fn submodules_and_pointers_are_named() {
        let files = MemoryTree::new(&[
            (
                ".gitmodules",
                "[submodule \"a\"]\n\tpath = vendor/a\n\turl = https://forge.test/a\n[submodule \"b\"]\n\tpath=b\n",
            ),
            (
                ".gitattributes",
                "*.txt text\n*.bin filter=lfs diff=lfs -text\n# *.no filter=lfs\n",
            ),
            ("images/.gitattributes", "* filter=lfs\n"),
        ]);
        assert_eq!(
            find(&files.listing()).await.unwrap(),
            [
                "submodules are not fetched, their folders are empty: vendor/a, b",
                "contents in Git LFS are not fetched, these files are pointers: *.bin, *",
            ]
        );
    }

    #[tokio::test]
    async fn an_ordinary_repository_has_all_that_it_names() {
        let files = MemoryTree::new(&[(".gitattributes", "*.txt text\n"), (".gitmodules", ""), ("a", "")]);
        assert_eq!(find(&files.listing()).await.unwrap(), Vec::<String>::new());
    }
}
