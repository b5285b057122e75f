//! A destination on this machine, and commands outside of any sandbox.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use backspace_server::jobs::Jobs;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// What `/big` answers, and what an upload has.
pub const BIG_BYTES: usize = 8 << 20;

/// Listens on all addresses, by TCP and UDP on ports of its own, and counts who comes.
pub struct Target {
    pub port: u16,
    pub udp_port: u16,
    hits: Arc<AtomicUsize>,
}

impl Target {
    pub async fn start() -> Self {
        let tcp = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let udp = UdpSocket::bind("0.0.0.0:0").await.unwrap();
        let hits = Arc::new(AtomicUsize::new(0));
        let target = Self {
            port: tcp.local_addr().unwrap().port(),
            udp_port: udp.local_addr().unwrap().port(),
            hits: Arc::clone(&hits),
        };
        let jobs = Jobs::new();
        jobs.spawn("udp target", {
            let hits = Arc::clone(&hits);
            async move {
                let mut question = [0; 512];
                while let Ok((count, from)) = udp.recv_from(&mut question).await {
                    hits.fetch_add(1, Ordering::SeqCst);
                    drop(udp.send_to(&question[..count], from).await);
                }
            }
        });
        jobs.clone().spawn("tcp target", async move {
            while let Ok((stream, _)) = tcp.accept().await {
                hits.fetch_add(1, Ordering::SeqCst);
                jobs.spawn("visitor", async move { drop(answer(stream).await) });
            }
        });
        target
    }

    pub fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }

    /// Fills the blanks of a command line.
    pub fn fill(&self, command: &str, host: IpAddr) -> String {
        command
            .replace("{host}", &host.to_string())
            .replace("{port}", &self.port.to_string())
            .replace("{udp}", &self.udp_port.to_string())
    }
}

/// Answers one request, whatever it is; one with a body is told how long it was.
async fn answer(stream: TcpStream) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while stream.read_line(&mut head).await? > 2 {}
    let length = head
        .lines()
        .find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("content-length: ")?
                .trim()
                .parse()
                .ok()
        })
        .unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let text = match (length, head.starts_with("GET /big ")) {
        (0, true) => vec![b'x'; BIG_BYTES],
        (0, false) => b"reached\n".to_vec(),
        _ => format!("took {length}\n").into_bytes(),
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        text.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&text).await?;
    stream.shutdown().await
}

/// Addresses of this machine that only this machine can reach: probes go nowhere else.
pub const ADDRESSES: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2))];

/// Runs a command line outside, with no proxy set; returns exit status and what it wrote.
pub async fn outside(command: &str) -> (Option<i32>, String) {
    let output = tokio::process::Command::new("/bin/sh")
        .args(["-c", command])
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", "/nonexistent")
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}
