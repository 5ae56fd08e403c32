//! The cache in Redis, shared by all nodes, and the local cache of each node.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use redis::{AsyncCommands, Script};
use tokio::time::sleep;

use crate::cache::key::{Invalidated, Name};
use crate::cache::{Group, Key, Value, local::LocalCache};
use crate::domain::Random;
use crate::redis_client::invalidation::{Invalidations, PendingInvalidation, RETRY_AFTER};
use crate::redis_client::{RedisClient, RedisUnavailable};

/// Divisor of a value's lifetime that gives the time for which a node caches it locally. Redis keeps it for the rest,
/// so that both together end with the lifetime even if no deletion succeeds. A fifth saves nearly every round trip for
/// values that are read often. A node that missed a deletion soon drops the value.
const LOCAL_SHARE: u32 = 5;
/// Number of keys that Redis examines in one step of a scan. Meanwhile it serves no other client.
const SCANNED_AT_A_TIME: usize = 1000;
/// Lifetime of a mark, longer than a database statement may take.
const RESERVED_FOR_MS: u32 = 10_000;
/// Script that stores values under the keys that still hold the mark.
static REPLACE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
for place, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[1] then redis.call('SET', key, ARGV[place + 2], 'PX', ARGV[2]) end
end
",
    )
});

/// Cache in Redis under the installation's own prefix.
#[derive(Clone)]
pub struct RedisCache {
    redis: Arc<RedisClient>,
    prefix: Arc<str>,
    /// Prefix of this node's marks. Not a number, so that no mark is taken for a value.
    mark: Arc<str>,
    marks: Arc<AtomicU64>,
    local: LocalCache,
    invalidations: Arc<Invalidations>,
}

impl RedisCache {
    pub(super) fn new(redis: Arc<RedisClient>, prefix: &str, epoch: i32, random: &Random) -> Self {
        let local = LocalCache::default();
        let heard = local.clone();
        let invalidations = Invalidations::new(prefix, random, move |names| {
            let all = |names: &str| names.split(' ').map(str::parse).collect::<Result<Vec<_>, ()>>();
            match names.map(all) {
                Some(Ok(invalidated)) => heard.invalidate(&invalidated),
                // A node of another version may send a name that this version does not know.
                Some(Err(())) | None => heard.clear(),
            }
        });
        let mark = format!("!{:x}.", u128::from_be_bytes(random.bytes())).into();
        let prefix = format!("{prefix}cache:{epoch}:").into();
        Self { redis, prefix, mark, marks: Arc::default(), local, invalidations }
    }

    pub(super) fn invalidations(&self) -> &Arc<Invalidations> {
        &self.invalidations
    }

    /// Returns the local cache while the lease allows reading it.
    pub(super) fn leased(&self) -> Option<&LocalCache> {
        self.invalidations.is_held().then_some(&self.local)
    }

    /// Returns the local cache, with or without a lease.
    pub(super) fn local(&self) -> &LocalCache {
        &self.local
    }

    pub(super) async fn get_many<T: Value>(&self, keys: &[Key<T>]) -> Vec<Option<T>> {
        let mut values: Vec<_> = keys.iter().map(|key| self.leased()?.get(key)).collect();
        let missing: Vec<_> = (0..keys.len()).filter(|place| values[*place].is_none()).collect();
        if missing.is_empty() {
            return values;
        }
        let seen = self.local.deletions();
        let names: Vec<_> = missing.iter().map(|place| self.name(keys[*place].name())).collect();
        let asked = self.redis.run(|mut redis| async move { redis.mget::<_, Vec<Option<Vec<u8>>>>(&names).await });
        for (place, read) in missing.into_iter().zip(asked.await.unwrap_or_default()) {
            let Some((lifetime, json)) = read.as_deref().and_then(unpack) else { continue };
            let Ok(value) = serde_json::from_slice(json) else { continue };
            if let Some(local) = self.leased() {
                local.set(&keys[place], &value, json.len(), lifetime, seen);
            }
            values[place] = Some(value);
        }
        values
    }

    /// Stores a mark under each key that is empty. A deletion removes the mark.
    ///
    /// Returns no mark if Redis did not confirm it. A mark that arrives after a deletion would admit an old value.
    pub(super) async fn reserve<T>(&self, keys: &[Key<T>]) -> Option<String> {
        let mark = format!("{}{}", self.mark, self.marks.fetch_add(1, Ordering::Relaxed));
        let mut pipeline = redis::pipe();
        for key in keys {
            let name = self.name(key.name());
            pipeline.cmd("SET").arg(name).arg(&mark).arg("NX").arg("PX").arg(RESERVED_FOR_MS).ignore();
        }
        let done = self.redis.run(|mut redis| async move { pipeline.query_async::<()>(&mut redis).await }).await;
        done.is_ok().then_some(mark)
    }

