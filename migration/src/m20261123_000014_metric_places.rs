//! Metrics: the recording user, a sequence number in commit order, and an index for the series of one name.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, small_integer, uuid_null};

use crate::table::{create, drop, index};

#[derive(DeriveMigrationName)]
pub struct Migration;

const TABLE: &str = "performance_metrics";
const INDEXES: [(&str, &[&str]); 2] =
    [("idx_performance_name", &["metric_name", "created_at", "id"]), ("idx_performance_sequence", &["sequence"])];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Existing rows get sequence number 0, below all others. SQLite alters one column per statement.
        for column in [uuid_null("user_id"), big_integer("sequence").default(0).take()] {
            manager.alter_table(Table::alter().table(TABLE).add_column(column).take()).await?;
        }
        for (name, columns) in INDEXES {
            manager.create_index(index(name, columns).table(TABLE).take()).await?;
        }
        let columns = &mut Table::create();
        columns.col(small_integer("id").primary_key()).col(big_integer("last_sequence"));
        create(manager, "metric_sequence", columns, []).await?;
        let row = "INSERT INTO metric_sequence (id, last_sequence) VALUES (1, 0)";
        manager.get_connection().execute_unprepared(row).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop(manager, &["metric_sequence"]).await?;
        for (name, _) in INDEXES {
            manager.drop_index(Index::drop().name(name).table(TABLE).to_owned()).await?;
        }
        for column in ["sequence", "user_id"] {
            manager.alter_table(Table::alter().table(TABLE).drop_column(column).take()).await?;
        }
        Ok(())
    }
}
