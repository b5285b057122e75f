//! File operations, and what they tell about the work tree.

use std::sync::Arc;

use backspace_server::sandbox::{Changes, FileError, FileReply, FileRequest, Sandbox};

use super::{file, run, text};

fn write(path: &str, content: &str) -> FileRequest {
    FileRequest::Write {
        path: path.into(),
        content: content.into(),
    }
}

fn read(path: &str) -> FileRequest {
    FileRequest::Read {
        path: path.into(),
        first_line: 1,
        lines: 100,
        max_bytes: 10_000,
    }
}

fn lines(lines: &[&str]) -> Result<FileReply, FileError> {
    Ok(FileReply::Lines {
        lines: lines.iter().map(|line| (*line).to_owned()).collect(),
        truncated: false,
    })
}

pub async fn operations_do_what_they_say(sandbox: &Arc<dyn Sandbox>) {
    let changed = |created, line| Ok(FileReply::Changed { created, line });
    let path = || "src/main.rs".to_owned();
    assert_eq!(
        file(sandbox, write(&path(), "one\ntwo\nthree\n")).await,
        changed(true, 0)
    );
    let (old, new) = ("two".into(), "2".into());
    assert_eq!(
        file(sandbox, FileRequest::Edit { path: path(), old, new }).await,
        changed(false, 2)
    );
    let (old, new) = ("two".into(), "2".into());
    let missed = file(sandbox, FileRequest::Edit { path: path(), old, new }).await;
    assert!(matches!(missed, Err(FileError::NoMatch { .. })), "{missed:?}");
    let text = FileReply::Text {
        text: "one\n2\nthree\n".into(),
        total_lines: 3,
        truncated: false,
    };
    assert_eq!(file(sandbox, read(&path())).await, Ok(text));
    let (pattern, limit) = ("^t".to_owned(), 10);
    let grep = FileRequest::Grep {
        pattern,
        path: ".".into(),
        glob: Some("*.rs".into()),
        limit,
    };
    assert_eq!(file(sandbox, grep).await, lines(&["src/main.rs:3: three"]));
    let glob = FileRequest::Glob {
        pattern: "**/*.rs".into(),
        path: ".".into(),
        limit,
    };
    assert_eq!(file(sandbox, glob).await, lines(&["src/main.rs"]));
    assert_eq!(
        file(
            sandbox,
            FileRequest::List {
                path: ".".into(),
                limit
            }
        )
        .await,
        lines(&["src/"])
    );
    assert_eq!(
        file(sandbox, FileRequest::Remove { path: path() }).await,
        changed(false, 0)
    );
    assert_eq!(
        file(sandbox, read(&path())).await,
        Err(FileError::NotFound { path: path() })
    );
}

pub async fn operations_are_done_as_the_user_of_commands(sandbox: &Arc<dyn Sandbox>) {
    file(sandbox, write("folder/file", "from the tool\n")).await.unwrap();
    let owner = text(
        sandbox,
        "stat -c %u:%g folder folder/file; echo more >> folder/file; id -u; id -g",
    )
    .await;
    let words: Vec<&str> = owner.split_whitespace().collect();
    let pair = format!("{}:{}", words[2], words[3]);
    assert_eq!(words[..2], [pair.as_str(), pair.as_str()]);

    text(
        sandbox,
        "echo '#!/bin/sh' > script; chmod 751 script; mkdir shut; echo x > shut/file; chmod 0 shut",
    )
    .await;
    file(sandbox, write("script", "#!/bin/sh\necho new\n")).await.unwrap();
    assert_eq!(text(sandbox, "./script; stat -c %a script").await, "new\n751\n");
    let refused = file(sandbox, read("shut/file")).await;
    assert!(matches!(refused, Err(FileError::System { .. })), "{refused:?}");
    text(sandbox, "chmod 755 shut; cat shut/file").await;
    file(sandbox, read("shut/file")).await.unwrap();
}

pub async fn operations_reach_no_more_than_commands(sandbox: &Arc<dyn Sandbox>) {
    // Of the supervisor: its memory, its streams, its environment.
    for path in ["/proc/1/environ", "/proc/1/mem", "/proc/1/fd/10", "/proc/1/maps"] {
        let outcome = file(sandbox, read(path)).await;
        assert!(outcome.is_err(), "{path}: {outcome:?}");
    }
    // Of the child that does it: the pipe to the supervisor is no file.
    for path in ["/proc/self/fd/1", "/dev/stdout", "/proc/thread-self/fd/1"] {
        let outcome = file(sandbox, write(path, "forged")).await;
        assert!(outcome.is_err(), "{path}: {outcome:?}");
    }
    for path in ["/usr/bin/env", "/etc/hosts", "/proc/sys/kernel/core_pattern", "/new"] {
        let outcome = file(sandbox, write(path, "x")).await;
        assert!(outcome.is_err(), "{path}: {outcome:?}");
    }
    // The controls: what a command may read and write, an operation may.
    file(sandbox, read("/etc/hosts")).await.unwrap();
    file(sandbox, write("/tmp/file", "x")).await.unwrap();
    assert_eq!(text(sandbox, "cat /tmp/file").await, "x");
}

pub async fn changes_are_told_until_it_is_certain_that_there_are_none(sandbox: &Arc<dyn Sandbox>) {
    let changes = || async { sandbox.changes().await.unwrap() };
    changes().await;
    assert_eq!(changes().await, Changes::None);
    file(sandbox, write("a", "x")).await.unwrap();
    assert_eq!((changes().await, changes().await), (Changes::Possible, Changes::None));
    file(sandbox, read("a")).await.unwrap();
    assert_eq!(changes().await, Changes::None);
    run(sandbox, "rm a").await;
    assert_eq!((changes().await, changes().await), (Changes::Possible, Changes::None));
    // A command that runs may write at any time.
    let command = "until [ -e go ]; do sleep 0.01; done";
    let (report, ()) = tokio::join!(run(sandbox, command), async {
        // It may not have started when this comes, but later it has.
        while changes().await == Changes::None {}
        assert_eq!(
            (changes().await, changes().await),
            (Changes::Possible, Changes::Possible)
        );
        file(sandbox, write("go", "")).await.unwrap();
    });
    assert_eq!(report.exit_code, Some(0));
    assert_eq!((changes().await, changes().await), (Changes::Possible, Changes::None));
}
