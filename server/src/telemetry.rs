//! Logging: one subscriber, text or JSON, every line masked by value before it is written.
//!
//! Spans are `run` → `turn` → `tool`; metrics and an exporter are to be added here and nowhere else.

use std::io::{self, Write};
use std::sync::Arc;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::config::{LogConfig, LogFormat};
use crate::secret::Redactor;

/// A bad log filter.
#[derive(Debug, thiserror::Error)]
#[error("LOG_LEVEL={level} is not a level or filter: use error, warn, info, debug or trace")]
pub struct InvalidFilter {
    level: String,
}

/// Installs the subscriber of this process; called once, by `main`.
pub fn install(config: &LogConfig, redactor: Arc<Redactor>) -> Result<(), InvalidFilter> {
    let invalid = || InvalidFilter {
        level: config.level.clone(),
    };
    let plain_level = ["error", "warn", "info", "debug", "trace", "off"].contains(&config.level.as_str());
    let directives = if plain_level {
        // Libraries at debug level drown our own lines; the audit has its lines at any level but off.
        let audit = if config.level == "off" { "off" } else { "info" };
        format!("warn,backspace_server={0},audit={audit}", config.level)
    } else {
        config.level.clone()
    };
    let filter = EnvFilter::try_new(directives).map_err(|_| invalid())?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_span_events(FmtSpan::NONE)
        .with_writer(MaskedStderr { redactor });
    let result = match config.format {
        LogFormat::Text => {
            let ansi = std::io::IsTerminal::is_terminal(&io::stderr()) && std::env::var_os("NO_COLOR").is_none();
            builder.with_target(false).with_ansi(ansi).try_init()
        }
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            // The whole list, so that a line of a tool call names its Task too.
            .with_current_span(false)
            .with_span_list(true)
            .try_init(),
    };
    result.map_err(|_| invalid())
}

/// Standard error behind the mask.
struct MaskedStderr {
    redactor: Arc<Redactor>,
}

/// Collects one line, masks it, writes it at once.
struct MaskedLine {
    redactor: Arc<Redactor>,
    line: Vec<u8>,
}

impl<'a> MakeWriter<'a> for MaskedStderr {
    type Writer = MaskedLine;

    fn make_writer(&'a self) -> Self::Writer {
        MaskedLine {
            redactor: Arc::clone(&self.redactor),
            line: Vec::with_capacity(256),
        }
    }
}

impl Write for MaskedLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for MaskedLine {
    fn drop(&mut self) {
        // A log that can't be written has nowhere to say so.
        let line = String::from_utf8_lossy(&self.line);
        let _ = io::stderr().lock().write_all(self.redactor.mask(&line).as_bytes());
    }
}
