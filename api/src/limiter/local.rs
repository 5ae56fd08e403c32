//! Limits counted in this process, in a bounded map that forgets whom it has not seen for longest.

use std::time::{Duration, Instant};

use lru::LruCache;
use parking_lot::Mutex;

use crate::limiter::{Decision, Limit, gcra};

/// The most keys counted at a time.
const MAX_KEYS: usize = 100_000;

/// A limiter in this process.
pub struct Local {
    origin: Instant,
    /// When all that was spent will have come back, in microseconds since `origin`.
    ///
    /// The least recently seen goes first: a policy that weighs how often keys are seen does not even keep a newcomer
    /// to a busy map, and who is not kept is not limited.
    cells: Mutex<LruCache<String, u64>>,
}

impl Default for Local {
    fn default() -> Self {
        // One with a bound of its own takes all its room at once.
        Self { origin: Instant::now(), cells: Mutex::new(LruCache::unbounded()) }
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
        let mut cells = self.cells.lock();
        let decide = |full_at| gcra::decide(full_at, gcra::micros(now), limit, cost);
        if let Some(full_at) = cells.get_mut(key) {
            let (next, decision) = decide(*full_at);
            *full_at = next.unwrap_or(*full_at);
            return decision;
        }
        let (next, decision) = decide(0);
        if let Some(next) = next {
            cells.put(key.to_owned(), next);
            if cells.len() > MAX_KEYS {
                cells.pop_lru();
            }
        }
        decision
    }
}
