//! Public keys that verify access tokens, shared by all nodes.

use sea_orm::entity::prelude::*;

/// One row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "signing_keys")]
pub struct Model {
    /// Key id that tokens carry.
    #[sea_orm(primary_key, auto_increment = false)]
    pub kid: String,
    /// Ed25519 public key, 32 bytes.
    pub public_key: Vec<u8>,
    /// When the key was created.
    pub created_at: DateTimeUtc,
    /// When the key stopped signing; null while it signs.
    pub retired_at: Option<DateTimeUtc>,
}

impl ActiveModelBehavior for ActiveModel {}
