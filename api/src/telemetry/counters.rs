//! Counters and histograms of the server's parts: plain atomics that are read on demand.

use std::{collections::BTreeMap, sync::Arc, sync::atomic::AtomicU64, sync::atomic::Ordering::Relaxed, time::Duration};

use parking_lot::Mutex;

/// Upper bounds of the buckets of durations, in microseconds.
static BOUNDS: [u64; 14] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000,
];

/// Counter that only increases.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

/// Histogram of durations. Each bucket counts durations up to its bound and above the previous bound.
#[derive(Debug)]
pub struct Histogram<const N: usize> {
    /// In microseconds, ascending.
    bounds: &'static [u64; N],
    buckets: [AtomicU64; N],
    /// Durations above the last bound.
    longer: AtomicU64,
    micros: AtomicU64,
}

/// The histogram that Prometheus reads.
pub type Durations = Histogram<14>;

/// Counts by kind. The server chooses the names of kinds, so there are few.
#[derive(Debug, Clone, Default)]
pub struct Counts(Arc<Mutex<BTreeMap<String, u64>>>);

/// Guard that counts as one of a kind until it is dropped.
#[derive(Debug)]
pub struct Counted(Counts, String);

impl Counter {
    /// Creates a counter at 0.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds one.
    pub fn add(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// Returns the count.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl<const N: usize> Histogram<N> {
    /// Returns an empty histogram.
    #[must_use]
    pub fn new(bounds: &'static [u64; N]) -> Self {
        let buckets = std::array::from_fn(|_| AtomicU64::default());
        Self { bounds, buckets, longer: AtomicU64::default(), micros: AtomicU64::default() }
    }

    /// Counts a duration.
    pub fn observe(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = self.bounds.partition_point(|bound| *bound < micros);
        self.buckets.get(bucket).unwrap_or(&self.longer).fetch_add(1, Relaxed);
        self.micros.fetch_add(micros, Relaxed);
    }

    /// Returns the number of durations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().chain([&self.longer]).map(|bucket| bucket.load(Relaxed)).sum()
    }

    /// Returns the sum of the durations in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        Duration::from_micros(self.micros.load(Relaxed)).as_secs_f64()
    }

    /// Returns the bounds in seconds, each with the number of durations up to it.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        self.bounds.iter().zip(&self.buckets).scan(0, |sum, (bound, bucket)| {
            *sum += bucket.load(Relaxed);
            Some((Duration::from_micros(*bound).as_secs_f64(), *sum))
        })
    }

    /// Empties the buckets. Returns their counts, the last one for durations above all bounds.
    pub fn take(&self) -> Vec<u64> {
        self.buckets.iter().chain([&self.longer]).map(|bucket| bucket.swap(0, Relaxed)).collect()
    }
}

impl Default for Durations {
    fn default() -> Self {
        Self::new(&BOUNDS)
    }
}

impl Counts {
    /// Adds one of a kind.
    pub fn add(&self, kind: &str) {
        self.change(kind, |count| *count += 1);
    }

    /// Adds one of a kind until the returned guard is dropped.
    #[must_use]
    pub fn hold(&self, kind: &str) -> Counted {
        self.add(kind);
        Counted(self.clone(), kind.to_owned())
    }

    /// Returns the counts of all kinds so far.
    #[must_use]
    pub fn read(&self) -> BTreeMap<String, u64> {
        self.0.lock().clone()
    }

    fn change(&self, kind: &str, change: impl FnOnce(&mut u64)) {
        let mut counts = self.0.lock();
        match counts.get_mut(kind) {
            Some(count) => change(count),
            None => change(counts.entry(kind.to_owned()).or_default()),
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.change(&self.1, |count| *count = count.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_counted_by_their_upper_bounds() {
        let durations = Durations::default();
        for millis in [0, 1, 2, 20_000] {
            durations.observe(Duration::from_millis(millis));
        }
        let buckets: Vec<_> = durations.cumulative().collect();
        assert_eq!(buckets[..3], [(0.0005, 1), (0.001, 2), (0.0025, 3)]);
        assert_eq!(buckets.last(), Some(&(10.0, 3)));
        assert_eq!((durations.count(), durations.seconds()), (4, 20.003));
    }

    #[test]
    fn what_is_held_counts_until_it_is_dropped() {
        let counts = Counts::default();
        let held = (counts.hold("a"), counts.hold("a"), counts.hold("b"));
        assert_eq!(counts.read(), BTreeMap::from([("a".to_owned(), 2), ("b".to_owned(), 1)]));
        drop(held);
        assert_eq!(counts.read(), BTreeMap::from([("a".to_owned(), 0), ("b".to_owned(), 0)]));
    }
}
