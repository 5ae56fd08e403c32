//! The cache in Redis, shared by all nodes.

use std::{sync::Arc, time::Duration};

use redis::AsyncCommands;

use super::Key;
use crate::link::{Away, Link};

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

    pub(super) async fn delete<T>(&self, key: &Key<T>) {
        let name = self.name(key);
        forget(self.link.ask(|mut redis| async move { redis.del::<_, ()>(name).await }).await);
    }

    pub(super) async fn ping(&self) -> Result<(), Away> {
        self.link.ask(|mut redis| async move { redis.ping().await }).await
    }

    fn name<T>(&self, key: &Key<T>) -> String {
        format!("{}{}", self.prefix, key.name())
    }
}

/// The link has logged that Redis is away; values of that time end by their lifetimes.
fn forget(_: Result<(), Away>) {}
