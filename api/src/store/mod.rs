//! All SQL: the database connections, and one module of statements per aggregate.
//!
//! Functions run on the pool or in a transaction, whichever the caller passes. A missing row is `None`, never an error.

pub mod accounts;
pub mod admin_users;
pub mod audit_logs;
mod columns;
mod connection;
pub mod conversations;
mod error;
pub mod installation;
pub mod mailboxes;
pub mod messages;
pub mod metric_series;
pub mod one_time_tokens;
mod page;
pub mod passkey_ceremonies;
pub mod passkeys;
pub mod password_failures;
pub mod performance_metrics;
pub mod public_keys;
pub mod purge;
pub mod recovery;
pub mod send;
pub mod sessions;
mod statements;
pub mod user_changes;
pub mod users;

pub use self::connection::autocommit::Autocommit;
pub use self::connection::deadline::WithDeadline;
pub use self::connection::open::{OpenError, Schema};
pub use self::connection::pool::{Pool, Store};
pub use self::connection::transaction::Transaction;
pub use self::error::{Error, Unique};
pub use self::statements::Statements;
