//! Passkeys.

use sea_orm::entity::prelude::*;

/// One row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "webauthn_credentials")]
pub struct Model {
    /// A UUID of version 7, made by the writer.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose passkey it is.
    pub user_id: Uuid,
    /// The authenticator's name for it, unique.
    pub credential_id: Vec<u8>,
    /// The credential as the WebAuthn library serialises it.
    #[sea_orm(column_type = "JsonBinary")]
    pub public_key: Json,
    /// The signature counter last seen.
    pub counter: i64,
    /// The user's name for it.
    pub device_name: String,
    /// When it was registered.
    pub created_at: DateTimeUtc,
    /// When it last signed in; absent before the first time.
    pub last_used: Option<DateTimeUtc>,
    /// Whose passkey it is.
    #[sea_orm(belongs_to, from = "user_id", to = "id")]
    pub user: BelongsTo<super::users::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}
