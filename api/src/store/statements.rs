//! Statistics about SQL statements.

use crate::telemetry::counters::{Counter, Durations};

/// Durations and failures of SQL statements.
#[derive(Debug, Default)]
pub struct Statements {
    /// Execution time of each statement, without the wait for a connection.
    pub durations: Durations,
    /// Number of failed statements.
    pub failed: Counter,
    /// Time to begin a transaction, mostly the wait for a connection.
    pub begins: Durations,
}
