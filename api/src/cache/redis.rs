//! The cache in Redis, shared by all nodes.

use std::time::Duration;

use redis::{
    AsyncCommands, Client, RedisError,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use secrecy::ExposeSecret;

use super::Key;
use crate::config;

/// One multiplexed connection that comes back by itself.
#[derive(Clone)]
pub struct RedisCache {
    connection: ConnectionManager,
    prefix: String,
}

impl RedisCache {
    pub(super) fn open(settings: &config::Redis) -> Result<Self, String> {
        let timeout = Duration::from_millis(settings.command_timeout_ms);
        let config = ConnectionManagerConfig::new()
            .set_response_timeout(Some(timeout))
            .set_connection_timeout(Some(timeout))
            .set_number_of_retries(1);
        let client = Client::open(settings.url.expose_secret()).map_err(|error| error.to_string())?;
        // Lazy: a node starts while Redis is away, and degrades as it would later.
        let connection = ConnectionManager::new_lazy_with_config(client, config).map_err(|error| error.to_string())?;
        Ok(Self { connection, prefix: settings.prefix.clone() })
    }

    pub(super) async fn get_many<T>(&self, keys: &[Key<T>]) -> Vec<Option<Vec<u8>>> {
        if keys.is_empty() {
            return Vec::new();
        }
        let names: Vec<String> = keys.iter().map(|key| self.name(key)).collect();
        match self.connection.clone().mget(&names).await {
            Ok(values) => values,
            Err(error) => {
                report("read", &error);
                vec![None; keys.len()]
            }
        }
    }

    pub(super) async fn set<T>(&self, key: &Key<T>, value: Vec<u8>, lifetime: Duration) {
        let millis = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX).max(1);
        let done: Result<(), _> = self.connection.clone().pset_ex(self.name(key), value, millis).await;
        done.unwrap_or_else(|error| report("write", &error));
    }

    pub(super) async fn delete<T>(&self, key: &Key<T>) {
        let done: Result<(), _> = self.connection.clone().del(self.name(key)).await;
        done.unwrap_or_else(|error| report("delete", &error));
    }

    pub(super) async fn ping(&self) -> Result<(), String> {
        self.connection.clone().ping::<()>().await.map_err(|error| error.to_string())
    }

    fn name<T>(&self, key: &Key<T>) -> String {
        format!("{}cache:{}", self.prefix, key.name())
    }
}

fn report(what: &str, error: &RedisError) {
    tracing::warn!(cache.operation = what, %error, "the cache does not answer");
}
