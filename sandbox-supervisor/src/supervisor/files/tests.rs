//! File operations on a real folder, in this process.

use super::*;

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.txt"), "one\ntwo\nthree\n").unwrap();
    fs::write(folder.path().join("binary"), b"a\0b").unwrap();
    folder
}

fn read(path: &str, first_line: u64, lines: u64, max_bytes: u64) -> FileRequest {
    FileRequest::Read {
        path: path.into(),
        first_line,
        lines,
        max_bytes,
    }
}

fn text(text: &str, total_lines: u64, truncated: bool) -> FileOutcome {
    Ok(FileReply::Text {
        text: text.into(),
        total_lines,
        truncated,
    })
}

#[test]
fn lines_are_read_from_any_place_and_cut_at_whole_lines() {
    let folder = folder();
    for (request, expected) in [
        (read("a.txt", 1, 100, 1000), text("one\ntwo\nthree\n", 3, false)),
        (read("a.txt", 2, 1, 1000), text("two\n", 3, true)),
        (read("a.txt", 9, 1, 1000), text("", 3, false)),
        (read("a.txt", 1, 100, 9), text("one\ntwo\n", 3, true)),
        (read("a.txt", 1, 100, 2), text("on", 3, true)),
        (
            read("binary", 1, 1, 1000),
            Err(FileError::Binary {
                path: "binary".into(),
                size: 3,
            }),
        ),
        (
            read("none", 1, 1, 1000),
            Err(FileError::NotFound { path: "none".into() }),
        ),
    ] {
        assert_eq!(perform(&request, folder.path()), expected, "{request:?}");
    }
}

#[test]
fn a_pipe_is_refused_and_never_waited_for() {
    let folder = folder();
    let status = std::process::Command::new("mkfifo")
        .arg(folder.path().join("pipe"))
        .status()
        .unwrap();
    assert!(status.success());
    let outcome = perform(&read("pipe", 1, 1, 10), folder.path());
    assert_eq!(
        outcome,
        Err(FileError::WrongKind {
            path: "pipe".into(),
            message: "is a pipe, not a file".into()
        })
    );
}

#[test]
fn a_written_file_keeps_its_mode_and_folders_are_made() {
    let folder = folder();
    let script = folder.path().join("a.txt");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let write = |path: &str, content: &str| FileRequest::Write {
        path: path.into(),
        content: content.into(),
    };
    let changed = |created| Ok(FileReply::Changed { created, line: 0 });
    assert_eq!(perform(&write("a.txt", "new"), folder.path()), changed(false));
    assert_eq!(fs::metadata(&script).unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(fs::read_to_string(&script).unwrap(), "new");
    assert_eq!(perform(&write("deep/er/file", "x"), folder.path()), changed(true));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
}

#[test]
fn an_edit_changes_one_place() {
    let folder = folder();
    let edit = FileRequest::Edit {
        path: "a.txt".into(),
        old: "two".into(),
        new: "2".into(),
    };
    assert_eq!(
        perform(&edit, folder.path()),
        Ok(FileReply::Changed {
            created: false,
            line: 2
        })
    );
    assert_eq!(
        fs::read_to_string(folder.path().join("a.txt")).unwrap(),
        "one\n2\nthree\n"
    );
}
