//! Limits counted in this process, in a map of bounded size.

use std::time::{Duration, Instant};

use quick_cache::{
    DefaultHashBuilder, OptionsBuilder, UnitWeighter,
    sync::{Cache, DefaultLifecycle, EntryAction, EntryResult},
};

use super::{Decision, Limit, gcra};

/// The most keys counted at a time; beyond it one not seen for long is forgotten.
const MAX_KEYS: usize = 100_000;
/// Which part of them those can take that were seen more than once. The rest is for newcomers: who is not kept is not
/// limited.
const SEEN_AGAIN: f64 = 0.5;

/// A limiter in this process.
pub struct Local {
    origin: Instant,
    /// When all that was spent will have come back, in microseconds since `origin`.
    cells: Cache<String, u64>,
}

impl Default for Local {
    fn default() -> Self {
        let mut options = OptionsBuilder::new();
        options.estimated_items_capacity(MAX_KEYS).weight_capacity(MAX_KEYS as u64).hot_allocation(SEEN_AGAIN);
        let cells = options.build().map_or_else(
            |_| Cache::new(MAX_KEYS),
            |options| {
                let (hasher, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
                Cache::with_options(options, UnitWeighter, hasher, lifecycle)
            },
        );
        Self { origin: Instant::now(), cells }
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
        let decide = |full_at| gcra::decide(full_at, gcra::micros(now), limit, cost);
        let counted = self.cells.entry(key, None, |_, full_at| {
            let (next, decision) = decide(*full_at);
            *full_at = next.unwrap_or(*full_at);
            EntryAction::Retain(decision)
        });
        match counted {
            EntryResult::Retained(decision) => decision,
            EntryResult::Vacant(place) => {
                let (next, decision) = decide(0);
                // Nobody else can have taken the place.
                let _ = next.map(|next| place.insert(next));
                decision
            }
            // What is neither kept nor new is not asked for.
            _ => Decision { allowed: false, retry_after: limit.interval, remaining: 0 },
        }
    }
}
