//! The text that a repository wants in its pull requests, where its forge looks for it.

use super::tree::{TreeError, TreeListing};
use crate::agent::prompt::SourcedText;

const MAX_BYTES: usize = 8 * 1024;

/// Folders in which a template may lie, in the order in which GitHub looks.
const FOLDERS: [&str; 3] = [".github/", "", "docs/"];

/// Reads the template; of several to choose from, none.
pub(super) async fn read(tree: &TreeListing<'_>) -> Result<Option<SourcedText>, TreeError> {
    let is_template = |path: &str, folder: &str| {
        let name = path.strip_prefix(folder).map(str::to_ascii_lowercase);
        name.is_some_and(|name| matches!(name.as_str(), "pull_request_template.md" | "pull_request_template.txt"))
    };
    let found = FOLDERS
        .iter()
        .find_map(|folder| tree.paths().iter().find(|path| is_template(path, folder)));
    let Some(path) = found else { return Ok(None) };
    let text = tree.text(path, MAX_BYTES).await?.unwrap_or_default();
    Ok((!text.trim().is_empty()).then(|| SourcedText {
        origin: path.clone(),
        text,
    }))
}

#[cfg(test)]
mod tests {
    use super::super::tree::MemoryTree;
    use super::*;

    #[tokio::test]
    async fn the_template_is_found_where_github_looks() {
        let found = async |files: &[(&str, &str)]| {
            let files = MemoryTree::new(files);
            let found = read(&files.listing()).await.unwrap();
            found.map(|found| (found.origin, found.text))
        };
        let own = |path: &str, text: &str| Some((path.to_owned(), text.to_owned()));
        let (root, hidden) = (
            ("Pull_Request_Template.md", "root"),
            (".github/pull_request_template.md", "hidden"),
        );
        assert_eq!(found(&[root, hidden]).await, own(hidden.0, "hidden"));
        assert_eq!(
            found(&[root, ("x/pull_request_template.md", "x")]).await,
            own(root.0, "root")
        );
        assert_eq!(found(&[("docs/pull_request_template.txt", " \n")]).await, None);
        assert_eq!(
            found(&[(".github/PULL_REQUEST_TEMPLATE/bug.md", "one of several")]).await,
            None
        );
    }
}
