//! Settings of sockets and event streams. `config.default.toml` documents each.
#![expect(missing_docs, reason = "config.default.toml documents every field, once")]

use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sockets {
    pub init_timeout_seconds: u64,
    pub anonymous_idle_seconds: u64,
    pub ping_seconds: u64,
    pub comment_seconds: u64,
    pub slow_reader_seconds: u64,
    pub message_max_bytes: usize,
    pub message_timeout_seconds: u64,
    pub messages_per_second: u32,
    pub message_burst: u32,
    pub max_subscriptions: usize,
    pub max_per_user: usize,
    pub queue_items: usize,
    pub queue_bytes: usize,
}
