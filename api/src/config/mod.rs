//! Settings: the default file inside the binary, a file over it, the environment over both.

mod load;
mod settings;

pub use load::{ConfigError, load};
pub use settings::{Accounts, Cache, Config, Database, Feed, Log, LogFormat, Passwords, Redis};
