//! Structs of the settings. `config.default.toml` documents each.
#![expect(missing_docs, reason = "config.default.toml documents every field, once")]

use std::{net::SocketAddr, path::PathBuf};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, de};

use crate::config::{Graphql, Http, Sockets};

/// All settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub data_dir: PathBuf,
    pub log: Log,
    pub http: Http,
    pub sockets: Sockets,
    pub graphql: Graphql,
    pub budgets: Budgets,
    pub database: Database,
    pub redis: Redis,
    pub accounts: Accounts,
    pub passwords: Passwords,
    pub webauthn: Webauthn,
    pub rate_limits: RateLimits,
    pub quotas: Quotas,
    pub cache: Cache,
    pub mail: Mail,
    pub feed: Feed,
    pub audit: Audit,
    pub metrics: Metrics,
    pub upkeep: Upkeep,
    pub operations: Operations,
    pub traces: Traces,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub filter: String,
    pub format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budgets {
    pub memory_bytes: usize,
    pub memory_bytes_per_address: usize,
    pub memory_bytes_per_user: usize,
    pub connections_per_address: usize,
    pub anonymous_sockets_per_address: usize,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    pub url: SecretString,
    pub pool_size: u32,
    pub acquire_timeout_seconds: u64,
    pub statement_timeout_seconds: u64,
    pub slow_statement_ms: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    pub url: SecretString,
    pub prefix: String,
    pub command_timeout_ms: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accounts {
    pub token_issuer: String,
    pub access_token_ttl_seconds: u32,
    pub refresh_token_ttl_seconds: u32,
    pub refresh_grace_seconds: u32,
    pub session_ttl_seconds: u32,
    pub max_sessions: u16,
    pub max_password_failures: u32,
    pub password_min_length: u16,
    pub mail_token_ttl_seconds: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Passwords {
    pub memory_kib: u32,
    pub passes: u32,
    pub lanes: u32,
    pub concurrency: usize,
    pub queue: usize,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webauthn {
    pub relying_party_id: String,
    pub relying_party_name: String,
    pub origins: Vec<String>,
    pub recent_sign_in_seconds: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimits {
    pub enabled: bool,
    pub nodes: u32,
    pub register_by_address: Rate,
    pub login_by_address: Rate,
    pub login_by_account: Rate,
    pub refresh_by_session: Rate,
    pub mail_by_network: Rate,
    pub mail_by_recipient: Rate,
    pub send_by_user: Rate,
    pub keys_by_user: Rate,
    pub metrics_by_user: Rate,
    pub metric_bytes_by_user: Rate,
    pub cost_by_caller: Rate,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    pub burst: u32,
    pub interval_ms: u64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quotas {
    pub stored_bytes_per_user: i64,
    pub sent_bytes_per_day: i64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cache {
    pub user_ttl_seconds: u64,
    pub session_ttl_seconds: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mail {
    pub url: SecretString,
    pub from: String,
    pub link_base: String,
    pub attempts: u32,
    pub retry_ms: u64,
    pub queue: u16,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feed {
    pub batch_size: u16,
    pub poll_seconds: u64,
    pub poll_without_bus_ms: u64,
    pub retention_days: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    pub retention_days: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    pub retention_days: u32,
    pub sample_seconds: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upkeep {
    pub interval_seconds: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operations {
    #[serde(deserialize_with = "address")]
    pub listen: Option<SocketAddr>,
    pub metrics_token: SecretString,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traces {
    pub endpoint: String,
    pub sample_percent: u8,
}

impl Traces {
    /// Whether traces are sent to a collector.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        !self.endpoint.is_empty()
    }
}

impl Config {
    /// Returns the database's URL. The default is the embedded file.
    #[must_use]
    pub fn database_url(&self) -> SecretString {
        if self.database.url.expose_secret().is_empty() {
            let file = self.data_dir.join("quantumvault.db").display().to_string();
            // Escapes characters that have a meaning in a URL.
            format!("sqlite://{}", file.replace('%', "%25").replace('?', "%3F").replace('#', "%23")).into()
        } else {
            self.database.url.clone()
        }
    }

    /// Whether the database is a file on this machine.
    #[must_use]
    pub fn is_embedded(&self) -> bool {
        self.database_url().expose_secret().starts_with("sqlite:")
    }

    /// Returns the folder that mails are written to instead of being sent, if any.
    #[must_use]
    pub fn mail_folder(&self) -> Option<PathBuf> {
        match self.mail.url.expose_secret() {
            "" => Some(self.data_dir.join("mails")),
            url => url.strip_prefix("file://").map(PathBuf::from),
        }
    }

    /// Returns the beginning of links in mails, without a trailing slash.
    #[must_use]
    pub fn link_base(&self) -> String {
        match self.mail.link_base.trim_end_matches('/') {
            "" => format!("http://{}", self.http.listen),
            base => base.to_owned(),
        }
    }
}

impl Redis {
    /// Whether several nodes share a cache and a bus.
    #[must_use]
    pub fn is_set(&self) -> bool {
        !self.url.expose_secret().is_empty()
    }
}

/// Parses an address. Empty text means none.
fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    (!text.is_empty())
        .then(|| text.parse().map_err(|error| de::Error::custom(format!("`{text}`: {error}"))))
        .transpose()
}
