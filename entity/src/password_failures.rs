//! Counts of consecutive failed password attempts.

use sea_orm::entity::prelude::*;

/// One row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "password_failures")]
pub struct Model {
    /// Account; the nil UUID stands for all unknown accounts.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: Uuid,
    /// Number of attempts since the last successful one.
    pub failures: i64,
}

impl ActiveModelBehavior for ActiveModel {}
