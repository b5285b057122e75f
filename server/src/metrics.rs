//! The metrics of this server: their names are here and nowhere else, and every label is of a closed set.
//!
//! Instruments are those of the process's meter, which `telemetry` sets before anything is counted; without an exporter
//! they do nothing. Gauges are read when the collector's interval is over, and cost nothing between.

use std::sync::{Arc, LazyLock};

use opentelemetry::metrics::{Counter, Meter, UpDownCounter};
use opentelemetry::{KeyValue, global};

use crate::sandbox::{PoolNumbers, SandboxProvider};
use crate::task::event::Ending;

static INSTRUMENTS: LazyLock<Instruments> = LazyLock::new(|| Instruments::new(&meter()));

struct Instruments {
    runs: UpDownCounter<i64>,
    tasks: Counter<u64>,
    checkouts: Counter<u64>,
    setups: Counter<u64>,
}

impl Instruments {
    fn new(meter: &Meter) -> Self {
        Self {
            runs: meter
                .i64_up_down_counter("backspace.runs")
                .with_unit("{run}")
                .with_description("Tasks that this server works on now")
                .build(),
            tasks: meter
                .u64_counter("backspace.tasks.ended")
                .with_unit("{task}")
                .with_description("Tasks that ended, by state and reason of a failure")
                .build(),
            checkouts: meter
                .u64_counter("backspace.sandbox.checkouts")
                .with_unit("{sandbox}")
                .with_description("Sandboxes of large repositories, by whether a checkout was kept for them")
                .build(),
            setups: meter
                .u64_counter("backspace.sandbox.setups")
                .with_unit("{sandbox}")
                .with_description("Sandboxes with set-up commands, by whether their result was kept")
                .build(),
        }
    }
}

fn meter() -> Meter {
    global::meter("backspace-server")
}

/// A run that is counted as long as this lives.
#[derive(Debug)]
pub(crate) struct CountedRun(());

impl CountedRun {
    pub(crate) fn begin() -> Self {
        INSTRUMENTS.runs.add(1, &[]);
        Self(())
    }
}

impl Drop for CountedRun {
    fn drop(&mut self) {
        INSTRUMENTS.runs.add(-1, &[]);
    }
}

/// Counts a Task that has ended.
pub(crate) fn count_ended(ending: &Ending) {
    let (state, reason) = match ending {
        Ending::Succeeded(_) => ("succeeded", None),
        Ending::Failed(failure) => ("failed", Some(failure.reason.as_str())),
        Ending::Cancelled => ("cancelled", None),
    };
    let state = KeyValue::new("backspace.task.state", state);
    match reason {
        Some(reason) => INSTRUMENTS.tasks.add(1, &[state, KeyValue::new("error.type", reason)]),
        None => INSTRUMENTS.tasks.add(1, &[state]),
    }
}

/// Whether what was looked for had been kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    Hit,
    Miss,
}

impl Lookup {
    fn label(self) -> KeyValue {
        let found = match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
        };
        KeyValue::new("backspace.lookup", found)
    }
}

/// Counts a sandbox for which a checkout was looked for.
pub(crate) fn count_checkout(lookup: Lookup) {
    INSTRUMENTS.checkouts.add(1, &[lookup.label()]);
}

/// Counts a sandbox for which what set-up commands leave was looked for.
pub(crate) fn count_setup(lookup: Lookup) {
    INSTRUMENTS.setups.add(1, &[lookup.label()]);
}

/// Shows how sandboxes do that are kept ready; nothing where none ever are.
pub(crate) fn show_pool(sandboxes: &Arc<dyn SandboxProvider>) {
    if sandboxes.pool().is_none() {
        return;
    }
    let meter = meter();
    let read = |of: fn(PoolNumbers) -> u64| {
        let sandboxes = Arc::clone(sandboxes);
        move || of(sandboxes.pool().unwrap_or_default())
    };
    let (size, ready) = (read(|pool| pool.size as u64), read(|pool| pool.ready as u64));
    let (hits, misses) = (read(|pool| pool.hits), read(|pool| pool.misses));
    let gauge = |name: &'static str, description: &'static str| {
        meter
            .u64_observable_gauge(name)
            .with_unit("{sandbox}")
            .with_description(description)
    };
    gauge("backspace.sandbox.pool.size", "Sandboxes that are to be kept ready")
        .with_callback(move |observer| observer.observe(size(), &[]))
        .build();
    gauge("backspace.sandbox.pool.ready", "Sandboxes that are ready")
        .with_callback(move |observer| observer.observe(ready(), &[]))
        .build();
    let counter = |name: &'static str, description: &'static str| {
        meter
            .u64_observable_counter(name)
            .with_unit("{sandbox}")
            .with_description(description)
    };
    counter("backspace.sandbox.pool.hits", "Sandboxes for which one was ready")
        .with_callback(move |observer| observer.observe(hits(), &[]))
        .build();
    counter(
        "backspace.sandbox.pool.misses",
        "Sandboxes that were made while none was ready",
    )
    .with_callback(move |observer| observer.observe(misses(), &[]))
    .build();
}
