//! A byte stream that counts what it reads and fails when its peer takes nothing for too long.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// Guards a stream.
#[derive(Debug)]
pub(crate) struct GuardedIo<I> {
    inner: I,
    read_bytes: Arc<AtomicU64>,
    write_stall: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<I> GuardedIo<I> {
    /// Wraps a stream.
    pub(crate) fn new(inner: I, write_stall: Duration) -> Self {
        Self {
            inner,
            read_bytes: Arc::default(),
            write_stall,
            stalled: None,
        }
    }

    /// Returns the count of bytes read, which goes on counting.
    pub(crate) fn read_bytes(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.read_bytes)
    }

    /// Passes a write's result on, and an error once writes have been pending for too long.
    fn watch<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.stalled = None;
            return result;
        }
        let write_stall = self.write_stall;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(write_stall)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the peer takes nothing any more",
        )))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for GuardedIo<I> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let result = Pin::new(&mut this.inner).poll_read(cx, buf);
        let read = buf.filled().len().saturating_sub(before);
        this.read_bytes.fetch_add(read as u64, Ordering::Relaxed);
        result
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for GuardedIo<I> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.inner).poll_write(cx, data);
        this.watch(cx, result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.inner).poll_write_vectored(cx, data);
        this.watch(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.inner).poll_flush(cx);
        // A flush that succeeds says nothing about an earlier write that is still pending.
        if result.is_ready() {
            result
        } else {
            this.watch(cx, result)
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.inner).poll_shutdown(cx);
        this.watch(cx, result)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_late_is_served_and_one_that_never_reads_is_not() {
        let (server, mut client) = tokio::io::duplex(8);
        let mut guarded = GuardedIo::new(server, Duration::from_secs(30));
        let late = async {
            tokio::time::sleep(Duration::from_secs(29)).await;
            client.read_exact(&mut [0; 16]).await.unwrap();
        };
        let (written, ()) = tokio::join!(guarded.write_all(&[0; 16]), late);
        written.unwrap();

        let error = guarded.write_all(&[0; 16]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn bytes_read_are_counted() {
        let (server, mut client) = tokio::io::duplex(64);
        let mut guarded = GuardedIo::new(server, Duration::from_secs(30));
        let count = guarded.read_bytes();
        client.write_all(b"hello").await.unwrap();
        guarded.read_exact(&mut [0; 5]).await.unwrap();
        assert_eq!(count.load(Ordering::Relaxed), 5);
    }
}
