//! Whole files in and out of the sandbox, for the tools that need them.

use super::{ToolContext, ToolError, unexpected};
use crate::sandbox::{FileReply, FileRequest};

/// Largest file that is read or written whole: what one frame of the sandbox's protocol takes, with room for its own text.
const MAX_BYTES: usize = (1 << 20) - (16 << 10);

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    Created,
    Replaced,
}

/// Reads a whole text file.
pub(super) async fn read(context: &ToolContext<'_>, path: &str) -> Result<String, ToolError> {
    let mut content = Vec::new();
    loop {
        let offset = content.len() as u64;
        let request = FileRequest::ReadBytes {
            path: path.to_owned(),
            offset,
            max_bytes: MAX_BYTES as u64,
        };
        let (data, size) = match context.file(request).await? {
            FileReply::Bytes { data, size } => (data, size),
            other => return Err(unexpected(&other)),
        };
        if size > MAX_BYTES as u64 {
            return Err(ToolError::Rejected(format!(
                "{path}: is too large ({size} bytes); use a command on it"
            )));
        }
        content.extend_from_slice(&data);
        if data.is_empty() || content.len() as u64 >= size {
            break;
        }
    }
    String::from_utf8(content)
        .map_err(|_| ToolError::Rejected(format!("{path}: is not UTF-8 text; use a command on it")))
}

/// Returns whether something is there.
pub(super) async fn exists(context: &ToolContext<'_>, path: &str) -> Result<bool, ToolError> {
    let request = FileRequest::ReadBytes {
        path: path.to_owned(),
        offset: 0,
        max_bytes: 1,
    };
    match context.file(request).await {
        Ok(_) => Ok(true),
        Err(ToolError::Rejected(message)) => Ok(!message.ends_with("no such file or folder")),
        Err(error) => Err(error),
    }
}

/// Writes a whole file.
pub(super) async fn write(context: &ToolContext<'_>, path: &str, content: String) -> Result<Written, ToolError> {
    let wire_bytes = serde_json::to_string(&content).map_or(usize::MAX, |text| text.len());
    if wire_bytes > MAX_BYTES {
        return Err(ToolError::Rejected(format!(
            "{path}: the content is too large to be written at once; nothing was written. Make it with a command, or in parts."
        )));
    }
    match context
        .file(FileRequest::Write {
            path: path.to_owned(),
            content,
        })
        .await?
    {
        FileReply::Changed { created: true, .. } => Ok(Written::Created),
        FileReply::Changed { created: false, .. } => Ok(Written::Replaced),
        other => Err(unexpected(&other)),
    }
}

/// Removes a file.
pub(super) async fn remove(context: &ToolContext<'_>, path: &str) -> Result<(), ToolError> {
    match context.file(FileRequest::Remove { path: path.to_owned() }).await? {
        FileReply::Changed { .. } => Ok(()),
        other => Err(unexpected(&other)),
    }
}
