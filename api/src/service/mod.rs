//! Use cases: the only layer that makes decisions.
//!
//! A use case takes its [`RequestContext`] first and returns a value or an [`Error`].

pub mod accounts;
pub mod admin;
mod after_commit;
pub mod audit;
mod cache_keys;
mod clocks;
pub mod context;
pub mod conversations;
pub mod feed;
pub mod messages;
pub mod metrics;
pub mod one_time_tokens;
pub mod ops;
pub mod passkeys;
mod password_policy;
pub mod public_keys;
pub mod sessions;
pub mod user_changes;
pub mod users;

pub use self::context::backend::{Backend, StartError};
pub use self::context::error::Error;
pub use self::context::page::{Connection, Cursor, Edge};
pub use self::context::request::{Admin, RequestContext};
pub use self::context::streams::spawn;
