//! What the server says about itself: log lines, for people or for machines.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::config::{ConfigError, Log, LogFormat};

/// Below this level it writes out the frames of sockets, and with them access tokens: whoever asks for everything does
/// not get that.
const QUIET: &str = "tungstenite=info";

/// Starts logging to the standard error.
pub fn start(settings: &Log) -> Result<(), ConfigError> {
    let filter = EnvFilter::try_new(&settings.filter)
        .map_err(|error| ConfigError(format!("QUANTUMVAULT__LOG__FILTER cannot be used ({error}): correct it")))?;
    let quiet = QUIET.parse().map_err(|error| ConfigError(format!("logging cannot start: {error}")))?;
    let filter = filter.add_directive(quiet);
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let started = match settings.format {
        LogFormat::Text => lines.with_target(false).with_ansi(io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| ConfigError(format!("logging cannot start: {error}")))
}
