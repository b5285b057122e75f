//! File operations, each in a forked process confined as a command is.
//!
//! Paths are what the kernel makes of them for the command's user inside the sandbox; there is nothing to check
//! beyond that.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::frame::MAX_PAYLOAD_BYTES;
use crate::protocol::{FileError, FileOutcome, FileReply, FileRequest};
use crate::supervisor::confine::Confinement;
use crate::supervisor::worker::{Worker, become_confined};
use crate::supervisor::{edit, search};

/// Longest time of one operation.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// Largest file that is read as text, written or edited.
const MAX_TEXT_BYTES: u64 = 16 << 20;

/// Most raw bytes given at once; as base64 they fit a frame.
const MAX_RAW_BYTES: u64 = 512 * 1024;

/// Most bytes of text given at once; JSON may double it.
const MAX_REPLY_TEXT_BYTES: u64 = 256 * 1024;

/// A running file operation.
pub(super) struct FileJob {
    stream: u32,
    worker: Worker,
    writes: bool,
    path: String,
}

impl FileJob {
    pub(super) fn start(
        stream: u32,
        request: FileRequest,
        work_tree: &Path,
        confinement: &Confinement,
    ) -> io::Result<Self> {
        let worker = Worker::start(TIME_LIMIT, MAX_PAYLOAD_BYTES, || {
            let outcome = confined(&request, work_tree, confinement);
            encode(&outcome, request.path())
        })?;
        Ok(Self {
            stream,
            worker,
            writes: request.writes(),
            path: request.path().to_owned(),
        })
    }

    pub(super) fn stream(&self) -> u32 {
        self.stream
    }

    pub(super) fn worker(&self) -> &Worker {
        &self.worker
    }

    pub(super) fn writes(&self) -> bool {
        self.writes
    }

    /// Reads what is there; returns the encoded outcome when it is over.
    pub(super) fn advance(&mut self) -> Option<Vec<u8>> {
        let reply = self.worker.advance()?;
        if reply.is_empty() {
            let error = system_error(&self.path, "the operation did not end, or was killed");
            return Some(encode(&Err(error), &self.path));
        }
        Some(reply)
    }

    /// Encodes the outcome of an operation that was not begun.
    pub(super) fn failure(message: &str) -> Vec<u8> {
        encode(&Err(system_error("", message)), "")
    }
}

fn encode(outcome: &FileOutcome, path: &str) -> Vec<u8> {
    let encoded = serde_json::to_vec(outcome).unwrap_or_default();
    if encoded.len() <= MAX_PAYLOAD_BYTES {
        return encoded;
    }
    serde_json::to_vec(&FileOutcome::Err(system_error(
        path,
        "the answer is too long; ask for less",
    )))
    .unwrap_or_default()
}

fn confined(request: &FileRequest, work_tree: &Path, confinement: &Confinement) -> FileOutcome {
    let path = request.path();
    let io_error = |error: io::Error| system_error(path, &error.to_string());
    become_confined(confinement).map_err(io_error)?;
    std::env::set_current_dir(work_tree).map_err(io_error)?;
    perform(request, work_tree)
}

/// Does the operation in this process.
pub(super) fn perform(request: &FileRequest, work_tree: &Path) -> FileOutcome {
    let whole = |path: &str| work_tree.join(path);
    match request {
        FileRequest::Read {
            path,
            first_line,
            lines,
            max_bytes,
        } => read_lines(
            path,
            &whole(path),
            *first_line,
            *lines,
            (*max_bytes).min(MAX_REPLY_TEXT_BYTES),
        ),
        FileRequest::ReadBytes {
            path,
            offset,
            max_bytes,
        } => read_bytes(path, &whole(path), *offset, (*max_bytes).min(MAX_RAW_BYTES)),
        FileRequest::Write { path, content } => write(path, &whole(path), content.as_bytes()),
        FileRequest::Edit { path, old, new } => {
            let text = read_text(path, &whole(path))?;
            let (text, line) = edit::replace(path, &text, old, new)?;
            write(path, &whole(path), text.as_bytes())?;
            Ok(FileReply::Changed { created: false, line })
        }
        FileRequest::Remove { path } => {
            fs::remove_file(whole(path)).map_err(|error| file_error(path, &error))?;
            Ok(FileReply::Changed {
                created: false,
                line: 0,
            })
        }
        FileRequest::List { path, limit } => search::list(path, &whole(path), *limit),
        FileRequest::Grep {
            pattern,
            path,
            glob,
            limit,
        } => search::grep(&search::Grep {
            pattern,
            path,
            work_tree,
            glob: glob.as_deref(),
            limit: *limit,
        }),
        FileRequest::Glob { pattern, path, limit } => search::glob(pattern, path, work_tree, *limit),
    }
}

/// Opens a regular file for reading without ever waiting.
pub(super) fn open_regular(name: &str, path: &Path) -> Result<(File, u64), FileError> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC)
        .open(path)
        .map_err(|error| file_error(name, &error))?;
    let metadata = file.metadata().map_err(|error| file_error(name, &error))?;
    if !metadata.is_file() {
        return Err(wrong_kind(name, &metadata));
    }
    Ok((file, metadata.size()))
}

