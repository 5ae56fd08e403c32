//! Counts of consecutive failed password attempts. An unauthenticated client must not write account rows, so the counts
//! have their own table.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, uuid};

use crate::table::{create, drop};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // No foreign key, because one row counts for all unknown accounts.
        let columns = &mut Table::create();
        columns.col(uuid("user_id").primary_key()).col(big_integer("failures"));
        create(manager, "password_failures", columns, []).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop(manager, &["password_failures"]).await
    }
}
