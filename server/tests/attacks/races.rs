//! Links that are swapped while file operations run: a thousand swaps, no escape.
//!
//! A command turns a name into a folder of its own and into a link out of the work tree, as fast as it can; what
//! the link leads to is the host's folder with a canary, and a folder inside that commands may not write. The
//! operations are done inside, so the worst that a race can win is what a command could have done itself.

use std::fs;
use std::time::Duration;

use backspace_server::sandbox::{ExecSpec, FileReply, FileRequest, Sandbox};

use crate::fixture::Backend;
use crate::inside::output;

const SWAPS: u32 = 1000;

/// `door` is a folder with `file` in it, or a link to each of the targets in turn; `swaps` counts.
fn swapper(targets: &[String]) -> String {
    let list = targets
        .iter()
        .map(|target| format!("\"{target}\""))
        .collect::<Vec<_>>()
        .join(",");
    format!(
        "perl -e 'my @t = ({list}); my $n = 0; until (-e \"stop\") {{ \
         rename(\"door\", \"folder\"); symlink($t[$n % @t], \"door\"); \
         unlink(\"door\"); rename(\"folder\", \"door\"); $n++; \
         if ($n % 50 == 0) {{ open(my $f, \">\", \"swaps\"); print $f $n; }} }}'"
    )
}

fn operations(number: u32) -> FileRequest {
    let path = "door/file".to_owned();
    match number % 8 {
        0 => FileRequest::Read {
            path,
            first_line: 1,
            lines: 100,
            max_bytes: 10_000,
        },
        1 => FileRequest::ReadBytes {
            path,
            offset: 0,
            max_bytes: 10_000,
        },
        2 => FileRequest::Write {
            path: "door/new/file".into(),
            content: "escaped".into(),
        },
        3 => FileRequest::Edit {
            path,
            old: "own".into(),
            new: "own".into(),
        },
        4 => FileRequest::Remove {
            path: "door/new/file".into(),
        },
        5 => FileRequest::List {
            path: "door".into(),
            limit: 100,
        },
        6 => FileRequest::Grep {
            pattern: "canary|own".into(),
            path: "door".into(),
            glob: None,
            limit: 100,
        },
        _ => FileRequest::Glob {
            pattern: "**".into(),
            path: "door".into(),
            limit: 100,
        },
    }
}

fn text_of(reply: FileReply) -> String {
    match reply {
        FileReply::Text { text, .. } => text,
        FileReply::Bytes { data, .. } => String::from_utf8_lossy(&data).into_owned(),
        FileReply::Lines { lines, .. } => lines.join("\n"),
        FileReply::Changed { .. } => String::new(),
    }
}

#[tokio::test]
async fn a_thousand_swaps_of_a_link_let_no_file_operation_out() {
    let backend = Backend::new();
    let host = tempfile::tempdir().unwrap();
    fs::write(host.path().join("file"), "canary").unwrap();
    let sandbox = backend.sandbox().await;
    output(sandbox.as_ref(), "mkdir door && echo own > door/file").await;
    // The control on the host: through such a link the canary is read.
    let link = backend.state.path().join("link");
    std::os::unix::fs::symlink(host.path(), &link).unwrap();
    assert_eq!(fs::read_to_string(link.join("file")).unwrap(), "canary");

    let targets = [
        host.path().display().to_string(),
        "/etc".into(),
        "/proc/1/root".into(),
        "/.backspace".into(),
    ];
    let swapping = sandbox.exec(ExecSpec::shell(&swapper(&targets), Duration::from_secs(120)), None);
    let (swapped, seen) = tokio::join!(swapping, operate(sandbox.as_ref()));
    assert_eq!(swapped.unwrap().exit_code, Some(0));
    assert!(seen.own > 0, "the control: the folder itself was read at times");
    let swaps: u32 = output(sandbox.as_ref(), "cat swaps").await.parse().unwrap();
    assert!(swaps >= SWAPS, "{swaps}");
    assert_eq!(seen.escapes, Vec::<String>::new());
    let left: Vec<_> = fs::read_dir(host.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["file"]);
    assert_eq!(fs::read_to_string(host.path().join("file")).unwrap(), "canary");
    sandbox.destroy().await.unwrap();
}

#[derive(Default)]
struct Seen {
    own: u32,
    escapes: Vec<String>,
}

/// Operates until there have been enough swaps and operations.
async fn operate(sandbox: &dyn Sandbox) -> Seen {
    let mut seen = Seen::default();
    let mut number = 0;
    loop {
        if let Ok(reply) = sandbox.file(operations(number)).await.unwrap() {
            let text = text_of(reply);
            seen.own += u32::from(text.contains("own"));
            if text.contains("canary") {
                seen.escapes.push(text);
            }
        }
        number += 1;
        if number % 100 == 0 && number >= SWAPS / 2 && swaps(sandbox).await >= SWAPS {
            break;
        }
    }
    let stop = FileRequest::Write {
        path: "stop".into(),
        content: String::new(),
    };
    sandbox.file(stop).await.unwrap().unwrap();
    seen
}

async fn swaps(sandbox: &dyn Sandbox) -> u32 {
    let request = FileRequest::ReadBytes {
        path: "swaps".into(),
        offset: 0,
        max_bytes: 20,
    };
    match sandbox.file(request).await.unwrap() {
        Ok(reply) => text_of(reply).parse().unwrap_or(0),
        Err(_) => 0,
    }
}
