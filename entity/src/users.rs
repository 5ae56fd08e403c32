//! Accounts, with their public keys and the vault of their wrapped private keys.

use sea_orm::entity::prelude::*;

/// One row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "users")]
pub struct Model {
    /// A UUID of version 7, made by the writer.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The name in lower case, unique.
    pub username: String,
    /// The address in lower case, unique.
    pub email: String,
    /// An Argon2id hash in PHC form.
    #[sea_orm(column_type = "Text")]
    pub password_hash: String,
    /// The X25519 key, 32 bytes; absent until the user publishes keys.
    pub public_key_ecc: Option<Vec<u8>>,
    /// The ML-KEM-768 key, 1184 bytes; absent until the user publishes keys.
    pub public_key_pqc: Option<Vec<u8>>,
    /// When the account was registered.
    pub created_at: DateTimeUtc,
    /// When the row last changed.
    pub updated_at: DateTimeUtc,
    /// When the user last signed in; absent before the first time.
    pub last_login: Option<DateTimeUtc>,
    /// Whether the account is in use; a deactivated one is hidden.
    pub is_active: bool,
    /// Whether the address was confirmed.
    pub is_verified: bool,
    /// `USER` or `ADMIN`.
    pub role: String,
    /// The private keys, wrapped by the client; opaque here.
    pub key_vault: Option<Vec<u8>>,
    /// When the public keys last changed; absent until there are any.
    pub keys_changed_at: Option<DateTimeUtc>,
    /// The number of the last change that others see, in the order of commits; 0 before the first.
    pub change_sequence: i64,
    /// The signed-in devices.
    #[sea_orm(has_many)]
    pub sessions: HasMany<super::sessions::Entity>,
    /// The passkeys.
    #[sea_orm(has_many)]
    pub webauthn_credentials: HasMany<super::webauthn_credentials::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}
