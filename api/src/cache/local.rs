//! The cache inside the process, bounded by the bytes of its values.

use std::{
    any::Any, sync::Arc, sync::atomic::AtomicU64, sync::atomic::Ordering::Relaxed, time::Duration, time::Instant,
};

use parking_lot::RwLock;
use quick_cache::{Weighter, sync};

use crate::cache::Key;
use crate::cache::key::{Invalidated, Name};

const CAPACITY_BYTES: u64 = 16 * 1024 * 1024;
/// Approximate number of values that fit.
const CAPACITY: usize = 64 * 1024;

/// Value with its size and its expiry, in microseconds since the cache was created.
struct Entry<T: ?Sized> {
    bytes: usize,
    until: AtomicU64,
    value: T,
}

type Shared = Arc<Entry<dyn Any + Send + Sync>>;

/// Cache of values as they are, so that a hit parses no JSON.
#[derive(Clone)]
pub struct LocalCache {
    origin: Instant,
    values: Arc<sync::Cache<Name, Shared, Weight>>,
    /// Number of deletions. Locked during an insertion, so that no deletion comes between the check and the insertion.
    deletions: Arc<RwLock<u64>>,
}

impl Default for LocalCache {
    fn default() -> Self {
        let values = sync::Cache::with_weighter(CAPACITY, CAPACITY_BYTES, Weight);
        Self { origin: Instant::now(), values: Arc::new(values), deletions: Arc::default() }
    }
}

impl LocalCache {
    pub(super) fn get<T: Clone + 'static>(&self, key: &Key<T>) -> Option<T> {
        self.find(&key.name())?.value.downcast_ref().cloned()
    }

    /// Returns an entry that has not expired. Removes an expired one.
    fn find(&self, name: &Name) -> Option<Shared> {
        let now = self.micros_after(Duration::ZERO);
        let entry = self.values.get(name)?;
        if entry.until.load(Relaxed) > now {
            return Some(entry);
        }
        self.values.remove_if(name, |entry| entry.until.load(Relaxed) <= now);
        None
    }

    fn micros_after(&self, lifetime: Duration) -> u64 {
        u64::try_from((self.origin.elapsed() + lifetime).as_micros()).unwrap_or(u64::MAX)
    }

    pub(super) fn deletions(&self) -> u64 {
        *self.deletions.read()
    }

    /// Caches a value unless the number of deletions has changed from `seen`, their number before the value was read.
    /// `bytes` is the approximate memory of the value.
    pub(super) fn set<T: Clone + Send + Sync + 'static>(
        &self,
        key: &Key<T>,
        value: &T,
        bytes: usize,
        lifetime: Duration,
        seen: u64,
    ) {
        let deletions = self.deletions.read();
        if *deletions != seen || lifetime.is_zero() {
            return;
        }
        let until = self.micros_after(lifetime).into();
        self.values.insert(key.name(), Arc::new(Entry { bytes, until, value: value.clone() }));
    }

    pub(super) fn extend<T>(&self, key: &Key<T>, lifetime: Duration) {
        if let Some(entry) = self.find(&key.name()) {
            entry.until.store(self.micros_after(lifetime), Relaxed);
        }
    }

    pub(super) fn invalidate(&self, invalidated: &[Invalidated]) {
        self.count_deletion();
        for invalidated in invalidated {
            match invalidated {
                Invalidated::One(name) => drop(self.values.remove(name)),
                Invalidated::All(group) => self.values.retain(|name, _| !group.contains(name)),
            }
        }
    }

    pub(super) fn clear(&self) {
        self.count_deletion();
        self.values.clear();
    }

    fn count_deletion(&self) {
        *self.deletions.write() += 1;
    }
}

/// Size of a value in bytes, including the overhead of its entry.
#[derive(Clone)]
struct Weight;

impl Weighter<Name, Shared> for Weight {
    fn weight(&self, _: &Name, entry: &Shared) -> u64 {
        (entry.bytes + size_of::<Name>() + size_of::<Entry<()>>() + 64) as u64
    }
}
