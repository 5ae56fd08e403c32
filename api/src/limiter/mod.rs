//! Rate limits by the generic cell rate algorithm: in this process, or in Redis for all nodes together.

mod gcra;
mod local;
mod shared;

#[cfg(test)]
mod tests;

use std::time::Duration;

pub use self::{local::Local, shared::Shared};

/// Rate limit of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Time after which one spent unit is available again.
    pub interval: Duration,
    /// Number of units that can be spent at once.
    pub burst: u32,
    /// Behaviour while Redis does not respond.
    pub fallback: Fallback,
}

/// Fallback of a shared limit while Redis does not respond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// Each node's share of the limit, counted in its process. For actions that attackers would wait to try, such as
    /// signing in.
    Local,
    /// No limit. For actions that users would miss, such as reading and sending.
    Open,
}

/// Decision on an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Whether the action is allowed and has been counted.
    pub allowed: bool,
    /// Time until the action can be allowed, or zero if it is.
    pub retry_after: Duration,
    /// Number of units that can be spent at once after it.
    pub remaining: u32,
}

/// Limiter in this process or in Redis.
pub enum Limiter {
    /// In this process.
    Local(Local),
    /// In Redis, for all nodes together.
    Redis(Box<Shared>),
}

impl Limiter {
    /// Spends `cost` units of the key's limit, if they are available. A cost above the burst is never allowed.
    pub async fn check(&self, key: &str, limit: &Limit, cost: u32) -> Decision {
        match self {
            Self::Local(local) => local.check(key, limit, cost),
            Self::Redis(shared) => shared.check(key, limit, cost).await,
        }
    }
}

impl Limit {
    /// Returns the limit for one of several nodes that cannot count together.
    fn share(self, nodes: u32) -> Self {
        let nodes = nodes.max(1);
        Self { interval: self.interval.saturating_mul(nodes), burst: (self.burst / nodes).max(1), ..self }
    }
}
