//! The cache in Redis, shared by all nodes, and what each node remembers of it.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use redis::{AsyncCommands, Script};

use crate::{
    cache::{
        Group, Key, Value,
        key::{Forgotten, Name},
        local::LocalCache,
    },
    domain::Random,
    redis_client::{
        Away, Link,
        invalidation::{Forgetting, Hearing},
    },
};

/// The share of a value's lifetime for which a node remembers it by itself. Redis has it for the rest, so that the
/// whole is kept also where nothing can be taken out of either. A fifth saves nearly every round trip to what is asked
/// for often, and lets what a node was not told end soon.
const NEAR_SHARE: u32 = 5;
/// Keys that Redis looks at in one step of a scan, during which nobody else is served.
const SCANNED_AT_A_TIME: usize = 1000;
/// Longer than a statement of the database may take.
const RESERVED_FOR_MS: u32 = 10_000;
/// Puts values where the mark still stands.
static REPLACE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
for place, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[1] then redis.call('SET', key, ARGV[place + 2], 'PX', ARGV[2]) end
end
",
    )
});

/// Values under a prefix of the installation's own.
#[derive(Clone)]
pub struct RedisCache {
    link: Arc<Link>,
    prefix: Arc<str>,
    /// What the marks of this node begin with: no number, so that none is taken for a value.
    mark: Arc<str>,
    marks: Arc<AtomicU64>,
    near: LocalCache,
    hearing: Arc<Hearing>,
}

impl RedisCache {
    pub(super) fn new(link: Arc<Link>, prefix: &str, epoch: i32, random: &Random) -> Self {
        let near = LocalCache::default();
        let copy = near.clone();
        let hearing = Hearing::new(prefix, random, move |names| {
            let all = |names: &str| names.split(' ').map(str::parse).collect::<Result<Vec<_>, ()>>();
            match names.map(all) {
                Some(Ok(forgotten)) => copy.forget(&forgotten),
                // A node of another version may name what this one does not know.
                Some(Err(())) | None => copy.clear(),
            }
        });
        let mark = format!("!{:x}.", u128::from_be_bytes(random.bytes())).into();
        let prefix = format!("{prefix}cache:{epoch}:").into();
        Self { link, prefix, mark, marks: Arc::default(), near, hearing }
    }

    pub(super) fn hearing(&self) -> &Arc<Hearing> {
        &self.hearing
    }

    /// What this node remembers itself, while it may be used.
    pub(super) fn near(&self) -> Option<&LocalCache> {
        self.hearing.is_held().then_some(&self.near)
    }

    /// The same whether it may be used or not.
    pub(super) fn copy(&self) -> &LocalCache {
        &self.near
    }

