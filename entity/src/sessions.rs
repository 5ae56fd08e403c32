//! Sessions: one row a signed-in device, found by the digests of its tokens.

use sea_orm::entity::prelude::*;

/// One row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sessions")]
pub struct Model {
    /// A UUID of version 7, made by the writer.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose session it is.
    pub user_id: Uuid,
    /// The SHA-256 of the session's own secret.
    pub token_hash: Vec<u8>,
    /// The SHA-256 of the current refresh token, unique.
    pub refresh_token_hash: Vec<u8>,
    /// When the refresh token stops being taken.
    pub expires_at: DateTimeUtc,
    /// What the client said of itself.
    #[sea_orm(column_type = "Text", nullable)]
    pub device_info: Option<String>,
    /// Where it signed in from.
    pub ip_address: Option<String>,
    /// When it signed in.
    pub created_at: DateTimeUtc,
    /// When it last refreshed.
    pub last_used_at: DateTimeUtc,
    /// The SHA-256 of the refresh token before; absent before the first refresh and once its successors are in use.
    pub previous_refresh_token_hash: Option<Vec<u8>>,
    /// What the current refresh token was derived with from the one before; absent before the first refresh.
    pub rotation_salt: Option<Vec<u8>>,
    /// Whose session it is.
    #[sea_orm(belongs_to, from = "user_id", to = "id")]
    pub user: BelongsTo<super::users::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}
