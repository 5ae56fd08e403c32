//! The single-use tokens that travel by mail, as digests.

use sea_orm::entity::prelude::*;

/// One row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "one_time_tokens")]
pub struct Model {
    /// A UUID of version 7, made by the writer.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whom the token was mailed to.
    pub user_id: Uuid,
    /// `PASSWORD_RESET` or `EMAIL_VERIFICATION`.
    pub purpose: String,
    /// The SHA-256 of the token, unique.
    pub token_hash: Vec<u8>,
    /// When it was mailed.
    pub created_at: DateTimeUtc,
    /// When it stops being taken.
    pub expires_at: DateTimeUtc,
    /// When it was used; absent before.
    pub used_at: Option<DateTimeUtc>,
    /// Whom the token was mailed to.
    #[sea_orm(belongs_to, from = "user_id", to = "id")]
    pub user: BelongsTo<super::users::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}
