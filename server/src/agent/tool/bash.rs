//! `bash`: a command line in the sandbox, with stdin at its end.
//!
//! Each call is a fresh shell: what one leaves behind is in files, not in a shell that a restart
//! would lose. The shell is bash where the image has it, else sh.

use serde::Deserialize;
use tokio::sync::mpsc;

use super::{Reply, Shell, ToolContext, ToolError, ToolResult};
use crate::model::ToolSpec;
use crate::sandbox::{ExecReport, ExecSpec, OutputChunk, SandboxError};
use crate::secret::{MaskedPiece, MaskedStream};
use crate::task::event::{LivePayload, OutputStream, ToolOutcome};
use crate::task::text_cut::head_and_tail;

/// Chunks under way to the live view; a full channel makes the sandbox drop chunks, never wait.
const LIVE_CHUNKS: usize = 64;

pub(super) const SPEC: ToolSpec = ToolSpec {
    name: "bash",
    description: "Runs a command line in the root of the repository and returns its output and exit code. Each call is \
a new shell: folder and variables do not carry over, files do. There is no terminal and stdin is at its end, so use \
flags that make programs ask nothing. All processes are killed when the call returns; nothing can stay in the \
background. There is no network unless the task says so. Long output is cut in the middle and kept in a file.",
    schema: r#"{"type":"object","properties":{"command":{"type":"string","description":"Command line."},"timeout_seconds":{"type":"integer","minimum":1,"maximum":600,"description":"Seconds until it is killed. Optional."}},"required":["command"],"additionalProperties":false}"#,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::agent) struct Arguments {
    pub(super) command: String,
    timeout_seconds: Option<u64>,
}

impl Arguments {
    pub(super) async fn run(&self, context: &ToolContext<'_>) -> ToolResult {
        if self.command.contains('\0') {
            return Err(ToolError::Rejected(
                "bash: a command can't contain a NUL character; nothing was done".into(),
            ));
        }
        let report = match self.exec(context).await {
            Ok(report) => report,
            Err(SandboxError::Start { message }) => {
                return Err(ToolError::Rejected(format!(
                    "bash: the command could not be started: {message}"
                )));
            }
            Err(error) => return Err(ToolError::Sandbox(error)),
        };
        let outcome = if report.timed_out {
            ToolOutcome::TimedOut
        } else {
            ToolOutcome::Ok
        };
        let mut text = head_and_tail(
            &String::from_utf8_lossy(&report.output),
            context.config.tool_output_chars,
        );
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&ending(&report, context));
        Ok(Reply {
            outcome,
            text,
            exit_code: report.exit_code,
            spill: report.spill,
            plan: None,
        })
    }

    async fn exec(&self, context: &ToolContext<'_>) -> Result<ExecReport, SandboxError> {
        if let Some(shell) = context.shell.known() {
            return self.exec_with(shell, context).await;
        }
        match self.exec_with(Shell::BASH, context).await {
            Err(SandboxError::Start { .. }) => {
                let report = self.exec_with(Shell::SH, context).await?;
                context.shell.remember(Shell::SH);
                Ok(report)
            }
            Ok(report) => {
                context.shell.remember(Shell::BASH);
                Ok(report)
            }
            Err(error) => Err(error),
        }
    }

    async fn exec_with(&self, shell: &str, context: &ToolContext<'_>) -> Result<ExecReport, SandboxError> {
        let timeout = context.config.command_timeout(self.timeout_seconds, context.remaining);
        let mut spec = ExecSpec::shell(&self.command, timeout);
        if let Some(program) = spec.argv.first_mut() {
            shell.clone_into(program);
        }
        let (sender, mut chunks) = mpsc::channel(LIVE_CHUNKS);
        let mut view = LiveView::new(context);
        let exec = context.sandbox.exec(spec, Some(sender));
        tokio::pin!(exec);
        let report = loop {
            tokio::select! {
                report = &mut exec => break report,
                Some(chunk) = chunks.recv() => view.show(&chunk),
            }
        };
        while let Ok(chunk) = chunks.try_recv() {
            view.show(&chunk);
        }
        view.finish();
        report
    }
}

impl Shell {
    const BASH: &'static str = "/bin/bash";
    const SH: &'static str = "/bin/sh";

    fn known(&self) -> Option<&'static str> {
        self.0.get().copied()
    }

    fn remember(&self, shell: &'static str) {
        // A second answer at the same time says the same.
        let _ = self.0.set(shell);
    }
}

/// Shows both streams of a command while it runs, masked.
struct LiveView<'a, 'b> {
    context: &'a ToolContext<'b>,
    stdout: MaskedStream,
    stderr: MaskedStream,
}

impl<'a, 'b> LiveView<'a, 'b> {
    fn new(context: &'a ToolContext<'b>) -> Self {
        let stream = || MaskedStream::new(context.redactor.clone());
        Self {
            context,
            stdout: stream(),
            stderr: stream(),
        }
    }

    fn show(&mut self, chunk: &OutputChunk) {
        let stream = match chunk.stream {
            OutputStream::Stdout => &mut self.stdout,
            OutputStream::Stderr => &mut self.stderr,
        };
        for piece in stream.push(chunk.offset, &chunk.data) {
            self.send(chunk.stream, piece);
        }
    }

    fn finish(&mut self) {
        if let Some(piece) = self.stdout.finish() {
            self.send(OutputStream::Stdout, piece);
        }
        if let Some(piece) = self.stderr.finish() {
            self.send(OutputStream::Stderr, piece);
        }
    }

    fn send(&self, stream: OutputStream, piece: MaskedPiece) {
        (self.context.live)(LivePayload::ToolOutputDelta {
            call_id: self.context.call_id.clone(),
            stream,
            data: piece.data.into(),
            offset: piece.offset,
        });
    }
}

/// The line that says how the command ended, and where the whole output is.
fn ending(report: &ExecReport, context: &ToolContext<'_>) -> String {
    let seconds = report.duration.as_secs();
    let mut line = if report.timed_out {
        let most = context.config.max_command_timeout_seconds;
        format!(
            "[killed after {seconds} s by its time limit; do less at once, or ask for up to {most} s with timeout_seconds]"
        )
    } else {
        match (report.exit_code, report.signal) {
            (Some(code), _) if seconds > 0 => format!("[exit code {code} after {seconds} s]"),
            (Some(code), _) => format!("[exit code {code}]"),
            (None, Some(signal)) => format!("[killed by signal {signal}]"),
            (None, None) => "[ended without an exit code]".to_owned(),
        }
    };
    if report.out_of_memory {
        line.push_str("\n[a process was killed because the memory limit was reached]");
    }
    if report.disk_exceeded {
        line.push_str(
            "\n[it was ended because the work tree takes more disk than the limit; remove what is not needed]",
        );
    }
    if let Some(spill) = &report.spill {
        line.push_str(&format!(
            "\n[the whole output, {} bytes, is in {}: use grep or read_file on it]",
            spill.bytes, spill.path
        ));
        if spill.dropped_bytes > 0 {
            line.push_str(&format!("\n[{} bytes more were dropped]", spill.dropped_bytes));
        }
    }
    line
}
