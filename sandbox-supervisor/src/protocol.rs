//! Messages of the supervisor protocol, version 2.
//!
//! Control messages are JSON payloads, one type a kind; output is raw bytes. The supervisor speaks
//! first (`Hello`), the server answers (`Attach`) with its lease epoch; the supervisor obeys the highest
//! epoch it has seen: an `Attach` with a lower one changes nothing, and the `Hello` after it says so.
//!
//! An exec is known by the stream number that the server chose. Its output goes to a capture (head
//! and tail) and a spill file; what is also sent live is lossy and carries offsets (`Live`). Or it is
//! only sent, complete, and waits for credit (`Streamed`); such a command is killed when another server
//! attaches, since bytes under way may be lost then. The report of an ended exec is kept until the
//! server sends `Forget`, so a server that attaches anew gets it again. A server that enters a running
//! supervisor sends `Attach` unasked; every `Attach` but the first is answered by a new `Hello`.
//!
//! The tunnel is the way of commands to the server's proxy. It is shut until the server asks for it (`TUNNEL`), and
//! shut again by every `Attach`. Then each connection to a listener on loopback is a stream whose number
//! the supervisor chose, from `FIRST_TUNNEL_STREAM` on and never again. Each side may send `TUNNEL_WINDOW_BYTES`
//! on it, and more as the other has taken it. A stream is over when both sides have sent their end, or one of them
//! a reset; frames of a stream that is over are dropped.

use serde::{Deserialize, Serialize};

pub use file::{FileError, FileOutcome, FileReply, FileRequest};

mod file;

/// Version of this protocol; both ends must agree.
pub const VERSION: u32 = 2;

/// Bytes of `Streamed` output that may be under way without new credit.
pub const INITIAL_CREDIT_BYTES: u64 = 1 << 20;

/// First number of a stream of the tunnel; those of execs and requests are lower.
pub const FIRST_TUNNEL_STREAM: u32 = 1 << 31;

/// Streams of the tunnel at once.
pub const MAX_TUNNEL_STREAMS: usize = 64;

/// Bytes that may be under way on a stream of the tunnel, in each direction, without new credit.
pub const TUNNEL_WINDOW_BYTES: u64 = 64 << 10;

/// `sequence` of an empty frame of tunnel data: nothing follows in this direction.
pub const TUNNEL_END: u64 = 0;

/// `sequence` of an empty frame of tunnel data: the connection is broken, in both directions. Behind the sender's
/// own end it only says that nothing more is taken: what was sent before the end still arrives.
pub const TUNNEL_RESET: u64 = 1;

/// Head and tail kept of a captured output, each half of it.
pub const CAPTURE_BYTES: usize = 30_000;

/// Most bytes of one output that are spilled.
pub const SPILL_BYTES: u64 = 64 << 20;

/// Frame kinds. Odd ones come from the supervisor.
pub mod kind {
    /// Supervisor: `Hello`.
    pub const HELLO: u8 = 1;
    /// Server: `Attach`.
    pub const ATTACH: u8 = 2;
    /// Supervisor: bytes of stdout; `sequence` is their offset.
    pub const STDOUT: u8 = 3;
    /// Server: `ExecRequest`; `stream` is the new exec.
    pub const EXEC: u8 = 4;
    /// Supervisor: bytes of stderr; `sequence` is their offset.
    pub const STDERR: u8 = 5;
    /// Server: kill the exec `stream` with all its processes.
    pub const KILL: u8 = 6;
    /// Supervisor: `ExecDone` of the exec `stream`.
    pub const EXEC_DONE: u8 = 7;
    /// Server: the report of exec `stream` has been taken.
    pub const FORGET: u8 = 8;
    /// Supervisor: `FileOutcome` of the request `stream`.
    pub const FILE_DONE: u8 = 9;
    /// Server: `FileRequest`; `stream` is the new request.
    pub const FILE: u8 = 10;
    /// Supervisor: bytes from a connection of the tunnel `stream`; empty = its end, see `TUNNEL_END`.
    pub const TUNNEL_DATA_UP: u8 = 11;
    /// Server: bytes to a connection of the tunnel `stream`; empty = its end, see `TUNNEL_END`.
    pub const TUNNEL_DATA_DOWN: u8 = 12;
    /// Supervisor: a command connected to the proxy; `stream` names the connection.
    pub const TUNNEL_OPEN: u8 = 13;
    /// Server: `sequence` more bytes may be sent on `stream` (streamed output or tunnel).
    pub const CREDIT: u8 = 14;
    /// Supervisor: `sequence` more bytes may be sent on the tunnel `stream`.
    pub const TUNNEL_CREDIT: u8 = 15;
    /// Server: end the sandbox.
    pub const SHUTDOWN: u8 = 16;
    /// Supervisor: `ChangesReply` of the request `stream`.
    pub const CHANGES_DONE: u8 = 17;
    /// Server: ask for changes; `stream` is the new request.
    pub const CHANGES: u8 = 18;
    /// Supervisor: answer to a ping.
    pub const PONG: u8 = 19;
    /// Server: are you there?
    pub const PING: u8 = 20;
    /// Supervisor: `FatalError`; the sandbox ends after it.
    pub const FATAL: u8 = 21;
    /// Supervisor: `TunnelOutcome` of the request `stream`.
    pub const TUNNEL_DONE: u8 = 23;
    /// Server: let commands use the tunnel; `stream` is the new request.
    pub const TUNNEL: u8 = 24;
}

