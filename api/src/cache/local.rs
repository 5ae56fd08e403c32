//! The cache inside the process, bounded by the bytes it holds.

use std::{
    any::Any,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use moka::{Entry as Found, Expiry, ops::compute::Op, sync};

use super::{
    Key,
    key::{Forgotten, Name},
};

const CAPACITY_BYTES: u64 = 16 * 1024 * 1024;

/// A value, what it weighs, and how long it is good for.
#[derive(Clone)]
struct Entry {
    value: Arc<dyn Any + Send + Sync>,
    bytes: usize,
    lifetime: Duration,
}

/// Values as they are: to read them from JSON would cost most of what is saved by remembering them.
#[derive(Clone)]
pub struct LocalCache {
    values: sync::Cache<Name, Entry>,
    /// How many deletions there have been. Held while a value goes in, so that none comes between a look and the value.
    deletions: Arc<RwLock<u64>>,
}

impl Default for LocalCache {
    fn default() -> Self {
        let own = size_of::<Name>() + size_of::<Entry>() + 64;
        let weight = move |_: &Name, entry: &Entry| u32::try_from(entry.bytes + own).unwrap_or(u32::MAX);
        let values = sync::Cache::builder().weigher(weight).max_capacity(CAPACITY_BYTES).expire_after(Lifetime).build();
        Self { values, deletions: Arc::default() }
    }
}

impl LocalCache {
    pub(super) fn get<T: Clone + 'static>(&self, key: &Key<T>) -> Option<T> {
        self.values.get(&key.name())?.value.downcast_ref().cloned()
    }

    pub(super) fn deletions(&self) -> u64 {
        *self.deletions.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// `bytes` is about the memory that the value holds, `seen` the deletions there had been before it was read.
    pub(super) fn set<T: Clone + Send + Sync + 'static>(
        &self,
        key: &Key<T>,
        value: &T,
        bytes: usize,
        lifetime: Duration,
        seen: u64,
    ) {
        let deletions = self.deletions.read().unwrap_or_else(PoisonError::into_inner);
        if *deletions != seen || lifetime.is_zero() {
            return;
        }
        self.values.insert(key.name(), Entry { value: Arc::new(value.clone()), bytes, lifetime });
    }

    pub(super) fn extend<T>(&self, key: &Key<T>, lifetime: Duration) {
        let put = |entry: Found<Name, Entry>| Op::Put(Entry { lifetime, ..entry.into_value() });
        self.values.entry(key.name()).and_compute_with(|entry| entry.map_or(Op::Nop, put));
    }

    pub(super) fn forget(&self, forgotten: &[Forgotten]) {
        self.count_deletion();
        for forgotten in forgotten {
            match forgotten {
                Forgotten::One(name) => self.values.invalidate(name),
                Forgotten::All(group) => {
                    for (name, _) in self.values.iter().filter(|(name, _)| group.has(name)) {
                        self.values.invalidate(&*name);
                    }
                }
            }
        }
    }

    pub(super) fn clear(&self) {
        self.count_deletion();
        self.values.invalidate_all();
    }

    fn count_deletion(&self) {
        *self.deletions.write().unwrap_or_else(PoisonError::into_inner) += 1;
    }
}

/// Every entry ends its own time after it was last written.
struct Lifetime;

impl Expiry<Name, Entry> for Lifetime {
    fn expire_after_create(&self, _: &Name, entry: &Entry, _: Instant) -> Option<Duration> {
        Some(entry.lifetime)
    }

    fn expire_after_update(&self, _: &Name, entry: &Entry, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(entry.lifetime)
    }
}
