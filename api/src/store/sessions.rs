//! Sessions: signed-in devices and the digests of their tokens.

use qv_entity::{
    sessions::{ActiveModel, Column, Entity, Model},
    users,
};
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect};
use uuid::Uuid;

use super::{Error, accounts::role_of};
use crate::domain::{Role, Session, SessionId, Timestamp, UserId};

/// The digests under which a session's tokens are known.
pub struct TokenDigests {
    /// Of the access token.
    pub access: [u8; 32],
    /// Of the refresh token.
    pub refresh: [u8; 32],
}

/// Adds a session.
pub async fn insert(db: &impl ConnectionTrait, session: &Session, digests: TokenDigests) -> Result<(), Error> {
    let row = ActiveModel {
        id: Set(session.id.0),
        user_id: Set(session.user_id.0),
        token_hash: Set(digests.access.to_vec()),
        refresh_token_hash: Set(digests.refresh.to_vec()),
        expires_at: Set(session.expires_at),
        device_info: Set(session.device_info.clone()),
        ip_address: Set(session.ip_address.clone()),
        created_at: Set(session.created_at),
        last_used_at: Set(session.last_used_at),
    };
    Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

/// The session, ended or not.
pub async fn find(db: &impl ConnectionTrait, id: SessionId) -> Result<Option<Session>, Error> {
    Ok(Entity::find_by_id(id.0).one(db).await?.map(session))
}

/// Whose session it is and what that account may do, if both are alive.
pub async fn find_alive(
    db: &impl ConnectionTrait,
    id: SessionId,
    now: Timestamp,
) -> Result<Option<(UserId, Role)>, Error> {
    let row: Option<(Uuid, String)> = Entity::find()
        .select_only()
        .column(Column::UserId)
        .column(users::Column::Role)
        .inner_join(users::Entity)
        .filter(Column::Id.eq(id.0))
        .filter(Column::ExpiresAt.gt(now))
        .filter(users::Column::IsActive.eq(true))
        .into_tuple()
        .one(db)
        .await?;
    Ok(row.map(|(user_id, role)| (UserId(user_id), role_of(&role))))
}

fn session(row: Model) -> Session {
    Session {
        id: SessionId(row.id),
        user_id: UserId(row.user_id),
        device_info: row.device_info,
        ip_address: row.ip_address,
        created_at: row.created_at,
        last_used_at: row.last_used_at,
        expires_at: row.expires_at,
    }
}
