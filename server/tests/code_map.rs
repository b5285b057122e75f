//! The process that parses: what it answers, and that it has nothing else to give.

#![cfg(test)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

#[test]
fn the_process_that_parses_answers_line_by_line_and_is_confined() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_backspace-server"))
        .arg("outline")
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    for (question, answer) in [
        (
            r#"{"language":"rust","text":"struct A;\nfn main() {}\n"}"#,
            "[{\"kind\":\"struct\",\"name\":\"A\"},{\"kind\":\"fn\",\"name\":\"main\"}]\n",
        ),
        (r#"{"language":"python","text":""}"#, "[]\n"),
    ] {
        writeln!(input, "{question}").unwrap();
        line.clear();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, answer);
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    for confined in ["Seccomp:\t2", "NoNewPrivs:\t1"] {
        assert!(status.contains(confined), "{confined} is missing in {status}");
    }
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    let memory = limits
        .lines()
        .find(|line| line.starts_with("Max address space"))
        .unwrap();
    assert!(memory.contains("1073741824"), "{memory}");
    drop(input);
    assert!(child.wait().unwrap().success());
}
