//! Limits counted in this process, in a bounded map that forgets what has come back in full.

use std::time::{Duration, Instant};

use moka::{Expiry, ops::compute::Op, policy::EvictionPolicy, sync::Cache};

use super::{Decision, Limit, gcra};

/// The most keys counted at a time; beyond it the key not seen for longest is forgotten.
const MAX_KEYS: u64 = 100_000;

/// A limiter in this process.
pub struct Local {
    origin: Instant,
    /// When all that was spent will have come back, in microseconds since `origin`.
    cells: Cache<String, u64>,
}

impl Default for Local {
    fn default() -> Self {
        let origin = Instant::now();
        // The least recently used goes first: a policy by frequency would not even admit a newcomer to a busy map,
        // and who is not kept is not limited.
        let cells = Cache::builder()
            .max_capacity(MAX_KEYS)
            .eviction_policy(EvictionPolicy::lru())
            .expire_after(WhenFull { origin })
            .build();
        Self { origin, cells }
    }
}

impl Local {
    /// Spends `cost` units of what `limit` allows `key`, if they are there.
    #[must_use]
    pub fn check(&self, key: &str, limit: &Limit, cost: u32) -> Decision {
        self.check_at(self.origin.elapsed(), key, limit, cost)
    }

    /// The same at a time since the limiter was made.
    pub(super) fn check_at(&self, now: Duration, key: &str, limit: &Limit, cost: u32) -> Decision {
        let mut decision = None;
        self.cells.entry_by_ref(key).and_compute_with(|cell| {
            let full_at = cell.map_or(0, moka::Entry::into_value);
            let (next, decided) = gcra::decide(full_at, gcra::micros(now), limit, cost);
            decision = Some(decided);
            next.map_or(Op::Nop, Op::Put)
        });
        // The closure has run; were it not so, nothing would have been counted.
        decision.unwrap_or(Decision { allowed: false, retry_after: limit.interval, remaining: 0 })
    }
}

/// Ends a cell when it says nothing more than no cell would.
struct WhenFull {
    origin: Instant,
}

impl WhenFull {
    fn left(&self, full_at: u64, now: Instant) -> Duration {
        Duration::from_micros(full_at).saturating_sub(now.duration_since(self.origin))
    }
}

impl Expiry<String, u64> for WhenFull {
    fn expire_after_create(&self, _: &String, full_at: &u64, now: Instant) -> Option<Duration> {
        Some(self.left(*full_at, now))
    }

    fn expire_after_update(&self, _: &String, full_at: &u64, now: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(self.left(*full_at, now))
    }
}
