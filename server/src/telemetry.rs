//! Logging, and the way out for traces and metrics: one subscriber, everything masked by value before it leaves.
//!
//! Spans are `call`, and `run` → `turn` → `chat` and `tool`. Log lines are chosen by `LOG_LEVEL`; what is exported is not,
//! so that a quiet log costs no trace.

use std::io::{self, Write};
use std::sync::Arc;

use opentelemetry_otlp::ExporterBuildError;
use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{EnvFilter, Layer};

use crate::config::{LogConfig, LogFormat, TelemetryConfig};
use crate::secret::Redactor;
use crate::telemetry::export::Export;

mod export;
mod masked_spans;

/// Why there is no telemetry.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// A bad log filter.
    #[error("LOG_LEVEL={level} is not a level or filter: use error, warn, info, debug or trace")]
    Filter {
        /// What was set.
        level: String,
    },
    /// The exporter could not be made.
    #[error("traces can't be exported to {endpoint}: {message}")]
    Export {
        /// Where they were to go.
        endpoint: String,
        /// What is wrong.
        message: String,
    },
    /// Another subscriber was there before.
    #[error("the log can't be installed: {0}")]
    Installed(#[from] TryInitError),
}

impl TelemetryError {
    fn export(config: &TelemetryConfig, error: &ExporterBuildError) -> Self {
        Self::Export {
            endpoint: config.endpoint.clone().unwrap_or_default(),
            message: error.to_string(),
        }
    }
}

/// What was installed; what is exported is on its way until `shut_down`.
#[derive(Debug, Default)]
#[must_use = "what was not sent yet is lost without `shut_down`"]
pub struct Telemetry {
    export: Option<Export>,
}

impl Telemetry {
    /// Sends what is left. Blocks for some seconds at most, so not on a thread of the runtime, which must still run.
    pub fn shut_down(self) {
        if let Some(export) = self.export {
            export.shut_down();
        }
    }
}

/// Installs the subscriber of this process; called once, by `main`, within the runtime that is to send.
pub fn install(
    log: &LogConfig,
    config: &TelemetryConfig,
    redactor: Arc<Redactor>,
) -> Result<Telemetry, TelemetryError> {
    let filter = filter(log)?;
    let export = Export::start(config, &redactor).map_err(|error| TelemetryError::export(config, &error))?;
    let spans = export.as_ref().map(Export::layer);
    tracing_subscriber::registry()
        .with(lines(log.format, redactor).with_filter(filter))
        .with(spans)
        .try_init()?;
    Ok(Telemetry { export })
}

fn filter(config: &LogConfig) -> Result<EnvFilter, TelemetryError> {
    let plain_level = ["error", "warn", "info", "debug", "trace", "off"].contains(&config.level.as_str());
    let directives = if plain_level {
        // Libraries at debug level drown our own lines; the audit has its lines at any level but off.
        let audit = if config.level == "off" { "off" } else { "info" };
        format!("warn,backspace_server={0},audit={audit}", config.level)
    } else {
        config.level.clone()
    };
    EnvFilter::try_new(directives).map_err(|_| TelemetryError::Filter {
        level: config.level.clone(),
    })
}

/// Returns what writes the lines of the log.
fn lines<S>(format: LogFormat, redactor: Arc<Redactor>) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(MaskedStderr { redactor });
    match format {
        LogFormat::Text => {
            let ansi = std::io::IsTerminal::is_terminal(&io::stderr()) && std::env::var_os("NO_COLOR").is_none();
            layer.with_target(false).with_ansi(ansi).boxed()
        }
        LogFormat::Json => layer
            .json()
            .flatten_event(true)
            // The whole list, so that a line of a tool call names its Task too.
            .with_current_span(false)
            .with_span_list(true)
            .boxed(),
    }
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
