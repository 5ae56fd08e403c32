//! The cache in Redis, shared by all nodes.

use std::{sync::Arc, time::Duration};

use redis::AsyncCommands;

use super::{Group, Key};
use crate::link::{Away, Link};

/// Keys that Redis looks at in one step of a scan, during which nobody else is served.
const SCANNED_AT_A_TIME: usize = 1000;

/// Values under a prefix of the installation's own.
#[derive(Clone)]
pub struct RedisCache {
    link: Arc<Link>,
    prefix: String,
}

impl RedisCache {
    pub(super) fn new(link: Arc<Link>, prefix: &str) -> Self {
        Self { link, prefix: format!("{prefix}cache:") }
    }

    pub(super) async fn get_many<T>(&self, keys: &[Key<T>]) -> Vec<Option<Vec<u8>>> {
        if keys.is_empty() {
            return Vec::new();
        }
        let names: Vec<_> = keys.iter().map(|key| self.name(key)).collect();
        let values = self.link.ask(|mut redis| async move { redis.mget(&names).await }).await;
        values.unwrap_or_else(|_| vec![None; keys.len()])
    }

    pub(super) async fn set<T>(&self, key: &Key<T>, value: Vec<u8>, lifetime: Duration) {
        let (name, millis) = (self.name(key), u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX).max(1));
        let done = self.link.ask(|mut redis| async move { redis.pset_ex::<_, _, ()>(name, value, millis).await });
        forget(done.await);
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
