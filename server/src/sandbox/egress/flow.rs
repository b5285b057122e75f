//! Bytes between a command and its destination, counted and timed.

use std::io;
use std::sync::{Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::Instant;

use super::{Egress, EgressLimits};

/// Bytes moved at once.
const PIECE_BYTES: usize = 32 << 10;

/// Why a connection was ended from here.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cut {
    /// One of its sides failed.
    #[error(transparent)]
    Failed(#[from] io::Error),
    /// The sandbox has had its share.
    #[error("the sandbox has had its share")]
    Spent,
    /// Nothing moved for too long, or it lasted too long.
    #[error("nothing moved for too long, or it lasted too long")]
    TooLong,
}

/// Watches over one connection.
pub(super) struct Meter<'a> {
    egress: &'a Egress,
    limits: EgressLimits,
    begun: Instant,
    last: Mutex<Instant>,
}

impl<'a> Meter<'a> {
    pub(super) fn new(egress: &'a Egress) -> Self {
        let now = Instant::now();
        Self {
            egress,
            limits: egress.limits(),
            begun: now,
            last: Mutex::new(now),
        }
    }

    /// Runs a flow until it is over or has to be cut.
    pub(super) async fn watch<T>(&self, flow: impl Future<Output = Result<T, Cut>>) -> Result<T, Cut> {
        tokio::select! {
            result = flow => result,
            () = self.too_long() => Err(Cut::TooLong),
        }
    }

    /// Moves bytes to the end of the reader, or as many as `most`; returns whether the reader has ended.
    pub(super) async fn pump(
        &self,
        reader: &mut (impl AsyncRead + Unpin),
        writer: &mut (impl AsyncWrite + Unpin),
        mut most: u64,
    ) -> Result<Ending, Cut> {
        let mut buffer = vec![0; PIECE_BYTES];
        while most > 0 {
            let room = usize::try_from(most).unwrap_or(usize::MAX).min(PIECE_BYTES);
            let count = reader.read(buffer.get_mut(..room).unwrap_or_default()).await?;
            if count == 0 {
                return Ok(Ending::ReaderEnded);
            }
            most -= count as u64;
            self.write(writer, buffer.get(..count).unwrap_or_default()).await?;
        }
        Ok(Ending::Moved)
    }

    /// Writes bytes that have been read already.
    pub(super) async fn write(&self, writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Result<(), Cut> {
        if !self.egress.count(bytes.len() as u64) {
            return Err(Cut::Spent);
        }
        self.touch();
        writer.write_all(bytes).await?;
        writer.flush().await?;
        self.touch();
        Ok(())
    }

    fn touch(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    async fn too_long(&self) {
        let end = self.begun + self.limits.connection;
        loop {
            let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
            let at = (last + self.limits.idle).min(end);
            if at <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(at).await;
        }
    }
}

/// How a pump ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The reader has no more.
    ReaderEnded,
    /// Everything asked for was moved.
    Moved,
}
