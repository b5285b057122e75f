//! Output: captured, live and streamed.

use std::sync::Arc;

use backspace_server::sandbox::{ExecSpec, FileRequest, OutputChunk, Sandbox};
use backspace_server::task::event::OutputStream;
use tokio::sync::mpsc;

use super::{MINUTE, file, run, streamed, text};

/// What `seq 1 last` writes.
fn numbers(last: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in 1..=last {
        bytes.extend_from_slice(number.to_string().as_bytes());
        bytes.push(b'\n');
    }
    bytes
}

pub async fn both_streams_are_captured_and_counted(sandbox: &Arc<dyn Sandbox>) {
    let report = run(
        sandbox,
        "echo out; sleep 0.1; echo error >&2; sleep 0.1; printf 'end\\0'",
    )
    .await;
    assert_eq!(report.output, b"out\nerror\nend\0");
    assert_eq!((report.total_bytes, report.spill), (14, None));
}

pub async fn a_long_output_keeps_its_ends_and_is_spilled_whole(sandbox: &Arc<dyn Sandbox>) {
    let report = run(sandbox, "seq 1 300000").await;
    let whole = numbers(300_000);
    assert_eq!(report.total_bytes, whole.len() as u64);
    let output = String::from_utf8_lossy(&report.output);
    assert!(
        output.starts_with("1\n2\n3\n") && output.ends_with("\n299999\n300000\n"),
        "{output}"
    );
    let left_out = format!("[... {} bytes left out ...]\n", whole.len() - 30_000);
    assert!(output.contains(&left_out), "{output}");

    let spill = report.spill.unwrap();
    assert_eq!((spill.bytes, spill.dropped_bytes), (whole.len() as u64, 0));
    let mut read = Vec::new();
    loop {
        let piece = sandbox.read_spill(&spill.path, read.len() as u64).await.unwrap();
        if piece.is_empty() {
            break;
        }
        read.extend_from_slice(&piece);
    }
    assert!(read == whole, "{} bytes of {}", read.len(), whole.len());
    // The model reads it with its own tools.
    assert_eq!(
        text(sandbox, &format!("sed -n 150000p {}", spill.path)).await,
        "150000\n"
    );
}

pub async fn a_spill_ends_at_its_limit_and_counts_the_rest(sandbox: &Arc<dyn Sandbox>) {
    let report = run(sandbox, "head -c 83886080 /dev/zero").await;
    assert_eq!((report.exit_code, report.total_bytes), (Some(0), 80 << 20));
    let spill = report.spill.unwrap();
    assert_eq!((spill.bytes, spill.dropped_bytes), (64 << 20, 16 << 20));
}

pub async fn live_output_comes_before_the_end(sandbox: &Arc<dyn Sandbox>) {
    let (chunks, mut received) = mpsc::channel(16);
    let command = "echo begun; until [ -e go ]; do sleep 0.01; done; echo over >&2";
    let (report, ()) = tokio::join!(sandbox.exec(ExecSpec::shell(command, MINUTE), Some(chunks)), async {
        let first = OutputChunk {
            stream: OutputStream::Stdout,
            offset: 0,
            data: b"begun\n".as_slice().into(),
        };
        assert_eq!(received.recv().await, Some(first));
        let write = FileRequest::Write {
            path: "go".into(),
            content: String::new(),
        };
        file(sandbox, write).await.unwrap();
        let second = OutputChunk {
            stream: OutputStream::Stderr,
            offset: 0,
            data: b"over\n".as_slice().into(),
        };
        assert_eq!(received.recv().await, Some(second));
        assert_eq!(received.recv().await, None);
    });
    assert_eq!(report.unwrap().output, b"begun\nover\n");
}

pub async fn streamed_output_is_exact(sandbox: &Arc<dyn Sandbox>) {
    let whole = numbers(8_500_000);
    assert!(whole.len() > 60 << 20);
    let (chunks, mut received) = mpsc::channel(4);
    let command = streamed("seq 1 8500000; echo problem >&2; exit 3");
    let (report, (out, error)) = tokio::join!(sandbox.exec(command, Some(chunks)), async {
        let (mut out, mut error) = (Vec::new(), Vec::new());
        while let Some(chunk) = received.recv().await {
            let stream = if chunk.stream == OutputStream::Stdout {
                &mut out
            } else {
                &mut error
            };
            assert_eq!(chunk.offset, stream.len() as u64);
            stream.extend_from_slice(&chunk.data);
        }
        (out, error)
    });
    assert!(out == whole, "{} bytes of {}", out.len(), whole.len());
    assert_eq!(error, b"problem\n");
    let report = report.unwrap();
    assert_eq!((report.exit_code, report.output.as_slice()), (Some(3), &b""[..]));
    assert_eq!(
        (report.total_bytes, report.spill),
        ((whole.len() + error.len()) as u64, None)
    );
}

pub async fn a_slow_reader_holds_a_streamed_command_up(sandbox: &Arc<dyn Sandbox>) {
    let (chunks, mut received) = mpsc::channel(1);
    let command = streamed("head -c 8388608 /dev/zero; touch written");
    let (report, total) = tokio::join!(sandbox.exec(command, Some(chunks)), async {
        let mut total = received.recv().await.unwrap().data.len();
        // More than credit and pipes can hold is not written, so this command can't come after it.
        assert_eq!(run(sandbox, "test -e written").await.exit_code, Some(1));
        while let Some(chunk) = received.recv().await {
            total += chunk.data.len();
        }
        total
    });
    assert_eq!((report.unwrap().exit_code, total), (Some(0), 8 << 20));
    assert_eq!(run(sandbox, "test -e written").await.exit_code, Some(0));
}

pub async fn a_streamed_command_that_nobody_reads_is_killed(sandbox: &Arc<dyn Sandbox>) {
    let (chunks, received) = mpsc::channel(1);
    drop(received);
    let report = sandbox.exec(streamed("yes"), Some(chunks)).await.unwrap();
    assert_eq!((report.signal, report.timed_out), (Some(9), false));
}
