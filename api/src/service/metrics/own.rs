//! The server's own request figures, gathered in memory by each node and recorded as metrics from time to time.
//!
//! A request adds to a few counters and waits for nothing. Durations are counted in slots that are at most a 32nd wide,
//! so a percentile is at most 3 % above the true one; the greatest is exact. What cannot be written is dropped and
//! counted: the memory does not grow with the requests, however long the database is away.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;
use serde_json::json;
use tokio::time::Instant;

use crate::{
    domain::{MetricId, PerformanceMetric, metrics::OWN},
    service::{Backend, Error, metrics::recording::write},
};

/// Each doubling of the duration is counted in so many slots, as a power of two.
const PRECISION: u32 = 5;
/// Durations of up to 71 minutes, in microseconds.
const SLOTS: usize = slot(u32::MAX) + 1;

/// What a node has counted since it last recorded it.
pub struct Figures {
    node: String,
    durations: Box<[AtomicU64]>,
    longest: AtomicU32,
    errors: AtomicU64,
    /// How often what was counted could not be recorded, and is lost.
    dropped: AtomicU64,
    since: Mutex<Instant>,
}

/// What was counted in a stretch of time.
struct Sample {
    durations: Vec<u64>,
    count: u64,
    longest: u32,
    errors: u64,
    elapsed: Duration,
}

/// Counts an operation that has run.
pub fn observe(backend: &Backend, duration: Duration, has_errors: bool) {
    let (figures, micros) = (&backend.figures, u32::try_from(duration.as_micros()).unwrap_or(u32::MAX));
    figures.durations[slot(micros)].fetch_add(1, Relaxed);
    figures.longest.fetch_max(micros, Relaxed);
    if has_errors {
        figures.errors.fetch_add(1, Relaxed);
    }
}

/// Records what was counted since the last time, unless that is nothing.
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
    /// Nothing yet, of the node of this name.
    pub(in crate::service) fn new(node: String) -> Self {
        Self {
            node,
            durations: (0..SLOTS).map(|_| AtomicU64::default()).collect(),
            longest: AtomicU32::default(),
            errors: AtomicU64::default(),
            dropped: AtomicU64::default(),
            since: Mutex::new(Instant::now()),
        }
    }

    /// What was counted, which is then forgotten. A request that ends meanwhile may count partly here and partly there.
    fn take(&self) -> Option<Sample> {
        let mut since = self.since.lock();
        let (began, now) = (*since, Instant::now());
        *since = now;
        let durations: Vec<_> = self.durations.iter().map(|slot| slot.swap(0, Relaxed)).collect();
        let count = durations.iter().sum();
        let (longest, errors) = (self.longest.swap(0, Relaxed), self.errors.swap(0, Relaxed));
        (count > 0).then(|| Sample { durations, count, longest, errors, elapsed: now - began })
    }
}

impl Sample {
    /// The figures with their names and units.
    fn figures(&self) -> [(&'static str, f64, &'static str); 6] {
        [
            ("requests", number(self.count), "requests"),
            ("errors", number(self.errors), "requests"),
            ("request_duration.p50", self.percentile(50), "ms"),
            ("request_duration.p95", self.percentile(95), "ms"),
            ("request_duration.p99", self.percentile(99), "ms"),
            ("request_duration.max", f64::from(self.longest) / 1000.0, "ms"),
        ]
    }

    /// The end of the slot in which the nearest rank falls, in milliseconds.
    fn percentile(&self, share: u64) -> f64 {
        let rank = (self.count * share).div_ceil(100);
        let mut passed = 0;
        let slot = self.durations.iter().position(|count| {
            passed += count;
            passed >= rank
        });
        f64::from(slot.map_or(self.longest, end).min(self.longest)) / 1000.0
    }
}

/// Where a duration is counted: short ones each for itself, longer ones by their six leading bits.
const fn slot(micros: u32) -> usize {
    let shift = (u32::BITS - micros.leading_zeros()).saturating_sub(PRECISION + 1);
    ((shift << PRECISION) + (micros >> shift)) as usize
}

/// The longest duration that is counted in a slot.
fn end(slot: usize) -> u32 {
    let shift = (slot >> PRECISION).saturating_sub(1);
    let leading = slot - (shift << PRECISION);
    u32::try_from(((leading as u64 + 1) << shift) - 1).unwrap_or(u32::MAX)
}

fn number(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_is_counted_within_a_32nd_of_itself() {
        for micros in (0..5000).chain((0..32).map(|bit| 1 << bit)).chain([u32::MAX - 1, u32::MAX]) {
            let end = end(slot(micros));
            assert!(end >= micros && end - micros <= micros / 32, "{micros} {end}");
        }
        assert!((0..SLOTS).all(|at| slot(end(at)) == at));
    }

    #[test]
    fn what_was_taken_is_forgotten() {
        let figures = Figures::new("a".to_owned());
        assert!(figures.take().is_none());
        for micros in 1..=1000 {
            figures.durations[slot(micros)].fetch_add(1, Relaxed);
            figures.longest.fetch_max(micros, Relaxed);
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
