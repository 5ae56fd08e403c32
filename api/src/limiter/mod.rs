//! Rate limits by the generic cell rate algorithm: in this process, or in Redis for all nodes together.

mod gcra;
mod local;
mod shared;

#[cfg(test)]
mod tests;

use std::time::Duration;

pub use self::{local::Local, shared::Shared};

/// How often something may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// The time in which one unit comes back.
    pub interval: Duration,
    /// How many units can be spent at once.
    pub burst: u32,
    /// What holds while Redis does not answer.
    pub fallback: Fallback,
}

/// What a shared limit becomes while Redis does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// Each node's share of it, counted in its process: for what an attacker would wait for, such as signing in.
    Local,
    /// None: for what users would miss, such as reading and sending.
    Open,
}

/// Whether something may happen now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may, and has been counted.
    pub allowed: bool,
    /// How long to wait before the same can be allowed; zero if it is.
    pub retry_after: Duration,
    /// How many units could be spent at once after it.
    pub remaining: u32,
}

/// Where limits are counted.
pub enum Limiter {
    /// In this process.
    Local(Local),
    /// In Redis, by all nodes.
    Redis(Box<Shared>),
}

impl Limiter {
    /// Spends `cost` units of what `limit` allows `key`, if they are there. A cost above the burst never is.
    pub async fn check(&self, key: &str, limit: &Limit, cost: u32) -> Decision {
        match self {
            Self::Local(local) => local.check(key, limit, cost),
            Self::Redis(shared) => shared.check(key, limit, cost).await,
        }
    }
}

impl Limit {
    /// The limit that holds on one of several nodes, when they cannot count together.
    fn share(self, nodes: u32) -> Self {
        let nodes = nodes.max(1);
        Self { interval: self.interval.saturating_mul(nodes), burst: (self.burst / nodes).max(1), ..self }
    }
}
