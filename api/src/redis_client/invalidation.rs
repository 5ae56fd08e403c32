//! Acknowledged cache invalidation: a change returns only when every node that holds a lease has dropped the old value.
//!
//! docs/invalidation.md has the invariant, the messages and a table of failures.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::{RedisResult, Script, aio::ConnectionLike};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use crate::{domain::Random, redis_client::RedisClient};

/// Duration of a lease, during which a node may use its local entries. A change waits for confirmations at most this
/// long, plus `MARGIN`.
pub const LEASE: Duration = Duration::from_secs(1);
/// Delay before a failed invalidation is retried.
pub const RETRY_AFTER: Duration = Duration::from_millis(100);
/// Extra time for which Redis and other nodes count a lease as held. Clocks differ, and Redis counts in whole
/// milliseconds.
const MARGIN: Duration = Duration::from_millis(50);

/// Script that takes or renews a lease and removes expired leases. Records since when leases have been listed without a
/// gap.
static RENEW: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local since = redis.call('GET', KEYS[2])
if not since or tonumber(since) > now or redis.call('ZCARD', KEYS[1]) == 0 then redis.call('SET', KEYS[2], now) end
redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[2])
",
    )
});
/// Script that deletes keys and publishes the invalidation. Returns the milliseconds for which leases have been listed
/// (or -1), and the nodes that hold a lease now.
static INVALIDATE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
for place = 3, #KEYS do redis.call('DEL', KEYS[place]) end
redis.call('PUBLISH', ARGV[1], ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local since = redis.call('GET', KEYS[2])
return {since and now - since or -1, redis.call('ZRANGEBYSCORE', KEYS[1], now, '+inf')}
",
    )
});

/// Callback that drops the local entries that another node names, or all entries.
type Invalidate = Box<dyn Fn(Option<&str>) + Send + Sync>;

/// State of a node: its lease, and the confirmations that its changes wait for.
pub struct Invalidations {
    prefix: String,
    node: String,
    /// The keys in Redis of the list of leases, and of the time since which leases have been listed.
    leases: [String; 2],
    /// The channels of all nodes' invalidations, and of confirmations for this node.
    channels: [String; 2],
    invalidate: Invalidate,
    origin: Instant,
    /// The end of the lease, in microseconds since the origin.
    until: AtomicU64,
    /// The time at which the latest lease was requested, in microseconds since the origin.
    renewed: AtomicU64,
    latest: AtomicU64,
    /// The nodes that have confirmed, by the number of the pending invalidation.
    confirmed: Mutex<HashMap<u64, watch::Sender<HashSet<String>>>>,
}

/// Message to publish.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    /// The channel.
    pub channel: String,
    /// The message's text.
    pub text: Arc<str>,
}

/// Published invalidation that nodes may not have confirmed yet.
#[must_use = "nodes may go on with it until they have confirmed"]
pub struct PendingInvalidation(Option<PendingConfirmation>);

/// Registration for confirmations, which ends when it is dropped.
struct PendingConfirmation {
    invalidations: Arc<Invalidations>,
    number: u64,
    confirmed: watch::Receiver<HashSet<String>>,
    /// The nodes that held a lease when the invalidation was published.
    nodes: Vec<String>,
    /// The time for which unlisted leases may still be held. Redis may have lost its data, or have been replaced.
    unlisted: Duration,
}

impl Invalidations {
    /// Creates the state of a node without a lease. `invalidate` receives the names that another node has published,
    /// unparsed, or `None` to drop all entries. The entries must be gone when `invalidate` returns.
    pub fn new(prefix: &str, random: &Random, invalidate: impl Fn(Option<&str>) + Send + Sync + 'static) -> Arc<Self> {
        let node = u64::from_le_bytes(random.bytes()).to_string();
        Arc::new(Self {
            leases: [format!("{prefix}bus:leases"), format!("{prefix}bus:leases:since")],
            channels: [format!("{prefix}bus:forget"), confirmations(prefix, &node)],
            prefix: prefix.to_owned(),
            node,
            invalidate: Box::new(invalidate),
            origin: Instant::now(),
            until: AtomicU64::new(0),
            renewed: AtomicU64::new(0),
            latest: AtomicU64::new(0),
            confirmed: Mutex::default(),
        })
    }

