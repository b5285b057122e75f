//! Standard output and the status line. The only place that writes lines and moves the cursor.
//!
//! The status line lives on standard error, so that it never gets into a file; when both outputs are
//! the same terminal it has to be taken away before a line is written and put back after it.

use std::io::{self, Write};

use crate::args::{Globals, OutputForm};
use crate::paint::{Output, Paint};
use crate::problem::Problem;

const ERASE_LINE: &str = "\r\x1b[2K";

/// Where a command writes.
pub(crate) struct Screen {
    /// The form of the output.
    pub(crate) form: OutputForm,
    /// Colours of standard output.
    pub(crate) paint: Paint,
    /// Colours of standard error.
    pub(crate) error_paint: Paint,
    /// What standard output is.
    pub(crate) output: Output,
    /// Whether a status line can be shown.
    pub(crate) bar: Output,
    status_shown: bool,
}

impl Screen {
    /// Looks at what the outputs are.
    pub(crate) fn new(globals: &Globals) -> Self {
        let variable = |name| std::env::var(name).ok();
        let (no_color, term) = (variable("NO_COLOR"), variable("TERM"));
        let output = Output::of(&io::stdout());
        let errors = Output::of(&io::stderr());
        let paint = |output| Paint::decide(globals.color, output, no_color.as_deref(), term.as_deref());
        // A terminal that cannot erase a line gets the lines of a file.
        let dumb = term.as_deref().is_none_or(|term| term == "dumb");
        let bar = if globals.output == OutputForm::Json || dumb {
            Output::Other
        } else {
            errors
        };
        Self {
            form: globals.output,
            paint: paint(output),
            error_paint: paint(errors),
            output,
            bar,
            status_shown: false,
        }
    }

    /// Writes lines of text that are harmless already.
    pub(crate) fn lines(&mut self, lines: &[String]) -> Result<(), Problem> {
        if lines.is_empty() {
            return Ok(());
        }
        self.clear_status();
        let mut out = io::stdout().lock();
        for line in lines {
            writeln!(out, "{line}").map_err(|error| Problem::of_output(&error))?;
        }
        out.flush().map_err(|error| Problem::of_output(&error))
    }

    /// Writes one line.
    pub(crate) fn line(&mut self, line: &str) -> Result<(), Problem> {
        self.lines(&[line.to_owned()])
    }

    /// Writes one JSON value as one line.
    pub(crate) fn json(&mut self, value: &serde_json::Value) -> Result<(), Problem> {
        self.line(&crate::escape::json(&value.to_string()))
    }

    /// Writes bytes as they are. Not for a terminal.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)
            .and_then(|()| out.flush())
            .map_err(|error| Problem::of_output(&error))
    }

    /// Writes a remark to standard error.
    pub(crate) fn remark(&mut self, text: &str) {
        self.clear_status();
        // Nobody is left to tell when standard error is gone.
        let _ = writeln!(io::stderr(), "{text}");
    }

    /// Shows the status line, in place of the last one.
    pub(crate) fn status(&mut self, text: &str) {
        let mut out = io::stderr().lock();
        let _ = write!(out, "{ERASE_LINE}{text}").and_then(|()| out.flush());
        self.status_shown = true;
    }

    /// Takes the status line away.
    pub(crate) fn clear_status(&mut self) {
        if self.status_shown {
            let mut out = io::stderr().lock();
            let _ = write!(out, "{ERASE_LINE}").and_then(|()| out.flush());
            self.status_shown = false;
        }
    }

    /// How wide the terminal of the status line is.
    pub(crate) fn columns(&self) -> usize {
        rustix::termios::tcgetwinsize(io::stderr())
            .map_or(80, |size| usize::from(size.ws_col))
            .max(20)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.clear_status();
    }
}
