//! What the server says about itself to its operators: log lines, traces, and counters of what went on.

pub mod counters;
mod layout;
mod lines;
mod request;
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

use crate::{
    config::{self, ConfigError, Log, LogFormat},
    telemetry::{counters::Counter, layout::Layout, lines::Written, traces::Traces},
};

pub use self::{
    lines::LOST,
    request::{carry, within},
};

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
    let targets = targets(&log.filter);
    let names_spans = targets.is_none();
    let filter =
        match targets {
            Some(targets) => FilterExt::boxed(targets),
            None => FilterExt::boxed(EnvFilter::try_new(&log.filter).map_err(|error| {
                ConfigError(format!("QUANTUMVAULT__LOG__FILTER cannot be used ({error}): correct it"))
            })?),
        };
    let (lines, written) = lines::open().map_err(|error| ConfigError(format!("logging cannot start: {error}")))?;
    let (traces, spans) = Traces::open(traces, runtime)?.unzip();
    let is_coloured = log.format == LogFormat::Text && std::io::stderr().is_terminal();
    let layout = Layout { format: log.format, is_coloured };
    let layer = fmt::layer().with_writer(lines).with_ansi(false).event_format(layout);
    let belongs = filter_fn(move |metadata| is_logged(metadata, names_spans));
    // The hint lets what is below every level cost nothing.
    let filter = filter.and(belongs.with_max_level_hint(LevelFilter::TRACE));
    let logging = tracing_subscriber::registry().with(layer.with_filter(filter));
    // A layer that is none would want every span.
    let started = match spans {
        Some(spans) => logging.with(spans).try_init(),
        None => logging.try_init(),
    };
    started.map_err(|error| ConfigError(format!("logging cannot start: {error}")))?;
    watch_panics();
    Ok(Telemetry { written, traces })
}

/// A filter by targets and levels alone, if that is what the text means: there need be no spans then.
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

/// No line tells of spans, but a filter may go by ours. At the level trace libraries write down what they carry: frames of
/// sockets, and with them tokens and messages.
fn is_logged(metadata: &Metadata<'_>, names_spans: bool) -> bool {
    let is_ours = metadata.target().starts_with("quantumvault");
    if metadata.is_span() { is_ours && names_spans } else { is_ours || *metadata.level() < Level::TRACE }
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
