//! The audit trail. Each entry is written in the transaction that it records.

use qv_entity::audit_logs::{ActiveModel, Column, Entity, Model};
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, Order, QueryFilter, QueryTrait};
use uuid::Uuid;

use crate::domain::{AuditAction, AuditFilter, AuditLog, AuditLogId, Client, Page, Slice, Timestamp, UserId};
use crate::store::{Error, page::paged};

/// An audit entry to add.
pub struct NewEntry<'a> {
    /// Id of the entry.
    pub id: Uuid,
    /// Account that the entry concerns.
    pub user_id: Option<UserId>,
    /// Name of the action, dotted and in the past tense, such as `session.created`.
    pub action: AuditAction,
    /// Global id of the object that was acted on.
    pub resource: Option<String>,
    /// Client that sent the request.
    pub client: &'a Client,
    /// When the action happened.
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
        action: Set(entry.action.as_str().to_owned()),
        resource: Set(entry.resource),
        details: Set(None),
        ip_address: Set(entry.client.ip.map(|ip| ip.to_string())),
        user_agent: Set(entry.client.user_agent.clone()),
        created_at: Set(entry.created_at),
    });
    Entity::insert_many(rows).exec_without_returning(db).await?;
    Ok(())
}

/// Returns the entry with this id.
pub async fn find(db: &impl ConnectionTrait, id: AuditLogId) -> Result<Option<AuditLog>, Error> {
    Ok(Entity::find_by_id(id.0).one(db).await?.map(entry))
}

/// Returns a page of the entries that match a filter, newest first.
pub async fn list(
    db: &impl ConnectionTrait,
    filter: &AuditFilter,
    page: &Page<Uuid>,
) -> Result<Slice<AuditLog>, Error> {
    let select = Entity::find()
        .apply_if(filter.user_id, |select, id| select.filter(Column::UserId.eq(id.0)))
        .apply_if(filter.action.as_deref(), |select, action| select.filter(Column::Action.eq(action)))
        .apply_if(filter.since, |select, since| select.filter(Column::CreatedAt.gte(since)))
        .apply_if(filter.until, |select, until| select.filter(Column::CreatedAt.lt(until)));
    let rows = paged(select, Column::Id, &Order::Desc, page).all(db).await?;
    Ok(page.slice(rows.into_iter().map(entry).collect()))
}

fn entry(row: Model) -> AuditLog {
    AuditLog {
        id: AuditLogId(row.id),
        user_id: row.user_id.map(UserId),
        action: row.action,
        resource: row.resource,
        details: row.details,
        ip_address: row.ip_address,
        user_agent: row.user_agent,
        created_at: row.created_at,
    }
}
