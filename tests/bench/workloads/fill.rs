//! Fast ways to write many rows: COPY on PostgreSQL, long INSERT statements on SQLite.

use std::{fmt::Write, str::FromStr};

use chrono::{DateTime, Utc};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, Executor, PgConnection, QueryBuilder, SqliteConnection, query_scalar};
use uuid::Uuid;

/// Rows per INSERT statement on SQLite.
const SQLITE_ROWS: usize = 200;
/// Bytes sent to PostgreSQL at a time.
const COPY_BYTES: usize = 1 << 20;

/// Connection to the database of a server.
pub enum Database {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

/// Value of a column.
#[derive(Clone)]
pub enum Cell {
    Id(Uuid),
    Number(i64),
    Text(String),
    Bytes(Vec<u8>),
    Time(DateTime<Utc>),
    Flag(bool),
}

impl Database {
    /// Connects without foreign key checks, which would take longer than the inserts.
    pub async fn connect(url: &str) -> Self {
        if url.starts_with("sqlite:") {
            let options = SqliteConnectOptions::from_str(url).expect("a URL").foreign_keys(false);
            let mut db = SqliteConnection::connect_with(&options).await.expect("the file opens");
            db.execute("BEGIN").await.expect("a transaction");
            return Self::Sqlite(db);
        }
        let mut db = PgConnection::connect(url).await.expect("the database answers");
        db.execute("SET session_replication_role = replica").await.expect("a superuser");
        Self::Postgres(db)
    }

    /// Returns the password hash of the only user.
    pub async fn password_hash(&mut self) -> String {
        let query = query_scalar("SELECT password_hash FROM users");
        let hash = match self {
            Self::Postgres(db) => query.fetch_one(db).await,
            Self::Sqlite(db) => query_scalar("SELECT password_hash FROM users").fetch_one(db).await,
        };
        hash.expect("one user")
    }

    /// Inserts rows in their order. Unnamed columns get their defaults.
    pub async fn insert(&mut self, table: &str, columns: &str, rows: impl Iterator<Item = Vec<Cell>>) {
        match self {
            Self::Postgres(db) => copy(db, table, columns, rows).await,
            Self::Sqlite(db) => insert(db, table, columns, rows).await,
        }
    }

    /// Runs the maintenance that the database would otherwise run during a measurement.
    pub async fn settle(&mut self) {
        let steps: &[&str] = match self {
            Self::Postgres(_) => &["VACUUM (FREEZE, ANALYZE)", "CHECKPOINT"],
            Self::Sqlite(_) => &["COMMIT", "ANALYZE", "PRAGMA wal_checkpoint(TRUNCATE)"],
        };
        for step in steps {
            let done = match self {
                Self::Postgres(db) => db.execute(*step).await.map(drop),
                Self::Sqlite(db) => db.execute(*step).await.map(drop),
            };
            done.unwrap_or_else(|error| panic!("{step}: {error}"));
        }
    }
}

async fn copy(db: &mut PgConnection, table: &str, columns: &str, rows: impl Iterator<Item = Vec<Cell>>) {
    let mut copy = db.copy_in_raw(&format!("COPY {table} ({columns}) FROM STDIN")).await.expect("COPY accepts rows");
    let mut text = String::with_capacity(2 * COPY_BYTES);
    for row in rows {
        for (n, cell) in row.iter().enumerate() {
            let tab = if n == 0 { "" } else { "\t" };
            match cell {
                Cell::Id(id) => write!(text, "{tab}{id}"),
                Cell::Number(number) => write!(text, "{tab}{number}"),
                Cell::Text(value) => write!(text, "{tab}{value}"),
                Cell::Bytes(bytes) => write!(text, "{tab}\\\\x{}", qv_tests::hex(bytes)),
                Cell::Time(time) => write!(text, "{tab}{}", time.to_rfc3339()),
                Cell::Flag(flag) => write!(text, "{tab}{flag}"),
            }
            .expect("room");
        }
        text.push('\n');
        if text.len() > COPY_BYTES {
            copy.send(text.as_bytes()).await.expect("COPY accepts rows");
            text.clear();
        }
    }
    copy.send(text.as_bytes()).await.expect("COPY accepts rows");
    copy.finish().await.unwrap_or_else(|error| panic!("{table}: {error}"));
}

async fn insert(db: &mut SqliteConnection, table: &str, columns: &str, rows: impl Iterator<Item = Vec<Cell>>) {
    let mut rows = rows.peekable();
    while rows.peek().is_some() {
        let mut query = QueryBuilder::new(format!("INSERT INTO {table} ({columns}) "));
        query.push_values(rows.by_ref().take(SQLITE_ROWS), |mut values, row| {
            for cell in row {
                match cell {
                    Cell::Id(id) => values.push_bind(id),
                    Cell::Number(number) => values.push_bind(number),
                    Cell::Text(text) => values.push_bind(text),
                    Cell::Bytes(bytes) => values.push_bind(bytes),
                    Cell::Time(time) => values.push_bind(time),
                    Cell::Flag(flag) => values.push_bind(flag),
                };
            }
        });
        query.build().execute(&mut *db).await.unwrap_or_else(|error| panic!("{table}: {error}"));
    }
}
