//! Unfinished passkey ceremonies, stored so that any node can finish them.

use qv_entity::passkey_ceremonies::{ActiveModel, Column, Entity};
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};
use serde_json::Value;

use crate::domain::{CeremonyId, CeremonyKind, SessionId, Timestamp};
use crate::store::Error;

/// An unfinished passkey ceremony.
pub struct Ceremony {
    /// Id of the ceremony.
    pub id: CeremonyId,
    /// Kind of the ceremony: registration or login.
    pub kind: CeremonyKind,
    /// Session that registers a passkey; `None` for a login.
    pub session_id: Option<SessionId>,
    /// State of the `WebAuthn` library, such as the challenge.
    pub state: Value,
    /// When the ceremony expires.
    pub expires_at: Timestamp,
}

/// Adds a ceremony.
pub async fn insert(db: &impl ConnectionTrait, ceremony: Ceremony) -> Result<(), Error> {
    let row = ActiveModel {
        id: Set(ceremony.id.0),
        kind: Set(ceremony.kind.as_str().to_owned()),
        session_id: Set(ceremony.session_id.map(|id| id.0)),
        state: Set(ceremony.state),
        expires_at: Set(ceremony.expires_at),
    };
    Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

/// Deletes a ceremony and returns it. Of concurrent calls, on any nodes, only one gets it.
pub async fn delete(db: &impl ConnectionTrait, id: CeremonyId) -> Result<Option<Ceremony>, Error> {
    let rows = Entity::delete_many().filter(Column::Id.eq(id.0)).exec_with_returning(db).await?;
    Ok(rows.into_iter().next().map(|row| Ceremony {
        id,
        kind: CeremonyKind::parse(&row.kind).unwrap_or(CeremonyKind::Login),
        session_id: row.session_id.map(SessionId),
        state: row.state,
        expires_at: row.expires_at,
    }))
}

/// Deletes expired ceremonies and returns their number.
pub async fn delete_expired(db: &impl ConnectionTrait, now: Timestamp) -> Result<u64, Error> {
    Ok(Entity::delete_many().filter(Column::ExpiresAt.lte(now)).exec(db).await?.rows_affected)
}
