//! Limits counted in Redis by all nodes, in one script on one key, with the time of Redis.

use std::{
    sync::{PoisonError, RwLock},
    time::{Duration, Instant},
};

use redis::{
    Client, RedisResult, Script,
    aio::{ConnectionManager, ConnectionManagerConfig},
};

use super::{
    Decision, Fallback, Limit, Local,
    breaker::{Breaker, State},
    gcra::micros,
};

/// How long a request waits for Redis before the fallback decides.
const PATIENCE: Duration = Duration::from_millis(100);

/// As `gcra::decide`. Numbers are stored by format: Lua would round a time in microseconds to 14 digits.
const SCRIPT: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, burst, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local horizon = now + interval * burst
local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or 0) or 0, now)
local next = full_at + interval * cost
if next > horizon then
  return {0, next - horizon, math.max(0, math.floor((horizon - full_at) / interval))}
end
redis.call('SET', KEYS[1], string.format('%.0f', next), 'PX', math.max(1, math.ceil((next - now) / 1000)))
return {1, 0, math.floor((horizon - next) / interval)}
";

/// A limiter that all nodes share.
pub struct Shared {
    client: Client,
    connection: RwLock<ConnectionManager>,
    script: Script,
    prefix: String,
    nodes: u32,
    origin: Instant,
    breaker: Breaker,
    local: Local,
}

impl Shared {
    /// A limiter at this address, which need not answer yet; `nodes` share a limit when it does not answer.
    pub fn new(url: &str, prefix: &str, nodes: u32) -> RedisResult<Self> {
        let client = Client::open(url)?;
        Ok(Self {
            connection: RwLock::new(connect(&client)?),
            client,
            script: Script::new(SCRIPT),
            prefix: format!("{prefix}limit:"),
            nodes,
            origin: Instant::now(),
            breaker: Breaker::default(),
            local: Local::default(),
        })
    }

    /// Spends `cost` units of what `limit` allows `key`, if they are there.
    pub async fn check(&self, key: &str, limit: &Limit, cost: u32) -> Decision {
        if !self.breaker.admits(self.origin.elapsed()) {
            return self.fall_back(key, limit, cost);
        }
        match tokio::time::timeout(PATIENCE, self.ask(key, limit, cost)).await {
            Ok(Ok((allowed, wait, remaining))) => {
                if self.breaker.succeeded() {
                    tracing::info!("limits are counted in Redis again");
                }
                Decision { allowed, retry_after: Duration::from_micros(wait), remaining }
            }
            Ok(Err(error)) => self.fail(&error.to_string(), key, limit, cost),
            Err(_) => self.fail("no answer in time", key, limit, cost),
        }
    }

    async fn ask(&self, key: &str, limit: &Limit, cost: u32) -> RedisResult<(bool, u64, u32)> {
        let mut connection = self.connection.read().unwrap_or_else(PoisonError::into_inner).clone();
        self.script
            .key(format!("{}{key}", self.prefix))
            .arg(micros(limit.interval).max(1))
            .arg(limit.burst)
            .arg(cost)
            .invoke_async(&mut connection)
            .await
    }

    fn fail(&self, reason: &str, key: &str, limit: &Limit, cost: u32) -> Decision {
        let state = self.breaker.failed(self.origin.elapsed());
        if state == State::Opened {
            tracing::warn!(reason, "Redis does not count limits; each node falls back to its own");
        }
        // The manager reconnects only when it hears that a connection has ended. One that went silent is never
        // replaced by it, so a new one is made for each probe.
        if state != State::Closed
            && let Ok(connection) = connect(&self.client)
        {
            *self.connection.write().unwrap_or_else(PoisonError::into_inner) = connection;
        }
        self.fall_back(key, limit, cost)
    }

    fn fall_back(&self, key: &str, limit: &Limit, cost: u32) -> Decision {
        match limit.fallback {
            Fallback::Local => self.local.check(key, &limit.share(self.nodes), cost),
            Fallback::Open => Decision { allowed: true, retry_after: Duration::ZERO, remaining: limit.burst },
        }
    }
}

/// A connection that is made when it is first used.
fn connect(client: &Client) -> RedisResult<ConnectionManager> {
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE))
        .set_number_of_retries(1);
    ConnectionManager::new_lazy_with_config(client.clone(), config)
}
