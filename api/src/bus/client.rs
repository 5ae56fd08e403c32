//! Clients of Redis for the bus.

use redis::{Client, IntoConnectionInfo, ProtocolVersion, RedisError};
use secrecy::ExposeSecret;

use crate::config;

/// Returns a client whose connections receive messages between replies (RESP3).
pub(super) fn client(settings: &config::Redis) -> Result<Client, String> {
    let text = |error: RedisError| error.to_string();
    let info = settings.url.expose_secret().into_connection_info().map_err(text)?;
    let redis = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Client::open(info.set_redis_settings(redis)).map_err(text)
}
