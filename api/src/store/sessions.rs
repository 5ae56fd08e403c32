//! Sessions: signed-in devices and the digests of their tokens.

use qv_entity::sessions::{ActiveModel, Column, Entity, Model};
use qv_entity::users;
use sea_orm::{ActiveValue::Set, sea_query::LockType};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, Order, QueryFilter, QueryOrder, QuerySelect, QueryTrait, Select,
};
use uuid::Uuid;

use crate::domain::{Page, Role, Session, SessionId, Slice, Timestamp, UserId};
use crate::store::{Error, accounts::role_of, page::paged};

/// Digests of a session's tokens.
pub struct TokenDigests {
    /// Digest of the access token.
    pub access: [u8; 32],
    /// Digest of the refresh token.
    pub refresh: [u8; 32],
}

/// The rotation of a refresh token.
pub struct Rotation {
    /// Digest of the refresh token that is spent.
    pub parent: [u8; 32],
    /// Digests of the new tokens.
    pub child: TokenDigests,
    /// Salt that the new refresh token was derived with.
    pub salt: [u8; 16],
    /// When the session now expires.
    pub expires_at: Timestamp,
    /// Time of the rotation.
    pub now: Timestamp,
}

/// The state of an active session, against which tokens are checked.
pub struct Alive {
    /// Owner of the session.
    pub user_id: UserId,
    /// Role of the owner.
    pub role: Role,
    /// Digest of an access token whose first use must still be recorded with [`confirm`].
    pub unconfirmed: Option<Vec<u8>>,
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
        previous_refresh_token_hash: Set(None),
        rotation_salt: Set(None),
    };
    Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

/// Returns the session, even if it has expired.
pub async fn find(db: &impl ConnectionTrait, id: SessionId) -> Result<Option<Session>, Error> {
    Ok(Entity::find_by_id(id.0).one(db).await?.map(session))
}

/// Returns the state of a session, if the session and its account are active.
pub async fn find_alive(db: &impl ConnectionTrait, id: SessionId, now: Timestamp) -> Result<Option<Alive>, Error> {
    let row = Entity::find()
        .select_only()
        .column(Column::UserId)
        .column(users::Column::Role)
        .columns([Column::TokenHash, Column::PreviousRefreshTokenHash])
        .inner_join(users::Entity)
        .filter(Column::Id.eq(id.0))
        .filter(Column::ExpiresAt.gt(now))
        .filter(users::Column::IsActive.eq(true))
        .into_tuple::<(Uuid, String, Vec<u8>, Option<Vec<u8>>)>()
        .one(db)
        .await?;
    Ok(row.map(|(user_id, role, token_hash, previous)| Alive {
        user_id: UserId(user_id),
        role: role_of(&role),
        unconfirmed: previous.map(|_| token_hash),
    }))
}

/// Whether the user's session is active. Locks an active session against deletion until the transaction ends.
///
/// A deletion waits for this lock. So does a refresh on PostgreSQL, because it changes a column with a unique index.
pub async fn lock(
    db: &impl ConnectionTrait,
    (user_id, id): (UserId, SessionId),
    now: Timestamp,
) -> Result<bool, Error> {
    let select = living(user_id, now).select_only().column(Column::Id).filter(Column::Id.eq(id.0));
    Ok(select.lock(LockType::KeyShare).into_tuple::<Uuid>().one(db).await?.is_some())
}

/// Returns a page of the user's active sessions, newest first.
pub async fn list(
    db: &impl ConnectionTrait,
    user_id: UserId,
    now: Timestamp,
    page: &Page<Uuid>,
) -> Result<Slice<Session>, Error> {
    let rows = paged(living(user_id, now), Column::Id, &Order::Desc, page).all(db).await?;
    Ok(page.slice(rows.into_iter().map(session).collect()))
}

/// Returns all active sessions of the user, in any order.
pub async fn find_by_user(db: &impl ConnectionTrait, user_id: UserId, now: Timestamp) -> Result<Vec<Session>, Error> {
    Ok(living(user_id, now).all(db).await?.into_iter().map(session).collect())
}

