//! The files of a commit as analysis sees them: a bounded list of paths, and a way to read some.
//!
//! Where they come from is the caller's business: git objects of the base commit, or a sandbox that has
//! nothing but that commit in it. Nothing here opens a file of a work tree on the host.

use std::collections::BTreeSet;

use async_trait::async_trait;

use crate::sandbox::{FileError, FileReply, FileRequest, Sandbox};

/// Most paths that are looked at.
pub const MAX_PATHS: usize = 50_000;

/// A file could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the repository's files can't be read for analysis")]
pub struct TreeError {
    /// What happened.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Reads files of one commit.
#[async_trait]
pub trait TreeReader: Send + Sync {
    /// Returns the first bytes of a regular file; `None` when there is none of that path.
    async fn read(&self, path: &str, max_bytes: usize) -> Result<Option<Vec<u8>>, TreeError>;
}

/// The files of a commit.
pub struct TreeListing<'a> {
    paths: BTreeSet<String>,
    truncated: bool,
    reader: &'a dyn TreeReader,
}

impl<'a> TreeListing<'a> {
    /// Makes a listing of paths from the root, with `/` between their parts; those beyond `MAX_PATHS` are left out.
    pub fn new(paths: impl IntoIterator<Item = String>, reader: &'a dyn TreeReader) -> Self {
        let mut paths = paths.into_iter();
        let kept: BTreeSet<String> = paths.by_ref().take(MAX_PATHS).collect();
        Self {
            paths: kept,
            truncated: paths.next().is_some(),
            reader,
        }
    }

    /// Returns the paths, in order.
    pub fn paths(&self) -> &BTreeSet<String> {
        &self.paths
    }

    /// Returns whether there are more than are listed.
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// Returns whether a file is there.
    pub fn has(&self, path: &str) -> bool {
        self.paths.contains(path)
    }

    /// Returns the beginning of a file as text; `None` when it is not listed.
    pub async fn text(&self, path: &str, max_bytes: usize) -> Result<Option<String>, TreeError> {
        // A truncated listing may lack a file of the root that is there.
        let may_be_unlisted = self.truncated && !path.contains('/');
        if !self.has(path) && !may_be_unlisted {
            return Ok(None);
        }
        let bytes = self.reader.read(path, max_bytes).await?;
        Ok(bytes.map(|mut bytes| {
            bytes.truncate(max_bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        }))
    }
}

/// Reads from a sandbox whose work tree is the base commit and nothing else.
pub struct SandboxTree<'a>(pub &'a dyn Sandbox);

impl SandboxTree<'_> {
    /// Lists the files.
    pub async fn paths(&self) -> Result<Vec<String>, TreeError> {
        let request = FileRequest::Glob {
            pattern: "**".into(),
            path: ".".into(),
            limit: MAX_PATHS as u64 + 1,
        };
        match self.0.file(request).await.map_err(failed)?.map_err(failed)? {
            FileReply::Lines { lines, .. } => Ok(lines),
            other => Err(failed(format!("a listing was answered with {other:?}"))),
        }
    }
}

#[async_trait]
impl TreeReader for SandboxTree<'_> {
    async fn read(&self, path: &str, max_bytes: usize) -> Result<Option<Vec<u8>>, TreeError> {
        let request = FileRequest::ReadBytes {
            path: path.into(),
            offset: 0,
            max_bytes: max_bytes as u64,
        };
        match self.0.file(request).await.map_err(failed)? {
            Ok(FileReply::Bytes { data, .. }) => Ok(Some(data)),
            Ok(other) => Err(failed(format!("a read was answered with {other:?}"))),
            Err(FileError::NotFound { .. } | FileError::WrongKind { .. }) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }
}

fn failed(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> TreeError {
    TreeError { source: source.into() }
}

/// A tree in memory, for tests.
#[cfg(test)]
pub(super) struct MemoryTree(std::collections::BTreeMap<String, String>);

#[cfg(test)]
impl MemoryTree {
    pub(super) fn new(files: &[(&str, &str)]) -> Self {
        Self(
            files
                .iter()
                .map(|&(path, text)| (path.to_owned(), text.to_owned()))
                .collect(),
        )
    }

    pub(super) fn listing(&self) -> TreeListing<'_> {
        TreeListing::new(self.0.keys().cloned(), self)
    }
}

#[cfg(test)]
#[async_trait]
impl TreeReader for MemoryTree {
    async fn read(&self, path: &str, _max_bytes: usize) -> Result<Option<Vec<u8>>, TreeError> {
        Ok(self.0.get(path).map(|text| text.clone().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_long_list_is_cut_and_files_of_the_root_are_still_found() {
        let files = MemoryTree::new(&[("zz.toml", "x = 1")]);
        let many = (0..=MAX_PATHS).map(|number| format!("a/{number:06}"));
        let listing = TreeListing::new(many, &files);
        assert!(listing.is_truncated());
        assert_eq!(listing.text("zz.toml", 3).await.unwrap(), Some("x =".into()));
        assert_eq!(listing.text("a/unlisted", 3).await.unwrap(), None);
    }
}
