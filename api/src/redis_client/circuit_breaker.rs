//! Circuit breaker that opens after consecutive failures and then allows one probe per second.

use std::sync::atomic::{AtomicU32, AtomicU64};
use std::{sync::atomic::Ordering::Relaxed, time::Duration};

const MAX_FAILURES: u32 = 5;
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// Circuit breaker. Times count from the start of its owner.
#[derive(Debug, Default)]
pub(crate) struct CircuitBreaker {
    failures: AtomicU32,
    probe_at: AtomicU64,
}

impl CircuitBreaker {
    /// Whether to try now. While open, allows one caller per second.
    pub(crate) fn allows(&self, now: Duration) -> bool {
        if self.failures.load(Relaxed) < MAX_FAILURES {
            return true;
        }
        let due = self.probe_at.load(Relaxed);
        micros(now) >= due && self.probe_at.compare_exchange(due, micros(now + PROBE_EVERY), Relaxed, Relaxed).is_ok()
    }

    /// Closes the breaker. Returns whether the breaker was open.
    pub(crate) fn succeeded(&self) -> bool {
        self.failures.load(Relaxed) != 0 && self.failures.swap(0, Relaxed) >= MAX_FAILURES
    }

    /// Counts a failure. Returns whether the breaker is open, and whether this failure opened it.
    pub(crate) fn failed(&self, now: Duration) -> State {
        self.probe_at.store(micros(now + PROBE_EVERY), Relaxed);
        match self.failures.fetch_add(1, Relaxed) + 1 {
            MAX_FAILURES => State::Opened,
            failures if failures > MAX_FAILURES => State::Open,
            _ => State::Closed,
        }
    }
}

/// State of the breaker after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Closed,
    Opened,
    Open,
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_breaker_opens_after_five_failures_and_lets_one_probe_through_a_second() {
        let circuit_breaker = CircuitBreaker::default();
        let second = Duration::from_secs(1);
        for _ in 0..4 {
            assert_eq!(circuit_breaker.failed(Duration::ZERO), State::Closed);
        }
        assert!(circuit_breaker.allows(Duration::ZERO));
        assert_eq!(circuit_breaker.failed(Duration::ZERO), State::Opened);
        assert!(!circuit_breaker.allows(second / 2));
        assert!(circuit_breaker.allows(second));
        assert!(!circuit_breaker.allows(second), "one probe only");
        assert_eq!(circuit_breaker.failed(second), State::Open);
        assert!(circuit_breaker.allows(second * 2));
        assert!(circuit_breaker.succeeded());
        assert!(circuit_breaker.allows(second * 2) && circuit_breaker.allows(second * 2));
    }
}
