//! One connection of a command to the proxy: a request, a decision, and bytes, or words that say why not.
//!
//! A connection carries one request. What a command sends behind a plain request's body is never passed on.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::TcpStream;

use super::flow::{Cut, Ending, Meter};
use super::request::{self, Action, MAX_HEAD_BYTES, Request, RequestError};
use super::{Egress, Refusal};

/// How long a command that was refused may take to read why.
const FAREWELL: Duration = Duration::from_secs(5);

/// What such a command may still send meanwhile.
const FAREWELL_BYTES: u64 = 1 << 20;

/// An answer of the proxy's own.
struct Answer {
    status: &'static str,
    text: String,
}

impl Egress {
    /// Serves one connection to its end. Safe to drop at any await; the connection breaks then.
    pub(crate) async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Send + Unpin) {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut bytes = Vec::new();
        let asked = tokio::time::timeout(self.limits().head, read_head(&mut reader, &mut bytes)).await;
        let request = match asked {
            Ok(Some(Ok(request))) => request,
            Ok(Some(Err(error))) => return refuse(&mut reader, &mut writer, self.answer_wrong(error)).await,
            // It went away, or said nothing: there is nobody to tell.
            Ok(None) | Err(_) => return,
        };
        let upstream = match self.connect(&request.destination).await {
            Ok(upstream) => upstream,
            Err(refusal) => {
                let answer = answer_refusal(&request, refusal);
                return refuse(&mut reader, &mut writer, answer).await;
            }
        };
        let rest = bytes.get(request.head_bytes..).unwrap_or_default();
        let meter = Meter::new(self);
        let flow = async {
            match &request.action {
                Action::Connect => tunnel(&meter, &mut reader, &mut writer, upstream, rest).await,
                Action::Forward { head, body_bytes } => {
                    forward(&meter, (&mut reader, &mut writer), upstream, (head, rest, *body_bytes)).await
                }
            }
        };
        match meter.watch(flow).await {
            Ok(()) => {}
            Err(Cut::Spent) => {
                let most_mib = self.limits().bytes >> 20;
                self.deny(
                    &request.destination,
                    &format!("the sandbox has moved {most_mib} MiB over its network, the most that is allowed"),
                );
            }
            Err(cut) => {
                tracing::debug!(subject = %request.destination, error = &cut as &dyn std::error::Error, "a connection out of a sandbox was cut")
            }
        }
    }

    fn answer_wrong(&self, error: RequestError) -> Answer {
        let text = error.to_string();
        let status = match error {
            RequestError::Malformed(_) => "400 Bad Request",
            RequestError::TooLong => "431 Request Header Fields Too Large",
            RequestError::NoLength => "411 Length Required",
            RequestError::TwoHosts(destination) => {
                self.deny(&destination, &text);
                "403 Forbidden by the network policy of the sandbox"
            }
        };
        Answer { status, text }
    }
}

fn answer_refusal(request: &Request, refusal: Refusal) -> Answer {
    let (status, message) = match refusal {
        Refusal::Denied(message) => ("403 Forbidden by the network policy of the sandbox", message),
        Refusal::Unreachable(message) => ("502 Bad Gateway", message),
        Refusal::TimedOut(message) => ("504 Gateway Timeout", message),
    };
    let text = format!("{}: {message}", request.destination);
    Answer { status, text }
}

/// Reads until a head is there; `None` when the command went away before.
async fn read_head(
    reader: &mut (impl AsyncRead + Unpin),
    bytes: &mut Vec<u8>,
) -> Option<Result<Request, RequestError>> {
    loop {
        // Bounded: a head that is not done at its longest is an error.
        match request::parse(bytes) {
            Ok(Some(request)) => return Some(Ok(request)),
            Ok(None) => {}
            Err(error) => return Some(Err(error)),
        }
        let mut piece = [0; 4096];
        let room = piece.len().min(MAX_HEAD_BYTES - bytes.len().min(MAX_HEAD_BYTES)).max(1);
        match reader.read(piece.get_mut(..room).unwrap_or_default()).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(piece.get(..count).unwrap_or_default()),
        }
    }
}

/// Says no, and gives the command time to hear it: a connection that is broken at once may lose the answer.
async fn refuse(reader: &mut (impl AsyncRead + Unpin), writer: &mut (impl AsyncWrite + Unpin), answer: Answer) {
    let Answer { status, text } = answer;
    let text = format!("backspace: {text}\n");
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        text.len()
    );
    let farewell = async {
        writer.write_all(head.as_bytes()).await?;
        writer.write_all(text.as_bytes()).await?;
        writer.shutdown().await?;
        tokio::io::copy(&mut reader.take(FAREWELL_BYTES), &mut tokio::io::sink()).await
    };
    drop(tokio::time::timeout(FAREWELL, farewell).await);
}

/// Moves bytes both ways until both sides have ended.
async fn tunnel<S: AsyncRead + AsyncWrite>(
    meter: &Meter<'_>,
    reader: &mut ReadHalf<S>,
    writer: &mut WriteHalf<S>,
    upstream: TcpStream,
    rest: &[u8],
) -> Result<(), Cut> {
    let (mut from, mut to) = upstream.into_split();
    writer.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    writer.flush().await?;
    let up = async {
        meter.write(&mut to, rest).await?;
        meter.pump(reader, &mut to, u64::MAX).await?;
        Ok::<(), Cut>(to.shutdown().await?)
    };
    let down = async {
        meter.pump(&mut from, writer, u64::MAX).await?;
        Ok::<(), Cut>(writer.shutdown().await?)
    };
    tokio::try_join!(up, down).map(|_| ())
}

/// Sends one request and its body, and nothing behind it, and gives the answer back.
async fn forward<S: AsyncRead + AsyncWrite>(
    meter: &Meter<'_>,
    (reader, writer): (&mut ReadHalf<S>, &mut WriteHalf<S>),
    upstream: TcpStream,
    (head, rest, body_bytes): (&[u8], &[u8], u64),
) -> Result<(), Cut> {
    let (mut from, mut to) = upstream.into_split();
    let up = async {
        meter.write(&mut to, head).await?;
        let have = usize::try_from(body_bytes).unwrap_or(usize::MAX).min(rest.len());
        meter.write(&mut to, rest.get(..have).unwrap_or_default()).await?;
        let ending = meter.pump(reader, &mut to, body_bytes - have as u64).await?;
        if ending == Ending::ReaderEnded {
            return Err(Cut::Failed(std::io::ErrorKind::UnexpectedEof.into()));
        }
        // Only a break is of interest now: then the answer has no reader.
        let _more_or_end = reader.read(&mut [0; 1]).await?;
        // The other side answers, or does not, whatever was sent.
        std::future::pending::<Result<(), Cut>>().await
    };
    let down = async {
        meter.pump(&mut from, writer, u64::MAX).await?;
        Ok::<(), Cut>(writer.shutdown().await?)
    };
    tokio::select! {
        result = up => result,
        result = down => result,
    }
}
