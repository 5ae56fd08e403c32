//! A breaker: after some failures in a row nothing is tried but one probe a second.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use super::gcra::micros;

const MAX_FAILURES: u32 = 5;
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// Counts failures in a row. Times are those since its owner began.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: AtomicU32,
    probe_at: AtomicU64,
}

impl Breaker {
    /// Whether to try now. While open, one caller a second is told so.
    pub(super) fn admits(&self, now: Duration) -> bool {
        if self.failures.load(Relaxed) < MAX_FAILURES {
            return true;
        }
        let due = self.probe_at.load(Relaxed);
        micros(now) >= due && self.probe_at.compare_exchange(due, micros(now + PROBE_EVERY), Relaxed, Relaxed).is_ok()
    }

    /// Closes; says whether it was open.
    pub(super) fn succeeded(&self) -> bool {
        self.failures.load(Relaxed) != 0 && self.failures.swap(0, Relaxed) >= MAX_FAILURES
    }

    /// Counts a failure; says whether it is open, and whether this failure opened it.
    pub(super) fn failed(&self, now: Duration) -> State {
        self.probe_at.store(micros(now + PROBE_EVERY), Relaxed);
        match self.failures.fetch_add(1, Relaxed) + 1 {
            MAX_FAILURES => State::Opened,
            failures if failures > MAX_FAILURES => State::Open,
            _ => State::Closed,
        }
    }
}

/// What a failure led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Closed,
    Opened,
    Open,
}
