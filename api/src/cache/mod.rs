//! What is remembered for a while: in the process, or in Redis where nodes share it.
//!
//! A cache never fails its caller: what cannot be read is a miss, what cannot be written is forgotten.

mod key;
mod local;
mod redis;

use std::{sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use self::local::LocalCache;
pub use self::{
    key::{Group, Key},
    redis::RedisCache,
};
use crate::{domain::Random, link::Link};

/// One of the two places to remember things in.
#[derive(Clone)]
pub enum Cache {
    /// For one node.
    Local(LocalCache),
    /// For many.
    Redis(RedisCache),
}

/// A place kept for values that are being read.
pub enum Reservation {
    /// How many deletions there had been.
    Local(u64),
    /// What stands where the values will.
    Redis(String),
}

/// What can be remembered: in the process as it is, in Redis as JSON.
pub trait Value: Clone + Serialize + DeserializeOwned + Send + Sync + 'static {}

impl<T: Clone + Serialize + DeserializeOwned + Send + Sync + 'static> Value for T {}

impl Cache {
    /// A cache inside this process.
    #[must_use]
    pub fn local() -> Self {
        Self::Local(LocalCache::default())
    }

    /// A cache that all nodes on this Redis share.
    #[must_use]
    pub fn shared(link: Arc<Link>, prefix: &str, random: &Random) -> Self {
        Self::Redis(RedisCache::new(link, prefix, random))
    }

    /// The value under a key, if it is remembered and still fits its type.
    pub async fn get<T: Value>(&self, key: &Key<T>) -> Option<T> {
        match self {
            Self::Local(cache) => cache.get(key),
            Self::Redis(_) => self.get_many(std::slice::from_ref(key)).await.pop().flatten(),
        }
    }

    /// The values under several keys, in their order, in one round trip.
    pub async fn get_many<T: Value>(&self, keys: &[Key<T>]) -> Vec<Option<T>> {
        match self {
            Self::Local(cache) => keys.iter().map(|key| cache.get(key)).collect(),
            Self::Redis(cache) => {
                let values = cache.get_many(keys).await;
                values.into_iter().map(|value| serde_json::from_slice(&value?).ok()).collect()
            }
        }
    }

    /// Says that these values are about to be read where they come from, and may be remembered then.
    pub async fn reserve<T>(&self, keys: &[Key<T>]) -> Reservation {
        match self {
            Self::Local(cache) => Reservation::Local(cache.deletions()),
            Self::Redis(cache) => Reservation::Redis(cache.reserve(keys).await),
        }
    }

    /// Remembers a value for so long, unless it has been deleted since it was reserved: what was read before it changed
    /// must not come back after it.
    pub async fn set<T: Value>(&self, key: &Key<T>, value: &T, lifetime: Duration, reservation: &Reservation) {
        self.set_many(&[(key, value)], lifetime, reservation).await;
    }

    /// The same with several values, in one round trip.
    pub async fn set_many<T: Value>(&self, values: &[(&Key<T>, &T)], lifetime: Duration, reservation: &Reservation) {
        // A value of ours always has a JSON form; one that had none would merely not be remembered.
        let json = values.iter().filter_map(|(key, value)| Some((*key, *value, serde_json::to_vec(value).ok()?)));
        match (self, reservation) {
            (Self::Local(cache), Reservation::Local(seen)) => {
                json.for_each(|(key, value, json)| cache.set(key, value, json.len(), lifetime, *seen));
            }
            (Self::Redis(cache), Reservation::Redis(mark)) if !values.is_empty() => {
                cache.set_many(json.map(|(key, _, json)| (key.name(), json)).collect(), lifetime, mark).await;
            }
            _ => {}
        }
    }

    /// Remembers a value for so long from now, if it is remembered still: unlike [`Cache::set`] it brings nothing back
    /// that somebody has taken out meanwhile.
    pub async fn extend<T>(&self, key: &Key<T>, lifetime: Duration) {
        match self {
            Self::Local(cache) => cache.extend(key, lifetime),
            Self::Redis(cache) => cache.extend(key, lifetime).await,
        }
    }

    /// Forgets a value.
    pub async fn delete<T>(&self, key: &Key<T>) {
        match self {
            Self::Local(cache) => cache.delete(key),
            Self::Redis(cache) => cache.delete(key).await,
        }
    }

    /// Forgets all values of one owner. In Redis that takes a look at the name of every key there is: for rare occasions.
    pub async fn delete_group(&self, group: &Group) {
        match self {
            Self::Local(cache) => cache.delete_group(group),
            Self::Redis(cache) => cache.delete_group(group).await,
        }
    }

    /// Forgets what only this process remembers; what nodes share is kept right by whoever changes it.
    pub fn forget_own(&self) {
        if let Self::Local(cache) = self {
            cache.clear();
        }
    }

    /// Whether the cache answers, and if not, why.
    pub async fn ping(&self) -> Result<(), String> {
        match self {
            Self::Local(_) => Ok(()),
            Self::Redis(cache) => cache.ping().await.map_err(|away| away.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    async fn put<T: Value>(cache: &Cache, key: &Key<T>, value: &T, lifetime: Duration) {
        let reservation = cache.reserve(std::slice::from_ref(key)).await;
        cache.set(key, value, lifetime, &reservation).await;
    }

    /// What was read before it changed does not come back after it.
    async fn reserves(cache: &Cache) {
        let [read, other] = [6, 7].map(|n: u32| Key::<u32>::new("test", n));
        let long = Duration::from_mins(1);
        let before = cache.reserve(&[read.clone(), other.clone()]).await;
        assert_eq!(cache.get(&read).await, None, "a place is no value");
        cache.delete(&read).await;
        cache.set_many(&[(&read, &1), (&other, &3)], long, &before).await;
        assert_eq!(cache.get(&read).await, None);
        put(cache, &read, &2, long).await;
        cache.set(&read, &1, long, &before).await;
        assert_eq!(cache.get(&read).await, Some(2));
        let group = Group::new("reserved", 1);
        let key = Key::<u32>::of(&group, 1);
        let before = cache.reserve(std::slice::from_ref(&key)).await;
        cache.delete_group(&group).await;
        cache.set(&key, &1, long, &before).await;
        assert_eq!(cache.get(&key).await, None);
    }

    /// What every variant does alike. `QV_TEST_REDIS_URL` names a Redis to run it on as well.
    async fn conforms(cache: Cache) {
        let [one, two] = [1, 2].map(|n: u32| Key::<Vec<u32>>::new("test", n));
        let long = Duration::from_mins(1);
        assert_eq!(cache.get(&one).await, None);
        put(&cache, &one, &vec![1, 2], long).await;
        assert_eq!(cache.get(&one).await, Some(vec![1, 2]));
        assert_eq!(cache.get_many(&[two.clone(), one.clone()]).await, [None, Some(vec![1, 2])]);
        assert_eq!(cache.get_many::<Vec<u32>>(&[]).await, []);
        assert_eq!(cache.get(&Key::<String>::new("test", 1)).await, None, "of another type");
        cache.delete(&one).await;
        put(&cache, &one, &vec![3], long).await;
        assert_eq!(cache.get(&one).await, Some(vec![3]));
        cache.delete(&one).await;
        cache.delete(&two).await;
        assert_eq!(cache.get(&one).await, None);
        put(&cache, &two, &vec![4], Duration::from_millis(20)).await;
        let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
        while cache.get(&two).await.is_some() {
            assert!(tokio::time::Instant::now() < deadline, "outlived its time");
            tokio::task::yield_now().await;
        }
        reserves(&cache).await;
        extends(&cache).await;
        groups(&cache).await;
        assert_eq!(cache.ping().await, Ok(()));
    }

    async fn extends(cache: &Cache) {
        let [kept, gone, never] = [3, 4, 5].map(|n: u32| Key::<u32>::new("test", n));
        let (short, long) = (Duration::from_millis(50), Duration::from_mins(1));
        for key in [&kept, &gone] {
            put(cache, key, &7, short).await;
        }
        for key in [&kept, &never] {
            cache.extend(key, long).await;
        }
        let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
        while cache.get(&gone).await.is_some() {
            assert!(tokio::time::Instant::now() < deadline, "outlived its time");
            tokio::task::yield_now().await;
        }
        assert_eq!(cache.get_many(&[kept.clone(), never]).await, [Some(7), None]);
        cache.extend(&kept, short).await;
        while cache.get(&kept).await.is_some() {
            assert!(tokio::time::Instant::now() < deadline, "outlived its time");
            tokio::task::yield_now().await;
        }
    }

    async fn groups(cache: &Cache) {
        // Names that a pattern could take for more than they are.
        let owners = ["a*", "ab", "a[b]", "a?"].map(|owner| Group::new("owned", owner));
        let keys = |group: &Group| [1, 2].map(|n: u32| Key::<u32>::of(group, n));
        for (key, n) in owners.iter().flat_map(keys).zip(0..) {
            put(cache, &key, &n, Duration::from_mins(1)).await;
        }
        // More of them than one step of a scan looks at.
        let crowd = Group::new("owned", "crowd");
        for n in 0..3000 {
            put(cache, &Key::of(&crowd, n), &n, Duration::from_mins(1)).await;
        }
        cache.delete_group(&owners[0]).await;
        cache.delete_group(&crowd).await;
        let left = cache.get_many(&owners.iter().flat_map(keys).collect::<Vec<_>>()).await;
        assert_eq!(left, [None, None, Some(2), Some(3), Some(4), Some(5), Some(6), Some(7)]);
        let crowd: Vec<Key<u32>> = (0..3000).map(|n| Key::of(&crowd, n)).collect();
        assert!(cache.get_many(&crowd).await.iter().all(Option::is_none));
    }

    fn at(url: &str, command_timeout_ms: u64) -> Cache {
        let settings = config::Redis { url: url.into(), prefix: String::new(), command_timeout_ms };
        Cache::shared(Link::open(&settings).unwrap(), &format!("test-{}:", std::process::id()), &Random::System)
    }

    #[tokio::test]
    async fn the_local_cache_conforms() {
        let cache = Cache::local();
        conforms(cache.clone()).await;
        let key = Key::<u32>::new("test", 1);
        put(&cache, &key, &1, Duration::from_mins(1)).await;
        cache.forget_own();
        assert_eq!(cache.get(&key).await, None);
    }

    #[tokio::test]
    async fn the_shared_cache_conforms() {
        // The embedded run has no Redis; `tests/run` makes the clustered one with it.
        let Ok(url) = std::env::var("QV_TEST_REDIS_URL") else { return };
        conforms(at(&url, 2000)).await;
    }

    #[tokio::test]
    async fn an_absent_redis_is_a_miss() {
        let cache = at("redis://127.0.0.1:1", 50);
        let key = Key::<u32>::new("test", 1);
        put(&cache, &key, &1, Duration::from_secs(1)).await;
        cache.extend(&key, Duration::from_secs(1)).await;
        assert_eq!(cache.get_many(&[key.clone(), key]).await, [None, None]);
        assert!(cache.ping().await.is_err());
    }
}
