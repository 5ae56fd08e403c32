//! Settings of HTTP. `config.default.toml` documents each.
#![expect(missing_docs, reason = "config.default.toml documents every field, once")]

use std::{net::SocketAddr, time::Duration};

use serde::Deserialize;

use crate::config::Network;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    pub listen: SocketAddr,
    pub header_timeout_seconds: u64,
    pub body_timeout_seconds: u64,
    pub request_timeout_seconds: u64,
    pub write_timeout_seconds: u64,
    pub drain_seconds: u64,
    pub body_max_bytes: usize,
    pub max_connections: usize,
    pub max_concurrent_requests: usize,
    pub batch_limit: usize,
    pub allowed_origins: Vec<String>,
    pub trusted_proxies: Vec<Network>,
}

impl Http {
    /// Returns the time that a client may take to send a body.
    #[must_use]
    pub const fn body_timeout(&self) -> Duration {
        Duration::from_secs(self.body_timeout_seconds)
    }

    /// Returns the time that an operation may take.
    #[must_use]
    pub const fn request_timeout(&self) -> Duration {
        Duration::from_secs(self.request_timeout_seconds)
    }
}
