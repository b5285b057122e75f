//! Git's own `http-backend`, run as the CGI program that it is, for servers of tests.

use std::path::Path;
use std::process::Stdio;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use tokio::io::AsyncWriteExt as _;

/// Answers a request for a bare repository below `root`.
pub(crate) async fn serve(
    root: &Path,
    head: &http::request::Parts,
    body: &[u8],
) -> std::io::Result<Response<Full<Bytes>>> {
    let header = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let mut command = tokio::process::Command::new("git");
    command.arg("http-backend").env_clear().envs([
        ("PATH", "/usr/local/bin:/usr/bin:/bin"),
        ("GIT_HTTP_EXPORT_ALL", "1"),
        ("REMOTE_USER", "tester"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ]);
    command.env("GIT_PROJECT_ROOT", root);
    command.env("REQUEST_METHOD", head.method.as_str());
    command.env("PATH_INFO", head.uri.path());
    command.env("QUERY_STRING", head.uri.query().unwrap_or_default());
    command.env("CONTENT_LENGTH", body.len().to_string());
    for (variable, name) in [
        ("CONTENT_TYPE", "content-type"),
        ("HTTP_CONTENT_ENCODING", "content-encoding"),
        ("GIT_PROTOCOL", "git-protocol"),
    ] {
        if let Some(value) = header(name) {
            command.env(variable, value);
        }
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn()?;
    let mut stdin = child.stdin.take().unwrap();
    let write = async {
        let _ = stdin.write_all(body).await;
        drop(stdin);
    };
    let ((), output) = tokio::join!(write, child.wait_with_output());
    let output = output?.stdout;
    let end = output
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap_or(output.len());
    let mut response = Response::builder();
    for line in String::from_utf8_lossy(&output[..end]).lines() {
        match line.split_once(": ") {
            Some(("Status", status)) => response = response.status(status[..3].parse::<u16>().unwrap()),
            Some((name, value)) => response = response.header(name, value),
            None => {}
        }
    }
    let content = Bytes::copy_from_slice(output.get(end + 4..).unwrap_or_default());
    Ok(response.body(Full::new(content)).unwrap())
}
