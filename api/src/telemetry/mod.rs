//! Telemetry for the server's operators: log lines, traces and counters.

pub mod counters;
mod layout;
mod lines;
mod request;
pub mod traces;

use std::{io, io::IsTerminal, panic};

use tokio::runtime::Handle;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{FilterExt, FilterFn, LevelFilter, Targets, filter_fn};
use tracing_subscriber::fmt::{self, format};
use tracing_subscriber::layer::{Filter, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::config::{self, ConfigError, Log, LogFormat};
use crate::telemetry::{counters::Counter, layout::Layout, traces::Traces};

pub use self::lines::{LOST, Lines, Written, open as open_lines};
pub use self::request::{carry, within};

/// Number of panics in this process since [`watch_panics`].
pub static PANICS: Counter = Counter::new();

/// Log lines and spans that are not yet written or exported.
#[must_use = "lines and spans under way are lost with it"]
pub struct Telemetry {
    written: Written,
    traces: Option<Traces>,
}

/// Starts logging to the standard error, and tracing if a collector is configured.
pub fn start(log: &Log, traces: &config::Traces, runtime: &Handle) -> Result<Telemetry, ConfigError> {
    let (lines, written) =
        lines::open(io::stderr()).map_err(|error| ConfigError(format!("logging cannot start: {error}")))?;
    let (traces, spans) = Traces::open(traces, runtime)?.unzip();
    let named_spans = || {
        EnvFilter::try_new(&log.filter)
            .map_err(|error| ConfigError(format!("QUANTUMVAULT__LOG__FILTER cannot be used ({error}): correct it")))
    };
    // A filter of one layer keeps its decision until the next event. A library that checks whether an event is enabled
    // and then logs none makes the filter drop another event. So filters apply to all layers where that is possible.
    let (registry, format) = (tracing_subscriber::registry(), log.format);
    let started = match (targets(&log.filter), spans) {
        (Some(targets), None) => registry.with(wanted(targets, false)).with(layer(lines, format)).try_init(),
        (Some(targets), Some(spans)) => {
            registry.with(spans).with(wanted(targets, true)).with(layer(lines, format)).try_init()
        }
        (None, None) => registry.with(named_spans()?).with(filter_fn(is_logged)).with(layer(lines, format)).try_init(),
        (None, Some(spans)) => {
            let filter = named_spans()?.and(filter_fn(is_logged));
            registry.with(spans).with(layer(lines, format).with_filter(filter)).try_init()
        }
    };
    started.map_err(|error| ConfigError(format!("logging cannot start: {error}")))?;
    watch_panics();
    Ok(Telemetry { written, traces })
}

/// Returns a layer that writes events as lines. Guarded by the benchmark `tricks`.
#[must_use]
pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(lines: Lines, format: LogFormat) -> impl Layer<S> {
    let is_coloured = format == LogFormat::Text && io::stderr().is_terminal();
    // Lines name no spans, so fields of spans are not formatted.
    let no_fields = format::debug_fn(|_, _, _| Ok(()));
    fmt::layer().with_writer(lines).with_ansi(false).fmt_fields(no_fields).event_format(Layout { format, is_coloured })
}

/// Returns a filter of events by target and level. Spans pass only if a collector is configured.
fn wanted(targets: Targets, is_traced: bool) -> FilterFn<impl Fn(&Metadata<'_>) -> bool> {
    let most = if is_traced { None } else { Filter::<Registry>::max_level_hint(&targets) };
    let filter = filter_fn(move |metadata| {
        if metadata.is_span() {
            is_traced && traces::is_traced(metadata)
        } else {
            is_logged(metadata) && targets.would_enable(metadata.target(), metadata.level())
        }
    });
    filter.with_max_level_hint(most.unwrap_or(LevelFilter::TRACE))
}

/// Parses a filter that uses only targets and levels, and so needs no spans. `None` for any other filter.
fn targets(filter: &str) -> Option<Targets> {
    let is_plain = !filter.contains('[') && filter.split(',').all(|part| !part.trim().is_empty());
    is_plain.then(|| filter.parse().ok()).flatten()
}

/// Counts and logs panics from now on. Code that runs other work catches its panics, so they end nothing else.
pub fn watch_panics() {
    panic::set_hook(Box::new(|panic| {
        PANICS.add();
        let location = panic.location().map(ToString::to_string);
        let cause = panic.payload_as_str();
        tracing::error!(location, cause, "a panic occurred: this is a bug in the server");
    }));
}

impl Telemetry {
    /// Flushes pending lines and spans. Waits for some seconds at most.
    pub fn finish(self) {
        if let Some(traces) = self.traces {
            traces.finish();
        }
        self.written.finish();
    }
}

/// Whether an event may be logged, or a span be used by the log's filter. At trace level, libraries log their payloads:
/// frames of sockets, and with them tokens and messages.
fn is_logged(metadata: &Metadata<'_>) -> bool {
    let is_ours = metadata.target().starts_with("quantumvault");
    is_ours || (!metadata.is_span() && *metadata.level() < Level::TRACE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_a_collector_and_a_filter_by_spans_there_are_none() {
        let config = config::load([]).unwrap();
        let _telemetry = start(&config.log, &config.traces, &Handle::current()).unwrap();
        assert!(tracing::info_span!("request").is_disabled());
        assert!(tracing::enabled!(Level::INFO));
    }

    #[test]
    fn what_is_more_than_targets_is_left_to_the_filter_that_knows_it() {
        for filter in ["info,[request]=debug", "[{user.id}]=debug", "info,sqlx=warn,", "", "sqlx=loud"] {
            assert!(targets(filter).is_none(), "{filter}");
        }
        let targets = targets("info,sqlx=warn").unwrap();
        assert!(targets.would_enable("quantumvault", &Level::INFO) && !targets.would_enable("sqlx", &Level::INFO));
    }
}
