//! State that all nodes of one installation share, in a single row.

use sea_orm::entity::prelude::*;

/// One row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "installation")]
pub struct Model {
    /// Always 1.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i16,
    /// Key that authenticates cursors, 32 bytes.
    pub cursor_key: Vec<u8>,
    /// Epoch of the feed. Cursors of other epochs are invalid.
    pub feed_epoch: i32,
    /// When the installation was created.
    pub created_at: DateTimeUtc,
    /// Latest number of a change to a user that other users see.
    pub last_user_change: i64,
}

impl ActiveModelBehavior for ActiveModel {}
