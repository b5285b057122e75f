//! The supervisor's streams over an engine's attachment.
//!
//! The engine sends stdout and stderr over one connection, in pieces; stdout is the protocol, and of stderr the
//! end is kept, for the supervisor's own words when it can't begin.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use bollard::container::{AttachContainerResults, LogOutput};
use bollard::query_parameters::AttachContainerOptions;
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::io::StreamReader;

use super::engine::Engine;
use crate::sandbox::SandboxError;

/// Bytes of stderr that are kept.
const TAIL_BYTES: usize = 4 << 10;

/// A container's streams.
pub(super) struct Attachment {
    /// Its stdout.
    pub(super) reader: Pin<Box<dyn AsyncRead + Send>>,
    /// Its stdin.
    pub(super) writer: Pin<Box<dyn AsyncWrite + Send>>,
    /// What it says on stderr.
    pub(super) words: Words,
}

/// The end of what a supervisor wrote to stderr.
#[derive(Clone, Default)]
pub(super) struct Words(Arc<Mutex<Vec<u8>>>);

impl Words {
    fn add(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(bytes);
        let excess = kept.len().saturating_sub(TAIL_BYTES);
        kept.drain(..excess);
    }

    /// Returns the last line, if anything was said.
    pub(super) fn last_line(&self) -> Option<String> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&kept);
        let line = text.lines().rfind(|line| !line.trim().is_empty())?;
        Some(line.chars().filter(|character| !character.is_control()).collect())
    }
}

/// Attaches to a container, started or not; what it writes from now on is read.
pub(super) async fn attach(engine: &Engine, container: &str) -> Result<Attachment, SandboxError> {
    let options = AttachContainerOptions {
        stream: true,
        stdin: true,
        stdout: true,
        stderr: true,
        ..AttachContainerOptions::default()
    };
    let attached = engine.client().attach_container(container, Some(options)).await;
    let AttachContainerResults { output, input } =
        attached.map_err(|error| engine.fault("attach to the container", error))?;
    let words = Words::default();
    let aside = words.clone();
    let stdout = output.filter_map(move |piece| match piece {
        Ok(LogOutput::StdOut { message } | LogOutput::Console { message }) => Some(Ok(message)),
        Ok(LogOutput::StdErr { message }) => {
            aside.add(&message);
            None
        }
        Ok(LogOutput::StdIn { .. }) => None,
        Err(error) => Some(Err(io::Error::other(error))),
    });
    let stdout: Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>> = Box::pin(stdout);
    Ok(Attachment {
        reader: Box::pin(StreamReader::new(stdout)),
        writer: input,
        words,
    })
}