    /// Returns the random name of this node.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Returns the channels to subscribe to before the first lease.
    #[must_use]
    pub fn channels(&self) -> &[String] {
        &self.channels
    }

    /// Whether this node holds a lease, and so may use local entries.
    #[must_use]
    pub fn is_held(&self) -> bool {
        micros(self.origin.elapsed()) < self.until.load(Ordering::Acquire)
    }

    /// Ends the lease and drops all local entries, after the subscription was lost or replaced.
    pub fn reset(&self) {
        self.until.store(0, Ordering::Release);
        (self.invalidate)(None);
    }

    /// Takes or renews the lease, over the connection that receives messages.
    pub async fn renew(&self, connection: &mut impl ConnectionLike) -> RedisResult<()> {
        let asked = self.origin.elapsed();
        let mut call = RENEW.key(&self.leases[0]);
        call.key(&self.leases[1]).arg(millis(LEASE + MARGIN)).arg(&self.node).invoke_async::<()>(connection).await?;
        self.renewed.store(micros(asked), Ordering::Relaxed);
        self.until.store(micros(asked + LEASE), Ordering::Release);
        Ok(())
    }

    /// Handles a message from one of the channels. Returns the confirmation to publish, if there is one.
    pub fn receive(&self, channel: &str, text: &str) -> Option<Message> {
        let mut words = text.splitn(3, ' ');
        let (node, number) = (words.next()?, words.next()?);
        if channel == self.channels[1] {
            // An invalidation that no longer waits has removed its number.
            let confirmed = self.confirmed.lock();
            confirmed.get(&number.parse().ok()?)?.send_if_modified(|nodes| nodes.insert(node.to_owned()));
            return None;
        }
        if node == self.node {
            return None;
        }
        (self.invalidate)(words.next());
        let channel = confirmations(&self.prefix, node);
        Some(Message { channel, text: format!("{} {number}", self.node).into() })
    }

    /// Deletes these keys in Redis and publishes these names to all nodes.
    ///
    /// If Redis has been unavailable for a while, no node holds a lease and there is nothing to wait for.
    pub async fn invalidate(
        self: &Arc<Self>,
        redis: &RedisClient,
        keys: &[String],
        names: &str,
    ) -> PendingInvalidation {
        let (mut pending, asked) = (self.pending(), Instant::now());
        loop {
            let mut call = INVALIDATE.key(&self.leases[0]);
            for key in self.leases[1..].iter().chain(keys) {
                call.key(key);
            }
            call.arg(&self.channels[0]).arg(format!("{} {} {names}", self.node, pending.number));
            match redis.run(|mut redis| async move { call.invoke_async::<(i64, Vec<String>)>(&mut redis).await }).await
            {
                Ok((listed_for, nodes)) => {
                    // A full Redis grants no leases and lists none.
                    let is_own_listed = nodes.contains(&self.node) || (nodes.is_empty() && self.have_leases_expired());
                    let listed_for = u64::try_from(listed_for).unwrap_or(0);
                    let listed_for = if is_own_listed { Duration::from_millis(listed_for) } else { Duration::ZERO };
                    pending.unlisted = (LEASE + MARGIN).saturating_sub(listed_for);
                    pending.nodes = nodes;
                    return PendingInvalidation(Some(pending));
                }
                Err(_) if self.have_leases_expired() => return PendingInvalidation(None),
                // Other nodes may still reach Redis.
                Err(_) if asked.elapsed() >= LEASE => return PendingInvalidation(Some(pending)),
                // The script may have run without a reply. Repeating it does no harm.
                Err(_) => sleep(RETRY_AFTER).await,
            }
        }
    }

    /// Whether a change stops retrying Redis, which has failed since `asked`.
    pub fn gives_up(&self, asked: Instant) -> bool {
        asked.elapsed() >= LEASE || self.have_leases_expired()
    }

