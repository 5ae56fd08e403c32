//! Opens the database, and configures the pool so that a broken connection cannot harm the next request.

use std::{sync::Arc, time::Duration};

use qv_migration as migration;
use sea_orm::{ConnectOptions, DatabaseConnection, DbErr};
use secrecy::{ExposeSecret, SecretString};
use sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use tokio::sync::Mutex;

use crate::config;
use crate::domain::Timestamp;
use crate::store::connection::anchor::Anchor;
use crate::store::connection::autocommit::Autocommit;
use crate::store::connection::deadline::{LAST_WORD, Limit, WithDeadline};
use crate::store::connection::liveness::{IDLE_BEFORE_TEST, Liveness};
use crate::store::connection::pinned::PinnedConnections;
use crate::store::connection::pool::{Store, database_clock};
use crate::store::connection::transaction::TURN_TIMEOUT;
use crate::store::{Statements, send};

/// Time that a transaction may be idle, in milliseconds. Without this limit, a vanished node's locks would last for
/// hours.
const IDLE_IN_TRANSACTION_MS: &str = "10000";

/// Maximum number of concurrent delivery statements per node. A low number makes many sends share one statement.
const DELIVERING: usize = 4;

/// Reason why the database cannot be used. Each message names the setting and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database cannot be reached.
    #[error(
        "QUANTUMVAULT__DATABASE__URL names a database that cannot be reached ({0}): \
         start the database, or correct the address"
    )]
    Unreachable(DbErr),
    /// A newer binary has changed the schema.
    #[error(
        "QUANTUMVAULT__DATABASE__URL names a database of a newer release (it has {0}, unknown to this binary): \
         run that release, or reverse its migrations with it"
    )]
    Newer(String),
    /// A migration failed.
    #[error(
        "QUANTUMVAULT__DATABASE__URL names a database that cannot be migrated ({0}): run `quantumvault migrate status`"
    )]
    Migration(DbErr),
}

/// The schema of a database, for commands that inspect or migrate it.
pub struct Schema(DatabaseConnection, Arc<Liveness>);

impl Schema {
    /// Connects to an existing database, and leaves its schema unchanged.
    pub async fn open(url: &SecretString, settings: &config::Database) -> Result<Self, OpenError> {
        Self::connect(url, settings, false).await
    }

    /// Connects to a database like [`Self::open`], but creates a missing SQLite file.
    pub async fn open_or_create(url: &SecretString, settings: &config::Database) -> Result<Self, OpenError> {
        Self::connect(url, settings, true).await
    }

    /// Applies pending migrations.
    pub async fn up(&self) -> Result<(), OpenError> {
        let unknown = self.unknown().await?;
        if !unknown.is_empty() {
            return Err(OpenError::Newer(unknown.join(", ")));
        }
        migration::up(&self.0).await.map_err(OpenError::Migration)
    }

    /// Reverses the latest `steps` migrations.
    pub async fn down(&self, steps: u32) -> Result<(), OpenError> {
        migration::down(&self.0, steps).await.map_err(OpenError::Migration)
    }

    /// Returns the time of the database's clock, or `None` if that is this machine's clock.
    pub async fn clock(&self) -> Result<Option<Timestamp>, OpenError> {
        database_clock(&self.0).await.map_err(OpenError::Unreachable)
    }

    /// Returns the migrations that the database has and this binary does not know.
    pub async fn unknown(&self) -> Result<Vec<String>, OpenError> {
        migration::unknown(&self.0).await.map_err(OpenError::Migration)
    }

    /// Returns every migration that this binary knows, and whether it is applied.
    pub async fn status(&self) -> Result<Vec<(String, bool)>, OpenError> {
        migration::status(&self.0).await.map_err(OpenError::Migration)
    }

    async fn connect(url: &SecretString, settings: &config::Database, may_create: bool) -> Result<Self, OpenError> {
        let liveness = Arc::<Liveness>::default();
        Ok(Self(connect(url, settings, may_create, &liveness).await?, liveness))
    }
}

