//! The database schema as a list of reversible migrations, for SQLite and PostgreSQL alike.

mod table;

mod m20261123_000001_users;
mod m20261123_000002_sessions;
mod m20261123_000003_messages;
mod m20261123_000004_audit_logs;
mod m20261123_000005_performance_metrics;
mod m20261123_000006_webauthn_credentials;
mod m20261123_000007_one_time_tokens;
mod m20261123_000008_installation;
mod m20261123_000009_session_rotation;
mod m20261123_000010_passkey_ceremonies;
mod m20261123_000011_password_failures;
mod m20261123_000012_unread_counts;
mod m20261123_000013_user_changes;
mod m20261123_000014_metric_places;
mod m20261123_000015_quotas;

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{
    DatabaseConnection, DatabaseTransaction, DbBackend, DynIden, SqliteTransactionMode, TransactionOptions,
    TransactionTrait,
};

/// Table in which the runner records applied migrations.
const RECORD: &str = "migrations";

/// The migrations, in the order in which they apply.
#[derive(Debug)]
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261123_000001_users::Migration),
            Box::new(m20261123_000002_sessions::Migration),
            Box::new(m20261123_000003_messages::Migration),
            Box::new(m20261123_000004_audit_logs::Migration),
            Box::new(m20261123_000005_performance_metrics::Migration),
            Box::new(m20261123_000006_webauthn_credentials::Migration),
            Box::new(m20261123_000007_one_time_tokens::Migration),
            Box::new(m20261123_000008_installation::Migration),
            Box::new(m20261123_000009_session_rotation::Migration),
            Box::new(m20261123_000010_passkey_ceremonies::Migration),
            Box::new(m20261123_000011_password_failures::Migration),
            Box::new(m20261123_000012_unread_counts::Migration),
            Box::new(m20261123_000013_user_changes::Migration),
            Box::new(m20261123_000014_metric_places::Migration),
            Box::new(m20261123_000015_quotas::Migration),
        ]
    }

    fn migration_table_name() -> DynIden {
        RECORD.into_iden()
    }
}

/// Applies all pending migrations in one transaction. Nodes that start together wait for each other.
pub async fn up(db: &DatabaseConnection) -> Result<(), DbErr> {
    let tx = begin_alone(db).await?;
    Migrator::up(&tx, None).await?;
    tx.commit().await
}

/// Reverses the latest `steps` migrations in one transaction.
pub async fn down(db: &DatabaseConnection, steps: u32) -> Result<(), DbErr> {
    let tx = begin_alone(db).await?;
    Migrator::down(&tx, Some(steps)).await?;
    tx.commit().await
}

/// Returns every migration that this binary knows, and whether the database has it. Writes nothing.
pub async fn status(db: &DatabaseConnection) -> Result<Vec<(String, bool)>, DbErr> {
    let recorded = recorded(db).await?;
    let known = known().map(|name| {
        let is_applied = recorded.contains(&name);
        (name, is_applied)
    });
    Ok(known.collect())
}

/// Returns the migrations that the database has and this binary does not know. Writes nothing.
///
/// Any result means that a newer binary has migrated the database, and that this one should not start.
pub async fn unknown(db: &DatabaseConnection) -> Result<Vec<String>, DbErr> {
    let mut recorded = recorded(db).await?;
    recorded.retain(|version| !known().any(|name| name == *version));
    Ok(recorded)
}

/// Begins a transaction beside which no other migration runs.
///
/// Pending migrations are read only under the lock, so the second of two nodes has nothing left to do. The wait may
/// exceed the pool's statement timeout, which is therefore disabled.
async fn begin_alone(db: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    let tx = db
        .begin_with_options(TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        })
        .await?;
    if tx.get_database_backend() == DbBackend::Postgres {
        tx.execute_unprepared(
            "SET LOCAL statement_timeout = 0; \
             SELECT pg_advisory_xact_lock(hashtext('quantumvault.migrations'))",
        )
        .await?;
    }
    Ok(tx)
}

fn known() -> impl Iterator<Item = String> {
    Migrator::migrations().into_iter().map(|migration| migration.name().to_owned())
}

/// Reads the runner's table without creating it. The runner's own queries would create it.
async fn recorded(db: &DatabaseConnection) -> Result<Vec<String>, DbErr> {
    if !SchemaManager::new(db).has_table(RECORD).await? {
        return Ok(Vec::new());
    }
    let query = Query::select().column("version").from(RECORD).order_by("version", Order::Asc).take();
    let rows = db.query_all(&query).await?;
    rows.iter().map(|row| row.try_get("", "version")).collect()
}
