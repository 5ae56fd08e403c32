//! Helpers for migrations, in addition to those of the migration crate.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

// Time columns have no default, so that a missing value fails. SQLite's clock would write a text that sorts wrongly
// beside the server's.
pub use sea_orm_migration::schema::{timestamp_with_time_zone as time, timestamp_with_time_zone_null as time_null};

/// Creates a table with its indexes.
pub async fn create(
    manager: &SchemaManager<'_>,
    name: &'static str,
    columns: &mut TableCreateStatement,
    indexes: impl IntoIterator<Item = IndexCreateStatement, IntoIter: Send> + Send,
) -> Result<(), DbErr> {
    manager.create_table(columns.table(name).take()).await?;
    for mut index in indexes {
        manager.create_index(index.table(name).take()).await?;
    }
    Ok(())
}

/// Drops tables in the given order, with their indexes and triggers.
pub async fn drop(manager: &SchemaManager<'_>, tables: &[&'static str]) -> Result<(), DbErr> {
    for table in tables {
        manager.drop_table(Table::drop().table(*table).take()).await?;
    }
    Ok(())
}

/// Runs the statements for the current database.
pub async fn execute(manager: &SchemaManager<'_>, sqlite: &str, postgres: &str) -> Result<(), DbErr> {
    let sql = match manager.get_database_backend() {
        DbBackend::Postgres => postgres,
        _ => sqlite,
    };
    manager.get_connection().execute_unprepared(sql).await?;
    Ok(())
}

/// Returns a foreign key that prevents the deletion of the referenced row.
pub fn reference(column: &'static str, table: &'static str) -> ForeignKeyCreateStatement {
    ForeignKey::create().from_col(column).to(table, "id").take()
}

/// Returns a foreign key to a user. Deleting the user deletes the row.
pub fn owner(column: &'static str) -> ForeignKeyCreateStatement {
    reference(column, "users").on_delete(ForeignKeyAction::Cascade).take()
}

/// Returns an index over `columns`, in that order.
pub fn index(name: &'static str, columns: &[&'static str]) -> IndexCreateStatement {
    let mut index = Index::create().name(name).take();
    for column in columns {
        index.col(*column);
    }
    index
}

/// Returns a unique index over `columns`.
pub fn unique(name: &'static str, columns: &[&'static str]) -> IndexCreateStatement {
    index(name, columns).unique().take()
}
