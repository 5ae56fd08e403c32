//! A separate database for each test, dropped with the test.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::str::FromStr;
use std::{env, thread};

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, SqliteTransactionMode, TransactionOptions,
    TransactionTrait,
};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Error, PgConnection, postgres::PgConnectOptions};
use tempfile::TempDir;

/// Environment variable with the URL of the PostgreSQL server to test on. An example is
/// `postgres://postgres@127.0.0.1:5432/postgres`. The user must be allowed to create databases. Without the variable,
/// the tests run on SQLite.
pub const SERVER: &str = "QV_TEST_DATABASE_URL";

/// Empty database on the server of `QV_TEST_DATABASE_URL`, or in a temporary SQLite file.
#[derive(Debug)]
pub struct TestDatabase {
    /// Connection URL in the form that the settings accept.
    pub url: String,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Folder { _removed_on_drop: TempDir },
    Server { server: String, name: String },
}

impl TestDatabase {
    /// Creates the database.
    ///
    /// # Panics
    /// If the server is unreachable or returns an error, because no test could continue.
    pub async fn create() -> Self {
        let Ok(server) = env::var(SERVER) else { return Self::embedded() };
        let name = format!("qv_test_{:016x}", RandomState::new().build_hasher().finish());
        // PostgreSQL copies a template only while nobody is connected to it, and template0 accepts no connections.
        execute(&server, format!("CREATE DATABASE {name} TEMPLATE template0")).await.expect("a new database");
        let options = PgConnectOptions::from_str(&server).expect("a postgres:// URL");
        let url = options.database(&name).to_url_lossy().to_string();
        Self { url, place: Place::Server { server, name } }
    }

    /// Chooses an SQLite file that does not exist yet, whatever the environment selects.
    ///
    /// # Panics
    /// If no temporary folder can be created.
    #[must_use]
    pub fn embedded() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let url = format!("sqlite://{}?mode=rwc", folder.path().join("test.db").display());
        Self { url, place: Place::Folder { _removed_on_drop: folder } }
    }
}

impl TestDatabase {
    /// Opens a connection outside the nodes, to inspect the rows that they have stored.
    ///
    /// # Panics
    /// If the database is unreachable.
    pub async fn connect(&self) -> DatabaseConnection {
        sea_orm::Database::connect(&self.url).await.expect("the database answers")
    }

    /// Begins a transaction outside the nodes. On SQLite it holds the write lock.
    pub async fn begin(&self) -> DatabaseTransaction {
        let immediate = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        self.connect().await.begin_with_options(immediate).await.expect("a transaction")
    }

    /// Blocks all other sends until the transaction ends.
    pub async fn lock_messages(&self) -> DatabaseTransaction {
        let lock = self.begin().await;
        if lock.get_database_backend() == DbBackend::Postgres {
            lock.execute_unprepared("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE").await.expect("a lock");
        }
        lock
    }
}

impl Drop for TestDatabase {
    /// Uses a thread with its own runtime, because a failing test drops this value while it unwinds.
    fn drop(&mut self) {
        let Place::Server { server, name } = &self.place else { return };
        let (server, sql) = (server.clone(), format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        let dropping = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(execute(&server, sql))
        });
        match dropping.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => eprintln!("{name} was left on the server: {error}"),
            Err(_) => eprintln!("{name} was left on the server"),
        }
    }
}

async fn execute(server: &str, sql: String) -> Result<(), Error> {
    let mut connection = PgConnection::connect(server).await?;
    sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await?;
    connection.close().await
}
