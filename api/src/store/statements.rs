//! Statistics of statements.

use crate::telemetry::counters::{Counter, Durations};

/// What is counted of statements.
#[derive(Debug, Default)]
pub struct Statements {
    /// How long each took, once it had a connection.
    pub durations: Durations,
    /// How many failed.
    pub failed: Counter,
    /// How long it took to begin a transaction, above all to get a connection.
    pub begins: Durations,
}
