//! Single-use tokens that travel by mail: at most one of a purpose and user, known by its digest.

use qv_entity::one_time_tokens::{ActiveModel, Column, Entity};
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect};
use uuid::Uuid;

use crate::domain::{Timestamp, TokenPurpose, UserId};
use crate::store::Error;

/// A token to be.
pub struct NewToken {
    /// Its id.
    pub id: Uuid,
    /// Whom it is mailed to.
    pub user_id: UserId,
    /// What it is for.
    pub purpose: TokenPurpose,
    /// Its digest.
    pub digest: [u8; 32],
    /// When it is mailed.
    pub created_at: Timestamp,
    /// When it stops being taken.
    pub expires_at: Timestamp,
}

/// Adds a token; older ones of its purpose and user have to be gone.
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

/// Removes the user's tokens of this purpose, used or not; the caller holds the user's row.
pub async fn delete_many(db: &impl ConnectionTrait, user_id: UserId, purpose: TokenPurpose) -> Result<(), Error> {
    let delete = Entity::delete_many().filter(Column::UserId.eq(user_id.0));
    delete.filter(Column::Purpose.eq(purpose.as_str())).exec(db).await?;
    Ok(())
}

/// Whom a token that can be used was mailed to.
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