fn wrong_kind(name: &str, metadata: &fs::Metadata) -> FileError {
    let kind = metadata.file_type();
    let message = match () {
        () if kind.is_dir() => "is a folder, not a file",
        () if kind.is_fifo() => "is a pipe, not a file",
        () if kind.is_socket() => "is a socket, not a file",
        () => "is a device, not a file",
    };
    FileError::WrongKind {
        path: name.to_owned(),
        message: message.to_owned(),
    }
}

fn read_whole(name: &str, path: &Path) -> Result<Vec<u8>, FileError> {
    let (file, size) = open_regular(name, path)?;
    if size > MAX_TEXT_BYTES {
        return Err(FileError::TooLarge {
            path: name.to_owned(),
            size,
        });
    }
    let mut bytes = Vec::with_capacity(size as usize);
    file.take(MAX_TEXT_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| file_error(name, &error))?;
    Ok(bytes)
}

fn read_text(name: &str, path: &Path) -> Result<String, FileError> {
    let bytes = read_whole(name, path)?;
    let size = bytes.len() as u64;
    String::from_utf8(bytes).map_err(|_| FileError::Binary {
        path: name.to_owned(),
        size,
    })
}

fn read_lines(name: &str, path: &Path, first_line: u64, lines: u64, max_bytes: u64) -> FileOutcome {
    let bytes = read_whole(name, path)?;
    if bytes.iter().take(8192).any(|byte| *byte == 0) {
        return Err(FileError::Binary {
            path: name.to_owned(),
            size: bytes.len() as u64,
        });
    }
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.split_inclusive('\n').collect();
    let mut shown = String::new();
    let mut count = 0;
    let from = usize::try_from(first_line.max(1) - 1).unwrap_or(usize::MAX);
    for line in all.iter().skip(from).take(usize::try_from(lines).unwrap_or(usize::MAX)) {
        let room = usize::try_from(max_bytes)
            .unwrap_or(usize::MAX)
            .saturating_sub(shown.len());
        if line.len() > room {
            // One line longer than the limit is cut, so that something of it is seen.
            if count == 0 {
                shown.push_str(line.get(..floor_boundary(line, room)).unwrap_or_default());
            }
            break;
        }
        shown.push_str(line);
        count += 1;
    }
    let truncated = from.saturating_add(count) < all.len();
    Ok(FileReply::Text {
        text: shown,
        total_lines: all.len() as u64,
        truncated,
    })
}

fn floor_boundary(text: &str, index: usize) -> usize {
    (0..=index.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0)
}

fn read_bytes(name: &str, path: &Path, offset: u64, max_bytes: u64) -> FileOutcome {
    let (mut file, size) = open_regular(name, path)?;
    let mut data = Vec::new();
    file.seek(SeekFrom::Start(offset))
        .and_then(|_| file.take(max_bytes).read_to_end(&mut data))
        .map_err(|error| file_error(name, &error))?;
    Ok(FileReply::Bytes { data, size })
}

/// Writes a new file beside the old and puts it in its place; through a symlink, and where that can't be done, in place.
fn write(name: &str, path: &Path, content: &[u8]) -> FileOutcome {
    if content.len() as u64 > MAX_TEXT_BYTES {
        return Err(FileError::TooLarge {
            path: name.to_owned(),
            size: content.len() as u64,
        });
    }
    let failed = |error: io::Error| file_error(name, &error);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    let before = fs::metadata(path);
    match &before {
        Ok(metadata) if !metadata.is_file() => return Err(wrong_kind(name, metadata)),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(file_error(name, error)),
        _ => {}
    }
    let created = before.is_err();
    let is_link = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
    let is_shared = before.as_ref().is_ok_and(|metadata| metadata.nlink() > 1);
    let in_place = || -> io::Result<()> {
        let mut options = OpenOptions::new();
        options
            .write(true)
            .create(true)
            .truncate(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
        options.open(path)?.write_all(content)
    };
    let can_replace = !(created || is_link || is_shared);
    if !(can_replace && replace(path, content, before.ok()).is_ok()) {
        in_place().map_err(failed)?;
    }
    Ok(FileReply::Changed { created, line: 0 })
}

fn replace(path: &Path, content: &[u8], before: Option<fs::Metadata>) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".new-{}", std::process::id()));
    let temporary = PathBuf::from(temporary);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&temporary)
        .and_then(|mut file| {
            if let Some(before) = before {
                file.set_permissions(fs::Permissions::from_mode(before.permissions().mode() & 0o7777))?;
            }
            file.write_all(content)
        });
    let placed = written.and_then(|()| fs::rename(&temporary, path));
    if placed.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    placed
}

/// Makes a file error of a system error.
pub(super) fn file_error(name: &str, error: &io::Error) -> FileError {
    if error.kind() == io::ErrorKind::NotFound {
        return FileError::NotFound { path: name.to_owned() };
    }
    system_error(name, &error.to_string())
}

fn system_error(name: &str, message: &str) -> FileError {
    FileError::System {
        path: name.to_owned(),
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests;
