//! All SQL: the database's connections, and one module of statements an aggregate.
//!
//! Statements take whatever runs them, the pool or a transaction. What is absent is `None`, never an error.

pub mod accounts;
pub mod admin_users;
pub mod audit_logs;
pub mod conversations;
pub mod deliveries;
mod error;
pub mod installation;
pub mod mailboxes;
pub mod messages;
pub mod metric_series;
pub mod one_time_tokens;
mod open;
mod page;
pub mod passkey_ceremonies;
pub mod passkeys;
pub mod password_failures;
pub mod performance_metrics;
pub mod public_keys;
pub mod purge;
pub mod recovery;
pub mod sessions;
mod transaction;
pub mod user_changes;
pub mod users;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use sea_orm::DatabaseConnection;
use tokio::sync::Mutex;

pub use self::{
    error::{Error, Unique},
    open::{OpenError, Schema},
    transaction::Transaction,
};

/// The pool of connections to one database.
#[derive(Clone)]
pub struct Store {
    db: DatabaseConnection,
    /// SQLite has one writer at a time: waiting here is fair and costs nothing, waiting there is neither.
    writer: Option<Arc<Mutex<()>>>,
    statements: Arc<AtomicU64>,
}

impl Store {
    /// Runs single statements.
    #[must_use]
    pub fn db(&self) -> &DatabaseConnection {
        &self.db
    }

    /// How many statements have been run; tests hold this against what a request should need.
    #[must_use]
    pub fn statement_count(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), Error> {
        Ok(self.db.ping().await?)
    }

    /// Ends all connections after what they are doing.
    pub async fn close(&self) -> Result<(), Error> {
        Ok(self.db.close_by_ref().await?)
    }
}