/// The supervisor's greeting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// `VERSION` of the supervisor.
    pub version: u32,
    /// Highest epoch seen, 0 at first.
    pub epoch: u64,
    /// Execs that run or whose report was not taken.
    pub execs: Vec<u32>,
    /// What the supervisor itself enforces, e.g. `seccomp`, `landlock:6`.
    pub layers: Vec<String>,
}

/// The server's answer to a greeting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attach {
    /// `VERSION` of the server.
    pub version: u32,
    /// The lease's epoch.
    pub epoch: u64,
    /// The sandbox ends after so many seconds unless attached anew.
    pub deadline_seconds: u64,
    /// Environment of every command.
    pub environment: Vec<(String, String)>,
}

/// Starts a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecRequest {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Working folder.
    pub folder: String,
    /// Environment beside the sandbox's own.
    pub environment: Vec<(String, String)>,
    /// Milliseconds until all its processes are killed.
    pub timeout_ms: u64,
    /// What happens to its output.
    pub output: Output,
}

/// What happens to a command's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// Captured and spilled; nothing is sent before the report.
    Captured,
    /// As `Captured`, and sent as it comes, with holes when the server is slow or there is much of it.
    Live,
    /// Only sent: every byte, as credit allows. The command is killed when its connection ends.
    Streamed,
}

/// How a command ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecDone {
    /// Why it could not be started; all else is empty then.
    pub start_error: Option<String>,
    /// Exit status.
    pub exit_code: Option<i32>,
    /// Signal that ended it.
    pub signal: Option<i32>,
    /// The time limit passed.
    pub timed_out: bool,
    /// A process was killed for memory.
    pub out_of_memory: bool,
    /// It was ended because the work tree had outgrown its limit.
    #[serde(default)]
    pub disk_exceeded: bool,
    /// Wall time.
    pub duration_us: u64,
    /// Captured head.
    #[serde(with = "base64_bytes")]
    pub head: Vec<u8>,
    /// Captured tail.
    #[serde(with = "base64_bytes")]
    pub tail: Vec<u8>,
    /// Bytes between head and tail that are in neither.
    pub omitted_bytes: u64,
    /// Bytes written to stdout.
    pub stdout_bytes: u64,
    /// Bytes written to stderr.
    pub stderr_bytes: u64,
    /// Path of the spilled whole.
    pub spill_path: Option<String>,
    /// Bytes in it.
    pub spill_bytes: u64,
}

/// Whether the work tree may have changed since the last time this was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangesReply {
    /// False only when it is certain that nothing was written.
    pub possible: bool,
}

/// Port on loopback where the tunnel begins, which commands find in their environment; or why it can't be.
pub type TunnelOutcome = Result<u16, String>;

/// Why a sandbox ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FatalError {
    /// The layer or step that failed, and what to do.
    pub message: String,
}

/// Bytes as base64 text in JSON.
mod base64_bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_any_length_survive_json() {
        for length in 0..50 {
            let done = ExecDone {
                head: (0..length).map(|byte| byte as u8 ^ 0xA5).collect(),
                ..ExecDone::default()
            };
            let text = serde_json::to_string(&done).unwrap();
            assert_eq!(serde_json::from_str::<ExecDone>(&text).unwrap(), done);
        }
    }
}
