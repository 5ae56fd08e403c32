//! How often in a row a password was wrong, beside the accounts, whose rows a stranger must not be able to touch.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, uuid};

use crate::table::{create, drop};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Without a foreign key, because one row counts for all who do not exist.
        let columns = &mut Table::create();
        columns.col(uuid("user_id").primary_key()).col(big_integer("failures"));
        create(manager, "password_failures", columns, []).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop(manager, &["password_failures"]).await
    }
}