    /// Whether Redis has been unavailable for so long that all leases have expired, even if other nodes reached Redis
    /// longer.
    fn have_leases_expired(&self) -> bool {
        micros(self.origin.elapsed()) > self.renewed.load(Ordering::Relaxed).saturating_add(micros(LEASE * 2))
    }

    fn pending(self: &Arc<Self>) -> PendingConfirmation {
        let number = self.latest.fetch_add(1, Ordering::Relaxed);
        let (sender, confirmed) = watch::channel(HashSet::new());
        self.confirmed.lock().insert(number, sender);
        PendingConfirmation {
            invalidations: Arc::clone(self),
            number,
            confirmed,
            nodes: Vec::new(),
            unlisted: LEASE + MARGIN,
        }
    }
}

impl PendingInvalidation {
    /// Returns a completed invalidation, for a server of one process.
    pub fn done() -> Self {
        Self(None)
    }

    /// Waits until no node uses the invalidated values.
    pub async fn wait_for_all(self) {
        let Some(mut pending) = self.0 else { return };
        let own = &pending.invalidations.node;
        let others: Vec<_> = pending.nodes.iter().filter(|node| *node != own).collect();
        let all = |confirmed: &HashSet<String>| others.iter().all(|node| confirmed.contains(*node));
        let done = async {
            if !pending.unlisted.is_zero() {
                sleep(pending.unlisted).await;
            }
            drop(pending.confirmed.wait_for(all).await);
        };
        if timeout(LEASE + MARGIN, done).await.is_err() {
            tracing::debug!("not every node confirmed an invalidation; their leases have expired");
        }
    }
}

impl Drop for PendingConfirmation {
    fn drop(&mut self) {
        self.invalidations.confirmed.lock().remove(&self.number);
    }
}

/// Returns the channel of confirmations for a node.
fn confirmations(prefix: &str, node: &str) -> String {
    format!("{prefix}bus:forgotten:{node}")
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod model;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[tokio::test]
    async fn nothing_is_kept_of_who_waits_no_more() {
        let url = "redis://127.0.0.1:1".into();
        let settings = config::Redis { url, prefix: String::new(), command_timeout_ms: 50 };
        let (redis, invalidations) =
            (RedisClient::open(&settings).unwrap(), Invalidations::new("test:", &Random::System, |_| {}));
        let forgetting = invalidations.invalidate(&redis, &[], "user:1").await;
        assert_eq!(invalidations.confirmed.lock().len(), 1);
        drop(forgetting);
        assert_eq!(invalidations.confirmed.lock().len(), 0);
        assert_eq!(invalidations.receive(&invalidations.channels()[1], "7 0"), None, "a confirmation that comes late");
        assert!(!invalidations.is_held());
    }

    mod clustered {
        use super::*;
        use crate::redis_client::redis_url;

        #[tokio::test]
        async fn a_lease_that_redis_has_lost_is_waited_out() {
            let (url, prefix) = (redis_url(), format!("test-lost-{}:", std::process::id()));
            let settings = config::Redis { url: url.as_str().into(), prefix: prefix.clone(), command_timeout_ms: 2000 };
            let redis = RedisClient::open(&settings).unwrap();
            let client = redis::Client::open(url).unwrap();
            let mut connection = client.get_multiplexed_async_connection().await.unwrap();
            let [here, there] = [(); 2].map(|()| Invalidations::new(&prefix, &Random::System, |_| {}));

            there.renew(&mut connection).await.unwrap();
            redis::cmd("DEL").arg(&there.leases).exec_async(&mut connection).await.unwrap();
            here.renew(&mut connection).await.unwrap();
            let pending = here.invalidate(&redis, &[], "user:1").await;
            assert!(there.is_held());
            pending.wait_for_all().await;
            assert!(!there.is_held());

            for _ in 0..4 {
                here.renew(&mut connection).await.unwrap();
                sleep(LEASE / 2).await;
            }
            let asked = Instant::now();
            here.invalidate(&redis, &[], "user:1").await.wait_for_all().await;
            assert!(asked.elapsed() < LEASE / 2, "an old list is complete");
        }
    }
}
