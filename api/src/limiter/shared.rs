//! Limits counted in Redis by all nodes, with one script on one key and the clock of Redis.

use std::{sync::Arc, time::Duration};

use redis::Script;

use crate::limiter::{Decision, Fallback, Limit, Local, gcra::micros};
use crate::redis_client::RedisClient;

/// `gcra::decide` as a script. Formats the stored number, because Lua would round a time in microseconds to 14 digits.
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

/// Limiter that all nodes share.
pub struct Shared {
    redis: Arc<RedisClient>,
    script: Arc<Script>,
    prefix: String,
    nodes: u32,
    local: Local,
}

impl Shared {
    /// Creates a limiter on this Redis. While it does not respond, `nodes` nodes share a limit.
    #[must_use]
    pub fn new(redis: Arc<RedisClient>, prefix: &str, nodes: u32) -> Self {
        let (script, prefix) = (Arc::new(Script::new(SCRIPT)), format!("{prefix}limit:"));
        Self { redis, script, prefix, nodes, local: Local::default() }
    }

    /// Spends `cost` units of the key's limit, if they are available.
    pub async fn check(&self, key: &str, limit: &Limit, cost: u32) -> Decision {
        let (script, name, limit_now) = (Arc::clone(&self.script), format!("{}{key}", self.prefix), *limit);
        let answer = self.redis.run(|mut redis| async move {
            let mut call = script.key(name);
            call.arg(micros(limit_now.interval).max(1)).arg(limit_now.burst).arg(cost);
            call.invoke_async::<(bool, u64, u32)>(&mut redis).await
        });
        match answer.await {
            Ok((allowed, wait, remaining)) => Decision { allowed, retry_after: Duration::from_micros(wait), remaining },
            Err(_) => self.fall_back(key, limit, cost),
        }
    }

    fn fall_back(&self, key: &str, limit: &Limit, cost: u32) -> Decision {
        match limit.fallback {
            Fallback::Local => self.local.check(key, &limit.share(self.nodes), cost),
            Fallback::Open => Decision { allowed: true, retry_after: Duration::ZERO, remaining: limit.burst },
        }
    }
}
