//! What the parts have counted and what waits in them, for operators.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::TimeDelta;

use crate::crypto;
use crate::service::Backend;
use crate::store::{Pool, Statements};
use crate::telemetry::counters::{Counter, Counts, Durations};

/// What a backend counts by itself.
#[derive(Debug, Default)]
pub struct Counted {
    pub(crate) users: Lookups,
    pub(crate) sessions: Lookups,
    /// What rate limits refused, by the action.
    pub(crate) refusals: Counts,
    /// From a message's commit to its event, where the reader is live.
    pub(crate) feed_lag: Durations,
    /// How far this node's clock was ahead of the database's when they were last compared.
    pub(crate) clock_ahead: Ahead,
    /// Purges that were refused because the clocks differ.
    pub(crate) purges_refused: Counter,
}

/// The difference of two clocks.
#[derive(Debug, Default)]
pub struct Ahead(AtomicI64);

/// How often something was looked for in a cache.
#[derive(Debug, Default)]
pub struct Lookups {
    /// And found.
    pub hits: Counter,
    /// And not.
    pub misses: Counter,
}

/// The parts of a backend as they are.
pub struct Snapshot<'a> {
    /// The database's connections.
    pub pool: Pool,
    /// Its statements.
    pub statements: &'a Statements,
    /// Lookups in the cache, by what was looked for.
    pub caches: [(&'static str, &'a Lookups); 2],
    /// Letters under way.
    pub mails: usize,
    /// The work on passwords.
    pub passwords: crypto::Load<'a>,
    /// What rate limits refused, by the action.
    pub refusals: BTreeMap<String, u64>,
    /// From a message's commit to its event, where the reader is live.
    pub feed_lag: &'a Durations,
    /// How many seconds this node's clock was ahead of the database's when they were last compared.
    pub clock_ahead: f64,
    /// Purges that were refused because the clocks differ.
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

/// Reads them all; asks nobody.
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
        feed_lag: &counted.feed_lag,
        clock_ahead: counted.clock_ahead.seconds(),
        purges_refused: counted.purges_refused.read(),
    }
}
