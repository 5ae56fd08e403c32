//! Settings: the default file inside the binary, a file over it, the environment over both.

mod graphql;
mod load;
mod settings;

pub use graphql::{Graphql, Mode};
pub use load::{ConfigError, DEFAULTS, load};
pub use settings::{Accounts, Cache, Config, Database, Feed, Log, LogFormat, Passwords, Redis};
