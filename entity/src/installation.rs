//! What all nodes of one installation share, in a single row.

use sea_orm::entity::prelude::*;

/// One row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "installation")]
pub struct Model {
    /// Always 1.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i16,
    /// The key that authenticates cursors, 32 bytes.
    pub cursor_key: Vec<u8>,
    /// The generation of the feed, which voids the cursors of another.
    pub feed_epoch: i32,
    /// When the installation was made.
    pub created_at: DateTimeUtc,
    /// The latest number of a change to a user that others see.
    pub last_user_change: i64,
}

impl ActiveModelBehavior for ActiveModel {}
