//! The public halves of the keys that sign access tokens, for every node to verify with.

use sea_orm::entity::prelude::*;

/// One row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "signing_keys")]
pub struct Model {
    /// The name that tokens carry.
    #[sea_orm(primary_key, auto_increment = false)]
    pub kid: String,
    /// The Ed25519 key, 32 bytes.
    pub public_key: Vec<u8>,
    /// When it was made.
    pub created_at: DateTimeUtc,
    /// When it stopped signing; absent while it signs.
    pub retired_at: Option<DateTimeUtc>,
}

impl ActiveModelBehavior for ActiveModel {}
