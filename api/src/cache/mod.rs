//! Cache of values with a lifetime: in the process, or in Redis with a local cache on each node.
//!
//! A cache never fails its caller. A failed read is a miss, and a failed write is ignored.

mod key;
mod local;
mod redis;

use std::{sync::Arc, time::Duration};

pub use self::key::{Group, Key, Kind, Name, Value};
pub use self::redis::RedisCache;
use crate::cache::{key::Invalidated, local::LocalCache, redis::local_share};
use crate::domain::Random;
use crate::redis_client::RedisClient;
use crate::redis_client::invalidation::{Invalidations, PendingInvalidation};

/// Cache on one node or shared by many.
#[derive(Clone)]
pub enum Cache {
    /// In this process.
    Local(LocalCache),
    /// In Redis, shared by all nodes.
    Redis(RedisCache),
}

/// Reservation of keys whose values are being read from their source.
pub struct Reservation {
    /// Number of deletions in this process when the keys were reserved.
    seen: u64,
    /// Mark stored under the keys in Redis until their values follow, or `None` if Redis has not confirmed it.
    mark: Option<String>,
}

impl Cache {
    /// Creates a cache inside this process.
    #[must_use]
    pub fn local() -> Self {
        Self::Local(LocalCache::default())
    }

    /// Creates a cache that all nodes on this Redis share, and its invalidations. A node caches nothing locally until
    /// its bus passes messages to these invalidations. Values of another epoch of the installation are not found.
    #[must_use]
    pub fn shared(redis: Arc<RedisClient>, prefix: &str, epoch: i32, random: &Random) -> (Self, Arc<Invalidations>) {
        let cache = RedisCache::new(redis, prefix, epoch, random);
        let invalidations = Arc::clone(cache.invalidations());
        (Self::Redis(cache), invalidations)
    }

    /// Returns the value under a key, if it is cached and fits its type.
    pub async fn get<T: Value>(&self, key: &Key<T>) -> Option<T> {
        match self.get_local(key) {
            Some(value) => Some(value),
            None => Box::pin(self.get_many(std::slice::from_ref(key))).await.pop().flatten(),
        }
    }

    /// Returns the values under several keys, in the order of the keys, in one round trip.
    pub async fn get_many<T: Value>(&self, keys: &[Key<T>]) -> Vec<Option<T>> {
        match self {
            Self::Local(cache) => keys.iter().map(|key| cache.get(key)).collect(),
            Self::Redis(cache) => cache.get_many(keys).await,
        }
    }

    /// Reserves keys before their values are read from their source. Only a reserved value can be cached.
    pub async fn reserve<T>(&self, keys: &[Key<T>]) -> Reservation {
        let Reservation { seen, .. } = self.reserve_local();
        let mark = match self {
            Self::Local(_) => None,
            Self::Redis(cache) => cache.reserve(keys).await,
        };
        Reservation { seen, mark }
    }

    /// Caches a value for a lifetime, unless it was deleted after the reservation. A value that was read before a
    /// change must not reappear after it.
    pub async fn set<T: Value>(&self, key: &Key<T>, value: &T, lifetime: Duration, reservation: &Reservation) {
        self.set_many(&[(key, value)], lifetime, reservation).await;
    }

    /// Caches several values as [`Cache::set`] does, in one round trip.
    pub async fn set_many<T: Value>(&self, values: &[(&Key<T>, &T)], lifetime: Duration, reservation: &Reservation) {
        if lifetime.is_zero() {
            return;
        }
        // All our values have a JSON form. A value without one would not be cached.
        let json = values.iter().filter_map(|(key, value)| Some((*key, *value, serde_json::to_vec(value).ok()?)));
        let json: Vec<_> = json.collect();
        for (key, value, json) in &json {
            self.set_local(key, *value, json.len(), lifetime, reservation);
        }
        if let (Self::Redis(cache), Some(mark)) = (self, &reservation.mark)
            && !json.is_empty()
        {
            cache.set_many(json.into_iter().map(|(key, _, json)| (key.name(), json)).collect(), lifetime, mark).await;
        }
    }

