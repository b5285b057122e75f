//! A TCP proxy that cuts each connection after a number of bytes: real resets, at any byte of a frame.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// How many bytes of answers a connection may carry; `None` for as many as it likes.
pub(crate) type Allowance = Box<dyn FnMut() -> Option<usize> + Send>;

#[derive(Default)]
pub(crate) struct Scissors {
    cuts: AtomicU64,
}

impl Scissors {
    pub(crate) fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::SeqCst)
    }

    /// Starts the proxy before `server`; returns its address.
    pub(crate) async fn before(self: &Arc<Self>, server: String, mut allowance: Allowance) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let scissors = self.clone();
        #[expect(
            clippy::disallowed_methods,
            reason = "a test has no Jobs; the runtime's end is this job's"
        )]
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let upstream = TcpStream::connect(&server).await.unwrap();
                client.set_nodelay(true).unwrap();
                upstream.set_nodelay(true).unwrap();
                let (allowed, scissors) = (allowance(), scissors.clone());
                #[expect(clippy::disallowed_methods, reason = "as above")]
                tokio::spawn(async move { scissors.carry(client, upstream, allowed).await });
            }
        });
        address
    }

    async fn carry(&self, mut client: TcpStream, mut server: TcpStream, mut allowed: Option<usize>) {
        let (mut requests, mut answers) = ([0_u8; 4096], [0_u8; 4096]);
        loop {
            tokio::select! {
                read = client.read(&mut requests) => match read {
                    Ok(0) | Err(_) => return,
                    Ok(length) => if server.write_all(&requests[..length]).await.is_err() { return },
                },
                read = server.read(&mut answers) => match read {
                    Ok(0) | Err(_) => return,
                    Ok(length) => {
                        let kept = allowed.map_or(length, |left| left.min(length));
                        if client.write_all(&answers[..kept]).await.is_err() { return }
                        if let Some(left) = &mut allowed {
                            *left -= kept;
                            if kept < length || *left == 0 {
                                self.cuts.fetch_add(1, Ordering::SeqCst);
                                // Unread input makes the kernel send a reset instead of an orderly end.
                                return;
                            }
                        }
                    }
                },
            }
        }
    }
}
