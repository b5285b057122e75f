//! File operations: what is asked, what comes back, and why one failed.

use serde::{Deserialize, Serialize};

/// A file operation. Paths are relative to the work tree or absolute inside the sandbox; the kernel
/// decides what they reach, as for any command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "operation")]
pub enum FileRequest {
    /// Reads lines of a text file.
    Read {
        /// The file.
        path: String,
        /// First line, from 1.
        first_line: u64,
        /// Most lines.
        lines: u64,
        /// Most bytes.
        max_bytes: u64,
    },
    /// Reads raw bytes.
    ReadBytes {
        /// The file.
        path: String,
        /// First byte.
        offset: u64,
        /// Most bytes; at most half a MiB are given at once.
        max_bytes: u64,
    },
    /// Writes a file, making folders as needed; an existing file keeps its mode.
    Write {
        /// The file.
        path: String,
        /// The whole content.
        content: String,
    },
    /// Replaces the one place where `old` stands.
    Edit {
        /// The file.
        path: String,
        /// Exact text.
        old: String,
        /// What takes its place.
        new: String,
    },
    /// Removes a file.
    Remove {
        /// The file.
        path: String,
    },
    /// Lists a folder.
    List {
        /// The folder.
        path: String,
        /// Most entries.
        limit: u64,
    },
    /// Finds lines by a regular expression.
    Grep {
        /// The expression, in the syntax of the `regex` crate.
        pattern: String,
        /// Folder or file.
        path: String,
        /// Only files whose path matches this glob.
        glob: Option<String>,
        /// Most matching lines.
        limit: u64,
    },
    /// Finds files by a glob over their path from the folder.
    Glob {
        /// The glob; `**` crosses folders.
        pattern: String,
        /// The folder.
        path: String,
        /// Most files.
        limit: u64,
    },
}

impl FileRequest {
    /// Returns the path that it is about.
    pub fn path(&self) -> &str {
        match self {
            Self::Read { path, .. }
            | Self::ReadBytes { path, .. }
            | Self::Write { path, .. }
            | Self::Edit { path, .. }
            | Self::Remove { path }
            | Self::List { path, .. }
            | Self::Grep { path, .. }
            | Self::Glob { path, .. } => path,
        }
    }

    /// Returns whether it may change the work tree.
    pub fn writes(&self) -> bool {
        matches!(self, Self::Write { .. } | Self::Edit { .. } | Self::Remove { .. })
    }
}

/// Answer to a file operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reply")]
pub enum FileReply {
    /// To `Read`.
    Text {
        /// The lines, with invalid UTF-8 replaced.
        text: String,
        /// Lines in the whole file.
        total_lines: u64,
        /// True when more follows what is given.
        truncated: bool,
    },
    /// To `ReadBytes`.
    Bytes {
        /// The bytes; empty at the end.
        #[serde(with = "super::base64_bytes")]
        data: Vec<u8>,
        /// Size of the file.
        size: u64,
    },
    /// To `Write`, `Edit` and `Remove`.
    Changed {
        /// True when the file was not there before.
        created: bool,
        /// Line of the first change, from 1; 0 where that says nothing.
        line: u64,
    },
    /// To `List`, `Grep` and `Glob`: one entry a line, as the tool shows it.
    Lines {
        /// The entries.
        lines: Vec<String>,
        /// True when there were more.
        truncated: bool,
    },
}

impl FileReply {
    /// Returns the name of the variant, for messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Text { .. } => "text",
            Self::Bytes { .. } => "bytes",
            Self::Changed { .. } => "changed",
            Self::Lines { .. } => "lines",
        }
    }
}

/// Why a file operation was not done; text for the model is made of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case", tag = "error")]
pub enum FileError {
    /// Nothing there.
    #[error("{path}: no such file or folder")]
    NotFound {
        /// Where.
        path: String,
    },
    /// It is not a regular file, or not a folder.
    #[error("{path}: {message}")]
    WrongKind {
        /// Where.
        path: String,
        /// What it is.
        message: String,
    },
    /// It is not text.
    #[error("{path}: is binary ({size} bytes)")]
    Binary {
        /// Where.
        path: String,
        /// Its size.
        size: u64,
    },
    /// It is larger than file tools take.
    #[error("{path}: is too large ({size} bytes)")]
    TooLarge {
        /// Where.
        path: String,
        /// Its size.
        size: u64,
    },
    /// `old` of an edit does not stand there.
    #[error("{path}: the text to replace was not found{hint}")]
    NoMatch {
        /// Where.
        path: String,
        /// What stands near it, for the model; may be empty.
        hint: String,
    },
    /// `old` of an edit stands there more than once.
    #[error("{path}: the text to replace stands there {} times, in lines {lines:?}", lines.len())]
    ManyMatches {
        /// Where.
        path: String,
        /// The first lines of the matches.
        lines: Vec<u64>,
    },
    /// The pattern is wrong.
    #[error("bad pattern: {message}")]
    BadPattern {
        /// What is wrong.
        message: String,
    },
    /// The system refused.
    #[error("{path}: {message}")]
    System {
        /// Where.
        path: String,
        /// What it said.
        message: String,
    },
}

/// What became of a file operation.
pub type FileOutcome = Result<FileReply, FileError>;
