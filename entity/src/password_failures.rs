//! How often in a row a password was wrong.

use sea_orm::entity::prelude::*;

/// One row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "password_failures")]
pub struct Model {
    /// Whose password; the nil UUID stands for all who do not exist.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: Uuid,
    /// Attempts since the last right one.
    pub failures: i64,
}

impl ActiveModelBehavior for ActiveModel {}
