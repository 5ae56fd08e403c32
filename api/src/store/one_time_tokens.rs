//! Single-use tokens that are sent by mail. A user has at most one per purpose, and only its digest is stored.

use qv_entity::one_time_tokens::{ActiveModel, Column, Entity};
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect};
use uuid::Uuid;

use crate::domain::{Timestamp, TokenPurpose, UserId};
use crate::store::Error;

/// A token to add.
pub struct NewToken {
    /// Id of the token.
    pub id: Uuid,
    /// User to whom the token is mailed.
    pub user_id: UserId,
    /// Purpose of the token.
    pub purpose: TokenPurpose,
    /// Digest of the token.
    pub digest: [u8; 32],
    /// When the token is mailed.
    pub created_at: Timestamp,
    /// When the token expires.
    pub expires_at: Timestamp,
}

/// Adds a token. The caller must have deleted the user's older tokens of this purpose.
pub async fn insert(db: &impl ConnectionTrait, token: NewToken) -> Result<(), Error> {
    let row = ActiveModel {
        id: Set(token.id),
        user_id: Set(token.user_id.0),
        purpose: Set(token.purpose.as_str().to_owned()),
        token_hash: Set(token.digest.to_vec()),
        created_at: Set(token.created_at),
        expires_at: Set(token.expires_at),
        used_at: Set(None),
    };
    Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

/// Deletes the user's tokens of this purpose, used or not. The caller must hold the lock on the user's row.
pub async fn delete_many(db: &impl ConnectionTrait, user_id: UserId, purpose: TokenPurpose) -> Result<(), Error> {
    let delete = Entity::delete_many().filter(Column::UserId.eq(user_id.0));
    delete.filter(Column::Purpose.eq(purpose.as_str())).exec(db).await?;
    Ok(())
}

/// Returns the user to whom an unused, unexpired token was mailed.
pub async fn find(
    db: &impl ConnectionTrait,
    purpose: TokenPurpose,
    digest: &[u8; 32],
    now: Timestamp,
) -> Result<Option<UserId>, Error> {
    let select = Entity::find()
        .select_only()
        .column(Column::UserId)
        .filter(Column::TokenHash.eq(digest.to_vec()))
        .filter(Column::Purpose.eq(purpose.as_str()))
        .filter(Column::UsedAt.is_null())
        .filter(Column::ExpiresAt.gt(now));
    Ok(select.into_tuple::<Uuid>().one(db).await?.map(UserId))
}

/// Consumes a token. Exactly one of any number of attempts succeeds.
pub async fn consume(
    db: &impl ConnectionTrait,
    purpose: TokenPurpose,
    digest: &[u8; 32],
    now: Timestamp,
) -> Result<bool, Error> {
    let update = Entity::update_many()
        .set(ActiveModel { used_at: Set(Some(now)), ..Default::default() })
        .filter(Column::TokenHash.eq(digest.to_vec()))
        .filter(Column::Purpose.eq(purpose.as_str()))
        .filter(Column::UsedAt.is_null())
        .filter(Column::ExpiresAt.gt(now));
    Ok(update.exec(db).await?.rows_affected == 1)
}
