//! Client for Redis commands, with a timeout for each command and a circuit breaker.

pub mod circuit_breaker;
pub mod invalidation;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{future::Future, sync::Arc};

use chrono::DateTime;
use parking_lot::RwLock;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, RedisResult};
use secrecy::ExposeSecret;
use tokio::time::timeout;

use crate::config;
use crate::domain::Timestamp;
use crate::redis_client::circuit_breaker::{CircuitBreaker, State};

/// Error of a command that Redis did not complete.
#[derive(Debug, thiserror::Error)]
#[error("Redis is unavailable: {0}")]
pub struct RedisUnavailable(String);

/// Client whose commands all share one multiplexed connection.
pub struct RedisClient {
    client: Client,
    connection: RwLock<ConnectionManager>,
    patience: Duration,
    origin: Instant,
    circuit_breaker: CircuitBreaker,
    commands: AtomicU64,
}

impl RedisClient {
    /// Creates a client. Redis need not be reachable, so that a node can start while Redis is unavailable.
    pub fn open(settings: &config::Redis) -> Result<Arc<Self>, String> {
        let client = Client::open(settings.url.expose_secret()).map_err(|error| error.to_string())?;
        let patience = Duration::from_millis(settings.command_timeout_ms);
        let connection = connect(&client, patience).map_err(|error| error.to_string())?;
        let (connection, origin, circuit_breaker) =
            (RwLock::new(connection), Instant::now(), CircuitBreaker::default());
        Ok(Arc::new(Self { client, connection, patience, origin, circuit_breaker, commands: AtomicU64::new(0) }))
    }

    /// Returns the number of commands. Tests compare this number with the commands that a request should need.
    #[must_use]
    pub fn command_count(&self) -> u64 {
        self.commands.load(Ordering::Relaxed)
    }

    /// Runs a command. Fails at once while Redis is known to be unavailable.
    pub async fn run<T, F>(&self, command: impl FnOnce(ConnectionManager) -> F) -> Result<T, RedisUnavailable>
    where
        F: Future<Output = RedisResult<T>>,
    {
        self.commands.fetch_add(1, Ordering::Relaxed);
        if !self.circuit_breaker.allows(self.origin.elapsed()) {
            return Err(RedisUnavailable("the circuit breaker is open".to_owned()));
        }
        let connection = self.connection.read().clone();
        match timeout(self.patience, command(connection)).await {
            Ok(Ok(answer)) => {
                if self.circuit_breaker.succeeded() {
                    tracing::info!("Redis is available again");
                }
                Ok(answer)
            }
            Ok(Err(error)) => Err(self.record_failure(error.to_string())),
            Err(_) => Err(self.record_failure("no response in time".to_owned())),
        }
    }

    /// Returns the time of Redis's clock.
    pub async fn clock(&self) -> Result<Timestamp, RedisUnavailable> {
        let asked = self.run(|mut redis| async move {
            let time: (i64, i64) = redis::cmd("TIME").query_async(&mut redis).await?;
            Ok(time)
        });
        let (seconds, micros) = asked.await?;
        let time = DateTime::from_timestamp_micros(seconds.saturating_mul(1_000_000).saturating_add(micros));
        time.ok_or_else(|| RedisUnavailable("its clock cannot be read".to_owned()))
    }

    fn record_failure(&self, reason: String) -> RedisUnavailable {
        let state = self.circuit_breaker.failed(self.origin.elapsed());
        if state == State::Opened {
            tracing::warn!(reason, "Redis is unavailable; retrying once a second");
        }
        // The manager reconnects only after a connection has ended, and never replaces a silent connection. So each
        // probe opens a new connection.
        if state != State::Closed
            && let Ok(connection) = connect(&self.client, self.patience)
        {
            *self.connection.write() = connection;
        }
        RedisUnavailable(reason)
    }
}

/// Returns a connection that opens on first use.
fn connect(client: &Client, patience: Duration) -> RedisResult<ConnectionManager> {
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(patience))
        .set_response_timeout(Some(patience))
        .set_number_of_retries(1);
    ConnectionManager::new_lazy_with_config(client.clone(), config)
}

/// Returns the URL of the Redis for tests that need one, which are in modules called `clustered`.
#[cfg(test)]
pub(crate) fn redis_url() -> String {
    std::env::var("QV_TEST_REDIS_URL").expect("QV_TEST_REDIS_URL names a Redis, see CONTRIBUTING.md")
}
