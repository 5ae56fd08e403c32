//! Limits counted in this process, in a bounded map that evicts the least recently used key.

use std::time::{Duration, Instant};

use lru::LruCache;
use parking_lot::Mutex;

use crate::limiter::{Decision, Limit, gcra};

/// Maximum number of keys counted at a time.
const MAX_KEYS: usize = 100_000;

/// Limiter in this process.
pub struct Local {
    origin: Instant,
    /// Time at which all spent units are available again, in microseconds since `origin`, by key.
    ///
    /// Evicts the least recently used key. A policy based on frequency would not admit new keys to a busy map. A key
    /// outside the map is not limited.
    cells: Mutex<LruCache<String, u64>>,
}

impl Default for Local {
    fn default() -> Self {
        // A bounded map would allocate all its memory at once.
        Self { origin: Instant::now(), cells: Mutex::new(LruCache::unbounded()) }
    }
}

impl Local {
    /// Spends `cost` units of the key's limit, if they are available.
    #[must_use]
    pub fn check(&self, key: &str, limit: &Limit, cost: u32) -> Decision {
        self.check_at(self.origin.elapsed(), key, limit, cost)
    }

    /// Checks at a time since the limiter was created.
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