    pub(super) fn get_near<T: Clone + 'static>(&self, key: &Key<T>) -> Option<T> {
        self.near()?.get(key)
    }

    /// Remembers a value in this process alone.
    pub(super) fn set_near<T: Clone + Send + Sync + 'static>(
        &self,
        key: &Key<T>,
        value: &T,
        bytes: usize,
        lifetime: Duration,
        seen: u64,
    ) {
        if let Some(near) = self.near() {
            near.set(key, value, bytes, near_share(lifetime), seen);
        }
    }

    pub(super) async fn get_many<T: Value>(&self, keys: &[Key<T>]) -> Vec<Option<T>> {
        let mut values: Vec<_> = keys.iter().map(|key| self.get_near(key)).collect();
        let missing: Vec<_> = (0..keys.len()).filter(|place| values[*place].is_none()).collect();
        if missing.is_empty() {
            return values;
        }
        let seen = self.near.deletions();
        let names: Vec<_> = missing.iter().map(|place| self.name(keys[*place].name())).collect();
        let asked = self.link.ask(|mut redis| async move { redis.mget::<_, Vec<Option<Vec<u8>>>>(&names).await });
        for (place, read) in missing.into_iter().zip(asked.await.unwrap_or_default()) {
            let Some((lifetime, json)) = read.as_deref().and_then(unpack) else { continue };
            let Ok(value) = serde_json::from_slice(json) else { continue };
            if let Some(near) = self.near() {
                near.set(&keys[place], &value, json.len(), lifetime, seen);
            }
            values[place] = Some(value);
        }
        values
    }

    /// Puts a mark where nothing stands; whoever deletes takes the mark away.
    pub(super) async fn reserve<T>(&self, keys: &[Key<T>]) -> String {
        let mark = format!("{}{}", self.mark, self.marks.fetch_add(1, Ordering::Relaxed));
        let mut pipeline = redis::pipe();
        for key in keys {
            let name = self.name(key.name());
            pipeline.cmd("SET").arg(name).arg(&mark).arg("NX").arg("PX").arg(RESERVED_FOR_MS).ignore();
        }
        forget(self.link.ask(|mut redis| async move { pipeline.query_async::<()>(&mut redis).await }).await);
        mark
    }

    /// One call of the script for all of them.
    pub(super) async fn set_many(&self, values: Vec<(Name, Vec<u8>)>, lifetime: Duration, mark: &str) {
        let near = near_share(lifetime);
        let mut call = REPLACE.arg(mark);
        call.arg(millis(lifetime.saturating_sub(near)));
        for (name, json) in values {
            call.key(self.name(name)).arg(pack(near, &json));
        }
        forget(self.link.ask(|mut redis| async move { call.invoke_async::<()>(&mut redis).await }).await);
    }

    pub(super) async fn extend<T>(&self, key: &Key<T>, lifetime: Duration) {
        let near = near_share(lifetime);
        self.near.extend(key, near);
        let (name, rest) = (self.name(key.name()), millis(lifetime.saturating_sub(near)).cast_signed());
        forget(self.link.ask(|mut redis| async move { redis.pexpire::<_, ()>(name, rest).await }).await);
    }

    /// Deletes in Redis and on this node.
    pub(super) async fn delete(&self, name: Name) {
        let key = self.name(name);
        forget(self.link.ask(|mut redis| async move { redis.del::<_, ()>(key).await }).await);
        // The last, so that nobody reads it in Redis and remembers it after that.
        self.near.forget(&[Forgotten::One(name)]);
    }

    /// Deletes in Redis and on every node.
    pub(super) async fn forget(&self, names: &[Name]) -> Forgetting {
        let forgotten: Vec<_> = names.iter().copied().map(Forgotten::One).collect();
        let keys: Vec<_> = names.iter().map(|name| self.name(*name)).collect();
        self.tell(&keys, &forgotten).await
    }

    /// The same of a group. A scan sees every key that is there from its beginning to its end, which is all that is
    /// asked of it.
    pub(super) async fn forget_group(&self, group: Group) -> Forgetting {
        let pattern = format!("{}*", escape(&format!("{}{group}", self.prefix)));
        let mut cursor = 0;
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(SCANNED_AT_A_TIME);
            let step = self.link.ask(|mut redis| async move {
                let (next, names): (u64, Vec<String>) = scan.query_async(&mut redis).await?;
                if !names.is_empty() {
                    redis.unlink::<_, ()>(names).await?;
                }
                Ok(next)
            });
            match step.await {
                Ok(0) | Err(_) => return self.tell(&[], &[Forgotten::All(group)]).await,
                Ok(next) => cursor = next,
            }
        }
    }

    pub(super) async fn ping(&self) -> Result<(), Away> {
        self.link.ask(|mut redis| async move { redis.ping().await }).await
    }

    async fn tell(&self, keys: &[String], forgotten: &[Forgotten]) -> Forgetting {
        let names: Vec<_> = forgotten.iter().map(ToString::to_string).collect();
        let told = self.hearing.forget(&self.link, keys, &names.join(" ")).await;
        // The last, so that nobody reads it in Redis and remembers it after that.
        self.near.forget(forgotten);
        told
    }

    fn name(&self, name: Name) -> String {
        format!("{}{name}", self.prefix)
    }
}

/// A value as it stands in Redis: for how long a node that reads it may remember it, in milliseconds, and its JSON.
fn pack(near: Duration, json: &[u8]) -> Vec<u8> {
    let mut packed = format!("{} ", near.as_millis()).into_bytes();
    packed.extend_from_slice(json);
    packed
}

fn unpack(packed: &[u8]) -> Option<(Duration, &[u8])> {
    let end = packed.iter().position(|byte| *byte == b' ')?;
    let near = std::str::from_utf8(&packed[..end]).ok()?.parse().ok()?;
    Some((Duration::from_millis(near), &packed[end + 1..]))
}

fn near_share(lifetime: Duration) -> Duration {
    lifetime / NEAR_SHARE
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// A pattern that matches this text only (Redis's KEYS).
fn escape(text: &str) -> String {
    text.chars().flat_map(|c| "*?[]^-\\".contains(c).then_some('\\').into_iter().chain([c])).collect()
}

/// The link has logged that Redis is away; values of that time end by their lifetimes.
fn forget(_: Result<(), Away>) {}