impl Store {
    /// Opens the database and migrates its schema. Nodes that start together wait for each other.
    pub async fn open(url: &SecretString, settings: &config::Database) -> Result<Self, OpenError> {
        let schema = Schema::open_or_create(url, settings).await?;
        schema.up().await?;
        let Schema(mut db, liveness) = schema;
        let anchor = if is_file(url) { Some(Anchor::open(&db).await.map_err(OpenError::Unreachable)?) } else { None };
        let statements = Arc::new(Statements::default());
        let count = Arc::clone(&statements);
        db.set_metric_callback(move |statement| {
            count.durations.observe(statement.elapsed);
            if statement.failed {
                count.failed.add();
            }
        });
        let writer = is_sqlite(url).then(|| Arc::new(Mutex::new(())));
        // SQLite has no time limit: a file never goes silent, and a backup of a large one takes long.
        let patience = Duration::from_secs(settings.statement_timeout_seconds) + LAST_WORD;
        let limit = writer.is_none().then(|| {
            let pool = Some(db.get_postgres_connection_pool().clone());
            Limit { patience, liveness: Arc::clone(&liveness), pool }
        });
        let pinned = limit.as_ref().and_then(|limit| {
            let pool = limit.pool.clone()?;
            Some(PinnedConnections::new(pool, limit, Arc::clone(&statements)))
        });
        let db = Autocommit::new(WithDeadline::pool(db, limit, Arc::clone(&liveness)), pinned);
        let acquire_timeout = Duration::from_secs(settings.acquire_timeout_seconds);
        let (turns, wait) = if writer.is_some() { (1, TURN_TIMEOUT) } else { (DELIVERING, acquire_timeout) };
        let deliveries = send::Queue::new(turns, wait);
        Ok(Self { db: Arc::new(db), writer, anchor: Arc::new(Mutex::new(anchor)), deliveries, statements, liveness })
    }
}

/// Opens a pool of connections with the given settings.
async fn connect(
    url: &SecretString,
    settings: &config::Database,
    may_create: bool,
    liveness: &Arc<Liveness>,
) -> Result<DatabaseConnection, OpenError> {
    let url = url.expose_secret();
    let is_in_memory = is_in_memory(url);
    let [before_acquire, after_release, file_liveness] = std::array::from_fn(|_| Arc::clone(liveness));
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(if is_in_memory { 1 } else { settings.pool_size })
        .min_connections(1)
        .acquire_timeout(Duration::from_secs(settings.acquire_timeout_seconds))
        .test_before_acquire(false)
        .record_stmt_in_spans(false)
        .sqlx_logging_level(log::LevelFilter::Debug)
        .sqlx_slow_statements_logging_settings(
            log::LevelFilter::Warn,
            Duration::from_millis(settings.slow_statement_ms),
        )
        .statement_timeout(Duration::from_secs(settings.statement_timeout_seconds))
        .set_application_name("quantumvault")
        .map_sqlx_postgres_opts(|postgres| {
            postgres.options([("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_MS)])
        })
        .map_sqlx_postgres_pool_opts(move |pool| {
            let liveness = Arc::clone(&after_release);
            pool.after_release(move |connection, meta| {
                let liveness = Arc::clone(&liveness);
                Box::pin(async move { Ok(liveness.is_reusable(connection, meta).await) })
            })
        })
        .map_sqlx_postgres_before_acquire(move |connection, meta| {
            let liveness = Arc::clone(&before_acquire);
            let may_have_died = meta.idle_for >= IDLE_BEFORE_TEST;
            Box::pin(async move { Ok(liveness.is_usable(connection, meta.age, may_have_died).await) })
        })
        .map_sqlx_sqlite_before_acquire(move |connection, meta| {
            let is_usable = file_liveness.is_file_usable(connection, meta.age);
            Box::pin(async move { Ok(is_usable) })
        })
        .map_sqlx_sqlite_opts(move |sqlite| {
            sqlite
                .create_if_missing(may_create)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(Duration::from_secs(5))
                .foreign_keys(true)
        });
    if is_in_memory {
        // The database exists only in its single connection.
        options.idle_timeout(None).max_lifetime(None);
    }
    sea_orm::Database::connect(options).await.map_err(OpenError::Unreachable)
}

/// Whether the database outlives its connections.
fn is_file(url: &SecretString) -> bool {
    is_sqlite(url) && !is_in_memory(url.expose_secret())
}

fn is_in_memory(url: &str) -> bool {
    url.contains(":memory:")
}

fn is_sqlite(url: &SecretString) -> bool {
    url.expose_secret().starts_with("sqlite:")
}
