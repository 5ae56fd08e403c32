//! Snapshot of the backend's counters and queue lengths, for operators.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::TimeDelta;

use crate::crypto;
use crate::service::Backend;
use crate::store::{Pool, Statements};
use crate::telemetry::counters::{Counter, Counts, Durations};

/// Counters that the backend itself keeps.
#[derive(Debug, Default)]
pub struct Counted {
    pub(crate) users: Lookups,
    pub(crate) sessions: Lookups,
    /// Requests that rate limits rejected, by action.
    pub(crate) refusals: Counts,
    /// Messages that were not sent because a quota is used up, by quota.
    pub(crate) quota_refusals: Counts,
    /// Time from a message's creation to its event, for readers that have caught up.
    pub(crate) feed_lag: Durations,
    /// Lead of this node's clock over the database's at the latest comparison.
    pub(crate) clock_ahead: Ahead,
    /// Purges that failed because the clocks differ.
    pub(crate) purges_refused: Counter,
}

/// Difference between two clocks.
#[derive(Debug, Default)]
pub struct Ahead(AtomicI64);

/// Numbers of cache lookups.
#[derive(Debug, Default)]
pub struct Lookups {
    /// Lookups that found a value.
    pub hits: Counter,
    /// Lookups that found none.
    pub misses: Counter,
}

/// Current state of a backend's components.
pub struct Snapshot<'a> {
    /// Connections to the database.
    pub pool: Pool,
    /// Statements sent to the database.
    pub statements: &'a Statements,
    /// Cache lookups, by kind of value.
    pub caches: [(&'static str, &'a Lookups); 2],
    /// Mails that wait or are being sent.
    pub mails: usize,
    /// Load of password hashing.
    pub passwords: crypto::Load<'a>,
    /// Requests that rate limits rejected, by action.
    pub refusals: BTreeMap<String, u64>,
    /// Messages that were not sent because a quota is used up, by quota.
    pub quota_refusals: BTreeMap<String, u64>,
    /// Time from a message's creation to its event, for readers that have caught up.
    pub feed_lag: &'a Durations,
    /// Lead of this node's clock over the database's at the latest comparison, in seconds.
    pub clock_ahead: f64,
    /// Purges that failed because the clocks differ.
    pub purges_refused: u64,
}

impl Lookups {
    pub(crate) fn note(&self, is_found: bool) {
        if is_found { self.hits.add() } else { self.misses.add() }
    }
}

impl Ahead {
    pub(crate) fn set(&self, ahead: TimeDelta) {
        self.0.store(ahead.num_milliseconds(), Ordering::Relaxed);
    }

    fn seconds(&self) -> f64 {
        TimeDelta::milliseconds(self.0.load(Ordering::Relaxed)).as_seconds_f64()
    }
}

/// Reads the counters and queue lengths from memory, without any I/O.
#[must_use]
pub fn read(backend: &Backend) -> Snapshot<'_> {
    let counted = &backend.counted;
    Snapshot {
        pool: backend.store.pool(),
        statements: backend.store.statements(),
        caches: [("user", &counted.users), ("session", &counted.sessions)],
        mails: backend.outbox.waiting(),
        passwords: backend.passwords.load(),
        refusals: counted.refusals.read(),
        quota_refusals: counted.quota_refusals.read(),
        feed_lag: &counted.feed_lag,
        clock_ahead: counted.clock_ahead.seconds(),
        purges_refused: counted.purges_refused.read(),
    }
}
