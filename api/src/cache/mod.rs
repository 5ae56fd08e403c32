//! What is remembered for a while: in the process, or in Redis where nodes share it.
//!
//! A cache never fails its caller: what cannot be read is a miss, what cannot be written is forgotten.

mod key;
mod local;
mod redis;

use std::{sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use self::local::LocalCache;
pub use self::{key::Key, redis::RedisCache};
use crate::link::Link;

/// One of the two places to remember things in.
#[derive(Clone)]
pub enum Cache {
    /// For one node.
    Local(LocalCache),
    /// For many.
    Redis(RedisCache),
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
    pub fn shared(link: Arc<Link>, prefix: &str) -> Self {
        Self::Redis(RedisCache::new(link, prefix))
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

    /// Remembers a value for so long.
    pub async fn set<T: Value>(&self, key: &Key<T>, value: &T, lifetime: Duration) {
        // A value of ours always has a JSON form; one that had none would merely not be remembered.
        let Ok(json) = serde_json::to_vec(value) else { return };
        match self {
            Self::Local(cache) => cache.set(key, value, json.len(), lifetime),
            Self::Redis(cache) => cache.set(key, json, lifetime).await,
        }
    }

    /// Forgets a value.
    pub async fn delete<T>(&self, key: &Key<T>) {
        match self {
            Self::Local(cache) => cache.delete(key),
            Self::Redis(cache) => cache.delete(key).await,
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

    /// What every variant does alike. `QV_TEST_REDIS_URL` names a Redis to run it on as well.
    async fn conforms(cache: Cache) {
        let [one, two] = [1, 2].map(|n: u32| Key::<Vec<u32>>::new("test", n));
        let long = Duration::from_mins(1);
        assert_eq!(cache.get(&one).await, None);
        cache.set(&one, &vec![1, 2], long).await;
        assert_eq!(cache.get(&one).await, Some(vec![1, 2]));
        assert_eq!(cache.get_many(&[two.clone(), one.clone()]).await, [None, Some(vec![1, 2])]);
        assert_eq!(cache.get_many::<Vec<u32>>(&[]).await, []);
        assert_eq!(cache.get(&Key::<String>::new("test", 1)).await, None, "of another type");
        cache.set(&one, &vec![3], long).await;
        assert_eq!(cache.get(&one).await, Some(vec![3]));
        cache.delete(&one).await;
        cache.delete(&two).await;
        assert_eq!(cache.get(&one).await, None);
        cache.set(&two, &vec![4], Duration::from_millis(20)).await;
        let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
        while cache.get(&two).await.is_some() {
            assert!(tokio::time::Instant::now() < deadline, "outlived its time");
            tokio::task::yield_now().await;
        }
        assert_eq!(cache.ping().await, Ok(()));
    }

    fn at(url: &str, command_timeout_ms: u64) -> Cache {
        let settings = config::Redis { url: url.into(), prefix: String::new(), command_timeout_ms };
        Cache::shared(Link::open(&settings).unwrap(), &format!("test-{}:", std::process::id()))
    }

    #[tokio::test]
    async fn the_local_cache_conforms() {
        conforms(Cache::local()).await;
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
        cache.set(&key, &1, Duration::from_secs(1)).await;
        assert_eq!(cache.get_many(&[key.clone(), key]).await, [None, None]);
        assert!(cache.ping().await.is_err());
    }
}
