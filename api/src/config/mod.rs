//! Settings: the defaults inside the binary, overridden by a file, overridden by the environment.

pub mod graphql;
mod http;
mod load;
mod network;
mod settings;
mod sockets;

pub use graphql::{Graphql, Mode};
pub use http::Http;
pub use load::{ConfigError, DEFAULTS, METRIC_BATCH_KIB, load};
pub use network::Network;
pub use settings::{
    Accounts, Budgets, Cache, Config, Database, Feed, Log, LogFormat, Mail, Operations, Passwords, Quotas, Rate,
    RateLimits, Redis, Traces, Webauthn,
};
pub use sockets::Sockets;