    /// Returns the value under a key, if this process has cached it.
    #[must_use]
    pub fn get_local<T: Clone + 'static>(&self, key: &Key<T>) -> Option<T> {
        self.leased()?.get(key)
    }

    /// Reserves keys whose values will be cached only in this process. See [`Cache::reserve`].
    #[must_use]
    pub fn reserve_local(&self) -> Reservation {
        Reservation { seen: self.local_cache().deletions(), mark: None }
    }

    /// Caches a value only in this process. `bytes` is the approximate memory of the value. See [`Cache::set`].
    pub fn set_local<T: Clone + Send + Sync + 'static>(
        &self,
        key: &Key<T>,
        value: &T,
        bytes: usize,
        lifetime: Duration,
        reservation: &Reservation,
    ) {
        let Some(local) = self.leased() else { return };
        let lifetime = if matches!(self, Self::Redis(_)) { local_share(lifetime) } else { lifetime };
        local.set(key, value, bytes, lifetime, reservation.seen);
    }

    /// Sets the lifetime of a value that is still cached, counted from now. Unlike [`Cache::set`], it never restores a
    /// value that was deleted meanwhile.
    pub async fn extend<T>(&self, key: &Key<T>, lifetime: Duration) {
        match self {
            Self::Local(cache) => cache.extend(key, lifetime),
            Self::Redis(cache) => cache.extend(key, lifetime).await,
        }
    }

    /// Deletes a value here and in Redis. Other nodes may use it for the local share of its lifetime.
    pub async fn delete<T>(&self, key: &Key<T>) {
        match self {
            Self::Local(cache) => cache.invalidate(&[Invalidated::One(key.name())]),
            Self::Redis(cache) => cache.delete(key.name()).await,
        }
    }

    /// Deletes several values on every node together.
    pub async fn invalidate(&self, names: &[Name]) -> PendingInvalidation {
        match self {
            Self::Local(cache) => {
                cache.invalidate(&names.iter().copied().map(Invalidated::One).collect::<Vec<_>>());
                PendingInvalidation::done()
            }
            Self::Redis(cache) => cache.invalidate(names).await,
        }
    }

    /// Deletes all values of a group on every node. Redis scans the names of all its keys, so use this rarely.
    pub async fn invalidate_group(&self, group: Group) -> PendingInvalidation {
        match self {
            Self::Local(cache) => {
                cache.invalidate(&[Invalidated::All(group)]);
                PendingInvalidation::done()
            }
            Self::Redis(cache) => cache.invalidate_group(group).await,
        }
    }

    /// Clears the local cache. Values in Redis stay, because each change deletes them there.
    pub fn clear_local(&self) {
        self.local_cache().clear();
    }

    /// Checks that the cache responds. An error contains the cause.
    pub async fn ping(&self) -> Result<(), String> {
        match self {
            Self::Local(_) => Ok(()),
            Self::Redis(cache) => cache.ping().await.map_err(|away| away.to_string()),
        }
    }

    /// Returns the local cache if it may be used.
    fn leased(&self) -> Option<&LocalCache> {
        match self {
            Self::Local(cache) => Some(cache),
            Self::Redis(cache) => cache.leased(),
        }
    }

    fn local_cache(&self) -> &LocalCache {
        match self {
            Self::Local(cache) => cache,
            Self::Redis(cache) => cache.local(),
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::config;

    fn key<T>(n: u128) -> Key<T> {
        Key::new(Kind::User, Uuid::from_u128(n))
    }

    fn owned(n: u128) -> Group {
        Group::new(Kind::Session, Uuid::from_u128(n))
    }

    fn of(group: Group, n: u128) -> Key<u128> {
        Key::of(group, Uuid::from_u128(n))
    }

    async fn put<T: Value>(cache: &Cache, key: &Key<T>, value: &T, lifetime: Duration) {
        let reservation = cache.reserve(std::slice::from_ref(key)).await;
        cache.set(key, value, lifetime, &reservation).await;
    }

    /// Waits until no value is cached under a key.
    async fn ends<T: Value>(cache: &Cache, key: &Key<T>) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
        while cache.get(key).await.is_some() {
            assert!(tokio::time::Instant::now() < deadline, "outlived its time");
            tokio::task::yield_now().await;
        }
    }

    /// Asserts that a value read before a change does not reappear after it.
    async fn reserves(cache: &Cache) {
        let [read, other] = [6, 7].map(key::<u32>);
        let long = Duration::from_mins(1);
        let before = cache.reserve(&[read, other]).await;
        assert_eq!(cache.get(&read).await, None, "a place is no value");
        cache.delete(&read).await;
        cache.set_many(&[(&read, &1), (&other, &3)], long, &before).await;
        assert_eq!(cache.get(&read).await, None);
        put(cache, &read, &2, long).await;
        cache.set(&read, &1, long, &before).await;
        assert_eq!(cache.get(&read).await, Some(2));
        let before = cache.reserve(&[read]).await;
        drop(cache.invalidate(&[read.name(), other.name()]).await);
        cache.set(&read, &1, long, &before).await;
        assert_eq!(cache.get_many(&[read, other]).await, [None, None]);
        let of_group = of(owned(9), 1);
        let before = cache.reserve(&[of_group]).await;
        drop(cache.invalidate_group(owned(9)).await);
        cache.set(&of_group, &1, long, &before).await;
        assert_eq!(cache.get(&of_group).await, None);
    }

    /// Asserts the behaviour that all variants share.
    async fn conforms(cache: Cache) {
        let [one, two] = [1, 2].map(key::<Vec<u32>>);
        let long = Duration::from_mins(1);
        assert_eq!(cache.get(&one).await, None);
        put(&cache, &one, &vec![1, 2], long).await;
        assert_eq!(cache.get(&one).await, Some(vec![1, 2]));
        assert_eq!(cache.get_many(&[two, one]).await, [None, Some(vec![1, 2])]);
        assert_eq!(cache.get_many::<Vec<u32>>(&[]).await, Vec::<Option<_>>::new());
        assert_eq!(cache.get(&key::<String>(1)).await, None, "of another type");
        cache.delete(&one).await;
        put(&cache, &one, &vec![3], long).await;
        assert_eq!(cache.get(&one).await, Some(vec![3]));
        cache.delete(&one).await;
        cache.delete(&two).await;
        assert_eq!(cache.get(&one).await, None);
        put(&cache, &two, &vec![4], Duration::from_millis(20)).await;
        ends(&cache, &two).await;
        reserves(&cache).await;
        extends(&cache).await;
        groups(&cache).await;
        assert_eq!(cache.ping().await, Ok(()));
    }

    async fn extends(cache: &Cache) {
        let [kept, gone, never] = [3, 4, 5].map(key::<u32>);
        let (short, long) = (Duration::from_millis(50), Duration::from_mins(1));
        for key in [&kept, &gone] {
            put(cache, key, &7, short).await;
        }
        for key in [&kept, &never] {
            cache.extend(key, long).await;
        }
        ends(cache, &gone).await;
        assert_eq!(cache.get_many(&[kept, never]).await, [Some(7), None]);
        cache.extend(&kept, short).await;
        ends(cache, &kept).await;
    }

    async fn groups(cache: &Cache) {
        let owners = [1, 2, 3, 4].map(owned);
        let keys = |group: Group| [1, 2].map(|n| of(group, n));
        for (key, n) in owners.into_iter().flat_map(keys).zip(0..) {
            put(cache, &key, &n, Duration::from_mins(1)).await;
        }
        // More keys than one step of a scan examines.
        let crowd = owned(5);
        for n in 0..3000 {
            put(cache, &of(crowd, n), &n, Duration::from_mins(1)).await;
        }
        drop(cache.invalidate_group(owners[0]).await);
        drop(cache.invalidate_group(crowd).await);
        let left = cache.get_many(&owners.into_iter().flat_map(keys).collect::<Vec<_>>()).await;
        assert_eq!(left, [None, None, Some(2), Some(3), Some(4), Some(5), Some(6), Some(7)]);
        let crowd: Vec<_> = (0..3000).map(|n| of(crowd, n)).collect();
        assert!(cache.get_many(&crowd).await.iter().all(Option::is_none));
    }

    /// Returns a node of an installation whose prefix looks like a pattern.
    fn at(url: &str, installation: &str, command_timeout_ms: u64) -> (Cache, Arc<Invalidations>, Arc<RedisClient>) {
        let settings = config::Redis { url: url.into(), prefix: String::new(), command_timeout_ms };
        let (redis, prefix) =
            (RedisClient::open(&settings).unwrap(), format!("test-[a]*?-{}-{installation}:", std::process::id()));
        let (cache, invalidations) = Cache::shared(Arc::clone(&redis), &prefix, 1, &Random::System);
        (cache, invalidations, redis)
    }

    #[tokio::test]
    async fn the_local_cache_conforms() {
        let cache = Cache::local();
        conforms(cache.clone()).await;
        put(&cache, &key(1), &1, Duration::from_mins(1)).await;
        cache.clear_local();
        assert_eq!(cache.get(&key::<i32>(1)).await, None);
    }

    #[tokio::test]
    async fn an_absent_redis_is_a_miss() {
        let (cache, ..) = at("redis://127.0.0.1:1", "absent", 50);
        let key = key::<u32>(1);
        put(&cache, &key, &1, Duration::from_secs(1)).await;
        assert_eq!(cache.reserve(&[key]).await.mark, None);
        cache.extend(&key, Duration::from_secs(1)).await;
        assert_eq!(cache.get_many(&[key, key]).await, [None, None]);
        assert!(cache.ping().await.is_err());
    }

    mod clustered {
        use super::*;
        use crate::redis_client::redis_url;

        /// Holds the lease of a node that receives no messages from others.
        async fn hold(url: &str, invalidations: &Arc<Invalidations>) {
            let client = ::redis::Client::open(url).unwrap();
            let mut connection = client.get_multiplexed_async_connection().await.unwrap();
            invalidations.reset();
            invalidations.renew(&mut connection).await.unwrap();
            let invalidations = Arc::clone(invalidations);
            tokio::spawn(async move {
                let mut ticks = tokio::time::interval(Duration::from_millis(50));
                while invalidations.renew(&mut connection).await.is_ok() {
                    ticks.tick().await;
                }
            });
        }

        #[tokio::test]
        async fn the_shared_cache_conforms() {
            let url = redis_url();
            let (cache, ..) = at(&url, "shared", 2000);
            conforms(cache).await;
        }

        #[tokio::test]
        async fn the_shared_cache_with_a_copy_near_at_hand_conforms() {
            let url = redis_url();
            let (cache, invalidations, _) = at(&url, "near", 2000);
            hold(&url, &invalidations).await;
            conforms(cache).await;
        }

        #[tokio::test]
        async fn what_was_read_in_redis_is_near_until_the_lease_is_lost_or_another_node_says_so() {
            let url = redis_url();
            let ((here, invalidations, redis), (there, ..)) = (at(&url, "read", 2000), at(&url, "read", 2000));
            hold(&url, &invalidations).await;
            let (one, long) = (key::<u32>(1), Duration::from_mins(1));
            put(&there, &one, &1, long).await;
            assert_eq!((here.get_local(&one), there.get_local(&one)), (None, None), "without a lease nothing is near");
            assert_eq!(here.get(&one).await, Some(1));
            let asked = redis.command_count();
            assert_eq!((here.get(&one).await, here.get_local(&one)), (Some(1), Some(1)));
            assert_eq!(redis.command_count(), asked);

            let said =
                invalidations.receive(&invalidations.channels()[0], &format!("7 3 {}", Invalidated::One(one.name())));
            let said = said.expect("a confirmation");
            assert_eq!((said.channel.ends_with("bus:forgotten:7"), here.get_local(&one)), (true, None));
            assert_eq!(*said.text, format!("{} 3", invalidations.node()));

            assert_eq!(here.get(&one).await, Some(1));
            invalidations.receive(&invalidations.channels()[0], "7 4 something-unknown").expect("a confirmation");
            assert_eq!(here.get_local(&one), None, "what is not understood means all");
            assert_eq!(here.get(&one).await, Some(1));
            invalidations.reset();
            assert_eq!(here.get_local(&one), None);
        }
    }
}
