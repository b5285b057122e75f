//! `backspace diff` and `logs`: what is too large for an event.
//!
//! To a terminal the bytes go escaped, line by line; to a file or a pipe as they are, so that `git apply`
//! and other programs get what was stored.

use super::{closed, resolve, watch};
use crate::args::{DiffArgs, Globals, LogsArgs, OutputForm};
use crate::diff::{self, Lines};
use crate::escape;
use crate::exit::Exit;
use crate::paint::{Look, Output, Paint};
use crate::problem::Problem;
use crate::report::Detail;
use crate::screen::Screen;
use crate::session::{Need, Session};

/// A diff is held in memory to be counted; the server keeps none as large.
const MAX_COUNTED_BYTES: usize = 256 * 1024 * 1024;
/// A line is shown in pieces of this size at most.
const MAX_LINE_BYTES: usize = 64 * 1024;

pub(super) async fn diff(globals: &Globals, arguments: &DiffArgs, screen: &mut Screen) -> Result<Exit, Problem> {
    let session = Session::open(globals, Need::Any).await?;
    let done = show_diff(&session, arguments, screen).await;
    closed(session, done).await
}

async fn show_diff(session: &Session, arguments: &DiffArgs, screen: &mut Screen) -> Result<Exit, Problem> {
    let name = format!("{}/artifacts/patch", resolve(session, &arguments.task.task).await?);
    if arguments.stat || screen.form == OutputForm::Json {
        let whole = session
            .client
            .read_artifact(&name)
            .read_to_end(MAX_COUNTED_BYTES)
            .await?;
        if arguments.stat {
            return show_statistics(&whole, screen);
        }
        screen.json(&serde_json::json!({ "patch": String::from_utf8_lossy(&whole) }))?;
        return Ok(Exit::Succeeded);
    }
    let mut lines = Lines::default();
    copy(session, &name, screen, |line, paint| lines.show(line, paint)).await
}

fn show_statistics(whole: &[u8], screen: &mut Screen) -> Result<Exit, Problem> {
    let files = diff::statistics(whole);
    if screen.form == OutputForm::Json {
        let rows: Vec<_> = files
            .iter()
            .map(|file| serde_json::json!({ "path": file.path, "added": file.added, "removed": file.removed, "binary": file.binary }))
            .collect();
        screen.json(&serde_json::json!({ "files": rows }))?;
        return Ok(Exit::Succeeded);
    }
    let paint = screen.paint;
    let width = files
        .iter()
        .map(|file| file.path.chars().count())
        .max()
        .unwrap_or_default();
    let mut lines: Vec<String> = files
        .iter()
        .map(|file| {
            let size = if file.binary {
                "binary".to_owned()
            } else {
                let added = paint.text(Look::Green, &format!("+{}", file.added));
                format!("{added} {}", paint.text(Look::Red, &format!("−{}", file.removed)))
            };
            format!("{:<width$}  {size}", file.path)
        })
        .collect();
    lines.push(diff::total(&files));
    screen.lines(&lines)?;
    Ok(Exit::Succeeded)
}

pub(super) async fn logs(globals: &Globals, arguments: &LogsArgs, screen: &mut Screen) -> Result<Exit, Problem> {
    let session = Session::open(globals, Need::Any).await?;
    let done = if arguments.follow {
        watch::show(&session, &arguments.task.task, 0, Detail::Everything, screen).await
    } else {
        show_artifact(&session, arguments, screen).await
    };
    closed(session, done).await
}

async fn show_artifact(session: &Session, arguments: &LogsArgs, screen: &mut Screen) -> Result<Exit, Problem> {
    let task = resolve(session, &arguments.task.task).await?;
    let artifact = &arguments.artifact;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if artifact.is_empty() || !artifact.bytes().all(plain) {
        return Err(
            Problem::new(Exit::Other, format!("{artifact:?} is no name of an artifact"))
                .next("write log, exchanges, patch, or a name that an event tells"),
        );
    }
    let name = format!("{task}/artifacts/{artifact}");
    copy(session, &name, screen, |line, _| escape::block_of_bytes(line)).await
}

/// Copies an artifact to the screen; `show` makes a line, without its break, fit for a terminal.
async fn copy(
    session: &Session,
    name: &str,
    screen: &mut Screen,
    mut show: impl FnMut(&[u8], Paint) -> String,
) -> Result<Exit, Problem> {
    let mut read = session.client.read_artifact(name);
    let mut rest: Vec<u8> = Vec::new();
    while let Some(data) = read.next().await {
        let data = data?;
        if screen.output == Output::Other {
            screen.raw(&data)?;
            continue;
        }
        rest.extend_from_slice(&data);
        let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        // A line without an end must not fill the memory; a break is put into it.
        let taken = if whole == 0 && rest.len() > MAX_LINE_BYTES {
            rest.len()
        } else {
            whole
        };
        let complete: Vec<u8> = rest.drain(..taken).collect();
        let lines: Vec<String> = split(&complete).map(|line| show(line, screen.paint)).collect();
        screen.lines(&lines)?;
    }
    if !rest.is_empty() {
        screen.line(&show(&rest, screen.paint))?;
    }
    Ok(Exit::Succeeded)
}

fn split(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let lines = text.split(|byte| *byte == b'\n');
    lines.filter(move |_| !text.is_empty())
}