    /// Stores all values with one call of the script.
    pub(super) async fn set_many(&self, values: Vec<(Name, Vec<u8>)>, lifetime: Duration, mark: &str) {
        let local = local_share(lifetime);
        let mut call = REPLACE.arg(mark);
        call.arg(millis(lifetime.saturating_sub(local)));
        for (name, json) in values {
            call.key(self.name(name)).arg(pack(local, &json));
        }
        ignore(self.redis.run(|mut redis| async move { call.invoke_async::<()>(&mut redis).await }).await);
    }

    pub(super) async fn extend<T>(&self, key: &Key<T>, lifetime: Duration) {
        let local = local_share(lifetime);
        self.local.extend(key, local);
        let (name, rest) = (self.name(key.name()), millis(lifetime.saturating_sub(local)).cast_signed());
        ignore(self.redis.run(|mut redis| async move { redis.pexpire::<_, ()>(name, rest).await }).await);
    }

    /// Deletes a value in Redis and on this node.
    pub(super) async fn delete(&self, name: Name) {
        let key = self.name(name);
        ignore(self.redis.run(|mut redis| async move { redis.del::<_, ()>(key).await }).await);
        // Last, so that no reader gets the value from Redis and caches it locally after this deletion.
        self.local.invalidate(&[Invalidated::One(name)]);
    }

    /// Deletes values in Redis and on every node.
    pub(super) async fn invalidate(&self, names: &[Name]) -> PendingInvalidation {
        let invalidated: Vec<_> = names.iter().copied().map(Invalidated::One).collect();
        let keys: Vec<_> = names.iter().map(|name| self.name(*name)).collect();
        self.broadcast(&keys, &invalidated).await
    }

    /// Deletes a group in Redis and on every node. A scan finds every key that exists throughout, and that suffices.
    pub(super) async fn invalidate_group(&self, group: Group) -> PendingInvalidation {
        let pattern = format!("{}*", escape(&format!("{}{group}", self.prefix)));
        let (mut cursor, mut asked) = (0, Instant::now());
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(SCANNED_AT_A_TIME);
            let step = self.redis.run(|mut redis| async move {
                let (next, names): (u64, Vec<String>) = scan.query_async(&mut redis).await?;
                if !names.is_empty() {
                    redis.unlink::<_, ()>(names).await?;
                }
                Ok(next)
            });
            match step.await {
                Ok(0) => break,
                Ok(next) => (cursor, asked) = (next, Instant::now()),
                Err(_) if self.invalidations.gives_up(asked) => break,
                Err(_) => sleep(RETRY_AFTER).await,
            }
        }
        self.broadcast(&[], &[Invalidated::All(group)]).await
    }

    pub(super) async fn ping(&self) -> Result<(), RedisUnavailable> {
        self.redis.run(|mut redis| async move { redis.ping().await }).await
    }

    async fn broadcast(&self, keys: &[String], invalidated: &[Invalidated]) -> PendingInvalidation {
        let names: Vec<_> = invalidated.iter().map(ToString::to_string).collect();
        let pending = self.invalidations.invalidate(&self.redis, keys, &names.join(" ")).await;
        // Last, so that no reader gets a value from Redis and caches it locally after this deletion.
        self.local.invalidate(invalidated);
        pending
    }

    fn name(&self, name: Name) -> String {
        format!("{}{name}", self.prefix)
    }
}

/// Returns a value as Redis stores it: the milliseconds that a node may cache it locally, then its JSON.
fn pack(local: Duration, json: &[u8]) -> Vec<u8> {
    let mut packed = format!("{} ", local.as_millis()).into_bytes();
    packed.extend_from_slice(json);
    packed
}

fn unpack(packed: &[u8]) -> Option<(Duration, &[u8])> {
    let end = packed.iter().position(|byte| *byte == b' ')?;
    let local = std::str::from_utf8(&packed[..end]).ok()?.parse().ok()?;
    Some((Duration::from_millis(local), &packed[end + 1..]))
}

/// Returns the time for which a node may cache a value locally.
pub(super) fn local_share(lifetime: Duration) -> Duration {
    lifetime / LOCAL_SHARE
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// Returns a pattern that matches only this text (Redis's KEYS).
fn escape(text: &str) -> String {
    text.chars().flat_map(|c| "*?[]^-\\".contains(c).then_some('\\').into_iter().chain([c])).collect()
}

/// Ignores a failed command. The client has logged it, and values expire after their lifetimes.
fn ignore(_: Result<(), RedisUnavailable>) {}
