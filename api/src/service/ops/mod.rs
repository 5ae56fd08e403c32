//! Operation of the service: health, snapshots, retention, backups and signing keys.

pub mod backup;
pub mod health;
pub mod retention;
pub mod signing_keys;
pub mod snapshot;
