//! The audit trail: written in the transaction of what it records.

use qv_entity::audit_logs::{ActiveModel, Entity};
use sea_orm::{ActiveValue::Set, ConnectionTrait, EntityTrait};
use uuid::Uuid;

use super::Error;
use crate::domain::{Client, Timestamp, UserId};

/// What happened.
pub struct NewEntry<'a> {
    /// Names the entry.
    pub id: Uuid,
    /// Whose account it concerns.
    pub user_id: Option<UserId>,
    /// Dotted and in the past tense, such as `session.created`.
    pub action: &'static str,
    /// The global id of what it was done to.
    pub resource: Option<String>,
    /// Where it came from.
    pub client: &'a Client,
    /// When.
    pub created_at: Timestamp,
}

/// Adds entries in one statement.
pub async fn insert_many<'a>(
    db: &impl ConnectionTrait,
    entries: impl IntoIterator<Item = NewEntry<'a>>,
) -> Result<(), Error> {
    let rows = entries.into_iter().map(|entry| ActiveModel {
        id: Set(entry.id),
        user_id: Set(entry.user_id.map(|id| id.0)),
        action: Set(entry.action.to_owned()),
        resource: Set(entry.resource),
        details: Set(None),
        ip_address: Set(entry.client.ip.map(|ip| ip.to_string())),
        user_agent: Set(entry.client.user_agent.clone()),
        created_at: Set(entry.created_at),
    });
    Entity::insert_many(rows).exec_without_returning(db).await?;
    Ok(())
}