/// Returns the user's sessions, except for the `kept` most recently used.
pub async fn find_idle(db: &impl ConnectionTrait, user_id: UserId, kept: u64) -> Result<Vec<SessionId>, Error> {
    let ids: Vec<Uuid> = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::UserId.eq(user_id.0))
        .order_by_desc(Column::LastUsedAt)
        .order_by_desc(Column::Id)
        .offset(kept)
        .limit(u64::from(u16::MAX))
        .into_tuple()
        .all(db)
        .await?;
    Ok(ids.into_iter().map(SessionId).collect())
}

/// Rotates a refresh token, if it is the session's current one. Exactly one of any number of attempts succeeds.
pub async fn rotate(db: &impl ConnectionTrait, id: SessionId, rotation: Rotation) -> Result<bool, Error> {
    let change = ActiveModel {
        token_hash: Set(rotation.child.access.to_vec()),
        refresh_token_hash: Set(rotation.child.refresh.to_vec()),
        previous_refresh_token_hash: Set(Some(rotation.parent.to_vec())),
        rotation_salt: Set(Some(rotation.salt.to_vec())),
        expires_at: Set(rotation.expires_at),
        last_used_at: Set(rotation.now),
        ..Default::default()
    };
    let update = Entity::update_many()
        .set(change)
        .filter(Column::Id.eq(id.0))
        .filter(Column::RefreshTokenHash.eq(rotation.parent.to_vec()));
    Ok(update.exec(db).await?.rows_affected == 1)
}

/// Issues another access token for a refresh whose response was lost. Returns that refresh's salt and the session's
/// expiry.
///
/// Returns `None` if a newer refresh exists, the refresh was before `since`, or one of its tokens has been used.
pub async fn reissue(
    db: &impl ConnectionTrait,
    id: SessionId,
    parent: [u8; 32],
    since: Timestamp,
    access: [u8; 32],
) -> Result<Option<(Vec<u8>, Timestamp)>, Error> {
    let rows = Entity::update_many()
        .set(ActiveModel { token_hash: Set(access.to_vec()), ..Default::default() })
        .filter(Column::Id.eq(id.0))
        .filter(Column::PreviousRefreshTokenHash.eq(parent.to_vec()))
        .filter(Column::LastUsedAt.gte(since))
        .exec_with_returning(db)
        .await?;
    Ok(rows.into_iter().next().and_then(|row| Some((row.rotation_salt?, row.expires_at))))
}

/// Records that the last refresh's access token is in use, so that this refresh can no longer be repeated.
pub async fn confirm(db: &impl ConnectionTrait, id: SessionId, access: &[u8]) -> Result<(), Error> {
    Entity::update_many()
        .set(ActiveModel { previous_refresh_token_hash: Set(None), ..Default::default() })
        .filter(Column::Id.eq(id.0))
        .filter(Column::TokenHash.eq(access))
        .exec(db)
        .await?;
    Ok(())
}

/// Deletes those of these sessions that belong to the user. Returns the deleted ids.
pub async fn delete_many(
    db: &impl ConnectionTrait,
    user_id: UserId,
    ids: &[SessionId],
) -> Result<Vec<SessionId>, Error> {
    let delete = Entity::delete_many().filter(Column::Id.is_in(ids.iter().map(|id| id.0)));
    let rows = delete.filter(Column::UserId.eq(user_id.0)).exec_with_returning(db).await?;
    Ok(rows.into_iter().map(|row| SessionId(row.id)).collect())
}

/// Deletes all sessions of the user except `kept`. Returns the deleted ids.
pub async fn delete_others(
    db: &impl ConnectionTrait,
    user_id: UserId,
    kept: Option<SessionId>,
) -> Result<Vec<SessionId>, Error> {
    let delete = Entity::delete_many().filter(Column::UserId.eq(user_id.0));
    let delete = delete.apply_if(kept, |delete, id| delete.filter(Column::Id.ne(id.0)));
    let rows = delete.exec_with_returning(db).await?;
    Ok(rows.into_iter().map(|row| SessionId(row.id)).collect())
}

fn living(user_id: UserId, now: Timestamp) -> Select<Entity> {
    Entity::find().filter(Column::UserId.eq(user_id.0)).filter(Column::ExpiresAt.gt(now))
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
