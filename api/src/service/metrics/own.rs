//! The server's own request metrics. Each node aggregates them in memory and records them periodically.
//!
//! A request increments a few counters and never waits. A bucket's width is at most a 32nd of its bound. So a
//! percentile is at most 3 % above the true one. The maximum is exact. A sample that cannot be recorded is dropped and
//! counted. So memory does not grow with requests while the database is unavailable.

use std::{sync::Arc, sync::atomic::AtomicU64, sync::atomic::Ordering::Relaxed, time::Duration};

use parking_lot::Mutex;
use serde_json::json;
use tokio::time::Instant;

use crate::domain::{MetricId, PerformanceMetric, metrics::OWN};
use crate::service::{Backend, Error, metrics::recording::write};
use crate::telemetry::counters::Histogram;

/// Number of buckets, for durations of up to 71 minutes.
const BUCKETS: usize = 896;
/// Upper bounds of the buckets in microseconds. The first 64 are exact; each doubling then has 32 equal buckets.
static BOUNDS: [u64; BUCKETS] = {
    let mut bounds = [0; BUCKETS];
    let mut bucket = 0;
    while bucket < BUCKETS {
        let shift = (bucket >> 5).saturating_sub(1);
        let leading = (bucket - (shift << 5)) as u64;
        bounds[bucket] = ((leading + 1) << shift) - 1;
        bucket += 1;
    }
    bounds
};

/// Counters of a node since its last recording.
pub struct Figures {
    node: String,
    durations: Box<Histogram<BUCKETS>>,
    /// The longest duration in microseconds.
    longest: AtomicU64,
    errors: AtomicU64,
    /// Number of samples that could not be recorded and are lost.
    dropped: AtomicU64,
    since: Mutex<Instant>,
}

/// Counters of one recording interval.
struct Sample {
    durations: Vec<u64>,
    count: u64,
    longest: u64,
    errors: u64,
    elapsed: Duration,
}

/// Counts an operation that has run.
pub fn observe(backend: &Backend, duration: Duration, has_errors: bool) {
    backend.figures.observe(duration, has_errors);
}

/// Records the counters since the last recording. Does nothing if no operation ran.
pub async fn write_own(backend: &Arc<Backend>) -> Result<(), Error> {
    let figures = &backend.figures;
    let Some(sample) = figures.take() else { return Ok(()) };
    let dropped = figures.dropped.load(Relaxed);
    let metadata = json!({ "node": figures.node, "seconds": sample.elapsed.as_secs_f64(), "dropped": dropped });
    let now = backend.source.now();
    let metrics = sample.figures().map(|(name, value, unit)| PerformanceMetric {
        id: MetricId(backend.source.uuid()),
        name: format!("{OWN}.{name}"),
        value,
        unit: unit.to_owned(),
        metadata: Some(metadata.clone()),
        created_at: now,
    });
    let written = write(backend, None, metrics.into()).await;
    if written.is_ok() {
        figures.dropped.fetch_sub(dropped, Relaxed);
    } else {
        figures.dropped.fetch_add(1, Relaxed);
    }
    written
}

impl Figures {
    /// Creates empty counters for the node of this name.
    pub(in crate::service) fn new(node: String) -> Self {
        Self {
            node,
            durations: Box::new(Histogram::new(&BOUNDS)),
            longest: AtomicU64::default(),
            errors: AtomicU64::default(),
            dropped: AtomicU64::default(),
            since: Mutex::new(Instant::now()),
        }
    }

    fn observe(&self, duration: Duration, has_errors: bool) {
        self.durations.observe(duration);
        self.longest.fetch_max(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX), Relaxed);
        if has_errors {
            self.errors.fetch_add(1, Relaxed);
        }
    }

    /// Returns the counters and resets them. A request that ends meanwhile may be split between two samples.
    fn take(&self) -> Option<Sample> {
        let mut since = self.since.lock();
        let (began, now) = (*since, Instant::now());
        *since = now;
        let durations = self.durations.take();
        let count = durations.iter().sum();
        let (longest, errors) = (self.longest.swap(0, Relaxed), self.errors.swap(0, Relaxed));
        (count > 0).then(|| Sample { durations, count, longest, errors, elapsed: now - began })
    }
}

impl Sample {
    /// Returns the metrics with their names, values and units.
    fn figures(&self) -> [(&'static str, f64, &'static str); 6] {
        [
            ("requests", number(self.count), "requests"),
            ("errors", number(self.errors), "requests"),
            ("request_duration.p50", self.percentile(50), "ms"),
            ("request_duration.p95", self.percentile(95), "ms"),
            ("request_duration.p99", self.percentile(99), "ms"),
            ("request_duration.max", millis(self.longest), "ms"),
        ]
    }

    /// Returns a percentile in milliseconds: the upper bound of the bucket that contains the nearest rank.
    fn percentile(&self, share: u64) -> f64 {
        let rank = (self.count * share).div_ceil(100);
        let mut passed = 0;
        let bounds = BOUNDS.into_iter().chain([self.longest]).zip(&self.durations);
        let found = bounds.map(|(bound, count)| (bound, *count)).find(|(_, count)| {
            passed += count;
            passed >= rank
        });
        millis(found.map_or(self.longest, |(bound, _)| bound.min(self.longest)))
    }
}

fn millis(micros: u64) -> f64 {
    number(micros) / 1000.0
}

fn number(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_reach_71_minutes_in_steps_of_a_32nd_at_most() {
        assert_eq!((BOUNDS[0], BOUNDS[64], BOUNDS[BUCKETS - 1]), (0, 65, u32::MAX.into()));
        assert!(BOUNDS.is_sorted_by(|one, next| one < next && next - one - 1 <= one / 32));
    }

    #[test]
    fn what_was_taken_is_forgotten() {
        let figures = Figures::new("a".to_owned());
        assert!(figures.take().is_none());
        for micros in 1..=1000 {
            figures.observe(Duration::from_micros(micros), false);
        }
        let sample = figures.take().unwrap();
        let [requests, errors, p50, p95, p99, max] = sample.figures().map(|(_, value, _)| value);
        assert_eq!((requests, errors, max), (1000.0, 0.0, 1.0));
        for (found, exact) in [(p50, 0.5), (p95, 0.95), (p99, 0.99)] {
            assert!(found >= exact && found <= exact * 33.0 / 32.0, "{found} {exact}");
        }
        assert!(figures.take().is_none());
    }
}
