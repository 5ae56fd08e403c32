//! The words in which the changes are written, beside those of the migration crate.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

// Moments have no default: SQLite's own clock writes a text that sorts wrongly beside ours, so a
// forgotten value has to fail instead.
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

/// Drops tables in the order given; their indexes and triggers go along.
pub async fn drop(manager: &SchemaManager<'_>, tables: &[&'static str]) -> Result<(), DbErr> {
    for table in tables {
        manager.drop_table(Table::drop().table(*table).take()).await?;
    }
    Ok(())
}

/// Runs the statements meant for the database at hand.
pub async fn execute(manager: &SchemaManager<'_>, sqlite: &str, postgres: &str) -> Result<(), DbErr> {
    let sql = match manager.get_database_backend() {
        DbBackend::Postgres => postgres,
        _ => sqlite,
    };
    manager.get_connection().execute_unprepared(sql).await?;
    Ok(())
}

/// A foreign key that keeps the row it names from being deleted.
pub fn reference(column: &'static str, table: &'static str) -> ForeignKeyCreateStatement {
    ForeignKey::create().from_col(column).to(table, "id").take()
}

/// A foreign key to the user whose deletion takes the row along.
pub fn owner(column: &'static str) -> ForeignKeyCreateStatement {
    reference(column, "users").on_delete(ForeignKeyAction::Cascade).take()
}

/// An index over `columns` in that order.
pub fn index(name: &'static str, columns: &[&'static str]) -> IndexCreateStatement {
    let mut index = Index::create().name(name).take();
    for column in columns {
        index.col(*column);
    }
    index
}

/// An index that also refuses a second row with equal `columns`.
pub fn unique(name: &'static str, columns: &[&'static str]) -> IndexCreateStatement {
    index(name, columns).unique().take()
}
