//! What the server says about itself to its operators: log lines, traces, and counters of what went on.

pub mod counters;
mod lines;
pub mod traces;

use std::{io::IsTerminal, panic};

use tokio::runtime::Handle;
use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt, LevelFilter, Targets, filter_fn},
    fmt,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use self::{counters::Counter, lines::Written, traces::Traces};
use crate::config::{self, ConfigError, Log, LogFormat};

pub use self::lines::LOST;

/// Panics in this process since [`watch_panics`].
pub static PANICS: Counter = Counter::new();

/// What is still under way to a log or a collector.
#[must_use = "lines and spans under way are lost with it"]
pub struct Telemetry {
    written: Written,
    traces: Option<Traces>,
}

/// Starts logging to the standard error, and tracing if a collector is named.
pub fn start(log: &Log, traces: &config::Traces, runtime: &Handle) -> Result<Telemetry, ConfigError> {
    let filter =
        match targets(&log.filter) {
            Some(targets) => FilterExt::boxed(targets),
            None => FilterExt::boxed(EnvFilter::try_new(&log.filter).map_err(|error| {
                ConfigError(format!("QUANTUMVAULT__LOG__FILTER cannot be used ({error}): correct it"))
            })?),
        };
    let (lines, written) = lines::open().map_err(|error| ConfigError(format!("logging cannot start: {error}")))?;
    let (traces, spans) = Traces::open(traces, runtime)?.unzip();
    let layer = fmt::layer().with_writer(lines);
    let layer = match log.format {
        LogFormat::Text => layer.with_target(false).with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    // The hint lets what is below every level cost nothing.
    let filter = filter.and(filter_fn(belongs_to_a_line).with_max_level_hint(LevelFilter::TRACE));
    let started = tracing_subscriber::registry().with(spans).with(layer.with_filter(filter)).try_init();
    started.map_err(|error| ConfigError(format!("logging cannot start: {error}")))?;
    watch_panics();
    Ok(Telemetry { written, traces })
}

/// A filter by targets and levels alone, if that is what the text means: spans need not be watched then as they are entered
/// and left.
fn targets(filter: &str) -> Option<Targets> {
    let is_plain = !filter.contains('[') && filter.split(',').all(|part| !part.trim().is_empty());
    is_plain.then(|| filter.parse().ok()).flatten()
}

/// Counts and logs panics from now on. Whoever runs others' work catches its panics, so they end nothing else.
pub fn watch_panics() {
    panic::set_hook(Box::new(|panic| {
        PANICS.add();
        let location = panic.location().map(ToString::to_string);
        let cause = panic.payload_as_str();
        tracing::error!(location, cause, "a panic: this is a fault of the server");
    }));
}

impl Telemetry {
    /// Hands over what is under way; waits some seconds at most.
    pub fn finish(self) {
        if let Some(traces) = self.traces {
            traces.finish();
        }
        self.written.finish();
    }
}

/// Spans of the database's library would only repeat what the line is about, and at the level trace libraries write
/// down what they carry: frames of sockets, and with them tokens and messages.
fn belongs_to_a_line(metadata: &Metadata<'_>) -> bool {
    let is_ours = metadata.target().starts_with("quantumvault");
    is_ours || metadata.is_event() && *metadata.level() < Level::TRACE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_more_than_targets_is_left_to_the_filter_that_knows_it() {
        for filter in ["info,[request]=debug", "[{user.id}]=debug", "info,sqlx=warn,", "", "sqlx=loud"] {
            assert!(targets(filter).is_none(), "{filter}");
        }
        let targets = targets("info,sqlx=warn").unwrap();
        assert!(targets.would_enable("quantumvault", &Level::INFO) && !targets.would_enable("sqlx", &Level::INFO));
    }
}
