//! The cache in Redis, shared by all nodes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use redis::{AsyncCommands, Script};

use super::{Group, Key};
use crate::{
    domain::Random,
    link::{Away, Link},
};

/// Keys that Redis looks at in one step of a scan, during which nobody else is served.
const SCANNED_AT_A_TIME: usize = 1000;
/// Longer than a statement of the database may take.
const RESERVED_FOR_MS: u32 = 10_000;
/// Puts values where the mark still stands.
const REPLACE: &str = r"
for place, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[1] then redis.call('SET', key, ARGV[place + 2], 'PX', ARGV[2]) end
end
";

/// Values under a prefix of the installation's own.
#[derive(Clone)]
pub struct RedisCache {
    link: Arc<Link>,
    prefix: String,
    replace: Arc<Script>,
    /// What the marks of this node begin with: no JSON, so that none is taken for a value.
    mark: String,
    marks: Arc<AtomicU64>,
}

impl RedisCache {
    pub(super) fn new(link: Arc<Link>, prefix: &str, random: &Random) -> Self {
        let mark = format!("!{:x}.", u128::from_be_bytes(random.bytes()));
        let (replace, marks) = (Arc::new(Script::new(REPLACE)), Arc::default());
        Self { link, prefix: format!("{prefix}cache:"), replace, mark, marks }
    }

    pub(super) async fn get_many<T>(&self, keys: &[Key<T>]) -> Vec<Option<Vec<u8>>> {
        if keys.is_empty() {
            return Vec::new();
        }
        let names: Vec<_> = keys.iter().map(|key| self.name(key)).collect();
        let values = self.link.ask(|mut redis| async move { redis.mget(&names).await }).await;
        values.unwrap_or_else(|_| vec![None; keys.len()])
    }

    /// Puts a mark where nothing stands; whoever deletes takes the mark away.
    pub(super) async fn reserve<T>(&self, keys: &[Key<T>]) -> String {
        let mark = format!("{}{}", self.mark, self.marks.fetch_add(1, Ordering::Relaxed));
        let mut pipeline = redis::pipe();
        for key in keys {
            pipeline.cmd("SET").arg(self.name(key)).arg(&mark).arg("NX").arg("PX").arg(RESERVED_FOR_MS).ignore();
        }
        forget(self.link.ask(|mut redis| async move { pipeline.query_async::<()>(&mut redis).await }).await);
        mark
    }

    /// One call of the script for all of them.
    pub(super) async fn set_many(&self, values: Vec<(&str, Vec<u8>)>, lifetime: Duration, mark: &str) {
        let mut call = self.replace.prepare_invoke();
        call.arg(mark).arg(u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX).max(1));
        for (name, value) in values {
            call.key(format!("{}{name}", self.prefix)).arg(value);
        }
        forget(self.link.ask(|mut redis| async move { call.invoke_async::<()>(&mut redis).await }).await);
    }

    pub(super) async fn extend<T>(&self, key: &Key<T>, lifetime: Duration) {
        let (name, millis) = (self.name(key), i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX).max(1));
        forget(self.link.ask(|mut redis| async move { redis.pexpire::<_, ()>(name, millis).await }).await);
    }

    pub(super) async fn delete<T>(&self, key: &Key<T>) {
        let name = self.name(key);
        forget(self.link.ask(|mut redis| async move { redis.del::<_, ()>(name).await }).await);
    }

    /// A scan sees every key that is there from its beginning to its end, which is all that is asked of it.
    pub(super) async fn delete_group(&self, group: &Group) {
        let pattern = format!("{}*", escape(&format!("{}{}", self.prefix, group.prefix())));
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
                Ok(0) | Err(_) => return,
                Ok(next) => cursor = next,
            }
        }
    }

    pub(super) async fn ping(&self) -> Result<(), Away> {
        self.link.ask(|mut redis| async move { redis.ping().await }).await
    }

    fn name<T>(&self, key: &Key<T>) -> String {
        format!("{}{}", self.prefix, key.name())
    }
}

/// A pattern that matches this text only (Redis's KEYS).
fn escape(text: &str) -> String {
    text.chars().flat_map(|c| "*?[]^-\\".contains(c).then_some('\\').into_iter().chain([c])).collect()
}

/// The link has logged that Redis is away; values of that time end by their lifetimes.
fn forget(_: Result<(), Away>) {}
