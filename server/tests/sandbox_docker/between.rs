//! What stands between two ends of a connection and does not always pass things on: a slow engine, a registry that dies.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use backspace_server::jobs::Jobs;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::sync::{CancellationToken, DropGuard};

/// What happens to answers.
#[derive(Clone, Copy, Debug)]
pub enum Manner {
    /// Each piece comes so much later.
    Late(Duration),
    /// Those to requests that begin with the first text and contain the second never come.
    Never(&'static str, &'static str),
    /// After so many bytes both ends are closed, and new ones at once.
    Ends(usize),
    /// After so many bytes nothing comes any more.
    Stops(usize),
}

/// Passes connections on until it is dropped.
pub struct Between {
    shared: Arc<Shared>,
    jobs: Jobs,
    stop: CancellationToken,
    _guard: DropGuard,
}

struct Shared {
    manner: Manner,
    connections: AtomicUsize,
    bytes: AtomicUsize,
    /// From here on everything is passed on.
    is_healed: AtomicBool,
}

impl Between {
    fn new(manner: Manner) -> Self {
        let shared = Shared {
            manner,
            connections: AtomicUsize::default(),
            bytes: AtomicUsize::default(),
            is_healed: AtomicBool::new(false),
        };
        let stop = CancellationToken::new();
        Self {
            shared: Arc::new(shared),
            jobs: Jobs::new(),
            _guard: stop.clone().drop_guard(),
            stop,
        }
    }

    /// Stands before an engine's socket, at another one.
    pub fn sockets(manner: Manner, engine: &Path, own: &Path) -> Self {
        let between = Self::new(manner);
        let listener = UnixListener::bind(own).unwrap();
        let (shared, jobs, stop) = (Arc::clone(&between.shared), between.jobs.clone(), between.stop.clone());
        let engine = engine.to_owned();
        between.until_dropped(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&engine).await.unwrap();
                jobs.spawn("pass on", pass_on(client, server, Arc::clone(&shared), stop.clone()));
            }
        });
        between
    }

    /// Stands before a port of loopback, at another one, which is returned.
    pub async fn ports(manner: Manner, port: u16) -> (Self, u16) {
        let between = Self::new(manner);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let (shared, jobs, stop) = (Arc::clone(&between.shared), between.jobs.clone(), between.stop.clone());
        between.until_dropped(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port)))
                    .await
                    .unwrap();
                jobs.spawn("pass on", pass_on(client, server, Arc::clone(&shared), stop.clone()));
            }
        });
        (between, own)
    }

    fn until_dropped(&self, work: impl Future<Output = ()> + Send + 'static) {
        let token = self.stop.clone();
        self.jobs.spawn("stand between", async move {
            tokio::select! {
                () = token.cancelled() => {}
                () = work => {}
            }
        });
    }

    /// Passes everything on from here on.
    pub fn heal(&self) {
        self.shared.is_healed.store(true, Ordering::SeqCst);
    }

    /// Returns how many connections there were.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

async fn pass_on(
    client: impl AsyncRead + AsyncWrite + Send + 'static,
    server: impl AsyncRead + AsyncWrite + Send + 'static,
    shared: Arc<Shared>,
    stop: CancellationToken,
) {
    shared.connections.fetch_add(1, Ordering::SeqCst);
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_server, mut to_server) = tokio::io::split(server);
    let is_held = AtomicBool::new(false);
    let requests = async {
        let mut piece = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from_client.read(&mut piece).await {
            let text = String::from_utf8_lossy(&piece[..count]);
            if let Manner::Never(start, part) = shared.manner {
                let line = text.lines().next().unwrap_or_default();
                is_held.fetch_or(line.starts_with(start) && line.contains(part), Ordering::SeqCst);
            }
            if to_server.write_all(&piece[..count]).await.is_err() {
                break;
            }
        }
        drop(to_server.shutdown().await);
    };
    let answers = async {
        let mut piece = vec![0; 16 << 10];
        while let Ok(count @ 1..) = from_server.read(&mut piece).await {
            let bytes = shared.bytes.fetch_add(count, Ordering::SeqCst) + count;
            let is_healed = shared.is_healed.load(Ordering::SeqCst);
            match shared.manner {
                _ if is_healed => {}
                Manner::Late(delay) => tokio::time::sleep(delay).await,
                Manner::Never(..) if is_held.load(Ordering::SeqCst) => std::future::pending().await,
                Manner::Ends(most) if bytes > most => return,
                Manner::Stops(most) if bytes > most => std::future::pending().await,
                _ => {}
            }
            if to_client.write_all(&piece[..count]).await.is_err() {
                break;
            }
        }
        drop(to_client.shutdown().await);
        // The client may have more to say, but to nobody.
        std::future::pending().await
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = requests => {}
        () = answers => {}
    }
}
