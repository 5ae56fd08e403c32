//! The counter that numbers metrics in commit order, in a single row.

use sea_orm::entity::prelude::*;

/// One row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "metric_sequence")]
pub struct Model {
    /// Always 1.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i16,
    /// Latest sequence number that was assigned.
    pub last_sequence: i64,
}

impl ActiveModelBehavior for ActiveModel {}
