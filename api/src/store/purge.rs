//! Retention: deletes rows that have expired.

use std::collections::BTreeMap;

use qv_entity::{audit_logs, mailbox_events, mailboxes, one_time_tokens, performance_metrics, sessions, signing_keys};
use sea_orm::sea_query::{CaseStatement, Expr, IntoCondition, Query, SelectStatement};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbBackend, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait, Statement,
};
use uuid::Uuid;

use crate::domain::{Timestamp, UserId};
use crate::store::{Error, Transaction, installation::WITHDRAWN};

/// Takes the purge lock for the transaction. Returns whether the lock was free.
pub async fn try_lock(tx: &Transaction) -> Result<bool, Error> {
    let backend = tx.db().get_database_backend();
    if backend != DbBackend::Postgres {
        // SQLite runs one write transaction at a time, so no lock is needed.
        return Ok(true);
    }
    let sql = "SELECT pg_try_advisory_xact_lock(hashtext('quantumvault.purge')) AS is_locked";
    let row = tx.db().query_one_raw(Statement::from_string(backend, sql)).await?;
    Ok(row.map(|row| row.try_get("", "is_locked")).transpose()?.unwrap_or_default())
}

/// Deletes up to `limit` sessions that have expired.
pub async fn delete_sessions(db: &impl ConnectionTrait, now: Timestamp, limit: u64) -> Result<u64, Error> {
    delete::<sessions::Entity>(db, sessions::Column::Id, sessions::Column::ExpiresAt.lte(now), limit).await
}

/// Deletes up to `limit` mailed tokens that are used or have expired.
pub async fn delete_one_time_tokens(db: &impl ConnectionTrait, now: Timestamp, limit: u64) -> Result<u64, Error> {
    use one_time_tokens::Column;

    let condition = Column::ExpiresAt.lte(now).or(Column::UsedAt.is_not_null());
    delete::<one_time_tokens::Entity>(db, Column::Id, condition, limit).await
}

/// Deletes up to `limit` audit entries from before `kept_since`.
pub async fn delete_audit_logs(db: &impl ConnectionTrait, kept_since: Timestamp, limit: u64) -> Result<u64, Error> {
    delete::<audit_logs::Entity>(db, audit_logs::Column::Id, audit_logs::Column::CreatedAt.lt(kept_since), limit).await
}

/// Deletes feed events from before `kept_since`. Selects the `limit` oldest, and deletes each with all earlier events
/// of its mailbox.
///
/// Each mailbox loses only a prefix, so its remaining sequence numbers have no gaps. Deleting by timestamp alone could
/// leave gaps: timestamps follow the nodes' clocks, whereas sequence numbers follow commits. The prefix ends before the
/// mailbox's first event since `kept_since`. So one event with a wrong timestamp deletes no others.
///
/// Stores the mailbox's new oldest sequence number.
pub async fn delete_mailbox_events(tx: &Transaction, kept_since: Timestamp, limit: u64) -> Result<u64, Error> {
    use mailbox_events::{Column, Entity};

    let ended = Entity::find()
        .select_only()
        .column(Column::UserId)
        .column(Column::Sequence)
        .filter(Column::CreatedAt.lt(kept_since))
        .filter(Expr::from(kept_before(kept_since)).is_null())
        .order_by_asc(Column::CreatedAt)
        .limit(limit);
    let mut last = BTreeMap::new();
    for (user_id, sequence) in ended.into_tuple::<(Uuid, i64)>().all(tx.db()).await? {
        let last = last.entry(user_id).or_insert(sequence);
        *last = Ord::max(sequence, *last);
    }
    if last.is_empty() {
        return Ok(0);
    }
    let user_ids: Vec<_> = last.keys().copied().map(UserId).collect();
    super::mailboxes::lock(tx.db(), &user_ids).await?;
    let mut oldest = CaseStatement::new();
    let mut prefixes = Condition::any();
    for (user_id, sequence) in last {
        oldest = oldest.case(mailboxes::Column::UserId.eq(user_id), Expr::val(sequence + 1));
        prefixes = prefixes.add(Column::UserId.eq(user_id).and(Column::Sequence.lte(sequence)));
    }
    let oldest = oldest.finally(Expr::col(mailboxes::Column::OldestSequence));
    mailboxes::Entity::update_many()
        .col_expr(mailboxes::Column::OldestSequence, oldest.into())
        .filter(mailboxes::Column::UserId.is_in(user_ids.iter().map(|id| id.0)))
        .exec(tx.db())
        .await?;
    Ok(Entity::delete_many().filter(prefixes).exec(tx.db()).await?.rows_affected)
}

/// Returns a subquery for an event since `kept_since` that comes earlier in the outer event's mailbox.
///
/// This is a scalar subquery because PostgreSQL may invert EXISTS and search all kept events. The mailbox's oldest
/// sequence number bounds the search, because index entries of deleted events remain for a while.
fn kept_before(kept_since: Timestamp) -> SelectStatement {
    use mailbox_events::{Column, Entity};

    const EARLIER: &str = "earlier";
    let beginning = Query::select()
        .column((mailboxes::Entity, mailboxes::Column::OldestSequence))
        .from(mailboxes::Entity)
        .and_where(Expr::col((mailboxes::Entity, mailboxes::Column::UserId)).equals((Entity, Column::UserId)))
        .take();
    Query::select()
        .column((EARLIER, Column::Sequence))
        .from_as(Entity, EARLIER)
        .and_where(Expr::col((EARLIER, Column::UserId)).equals((Entity, Column::UserId)))
        .and_where(Expr::col((EARLIER, Column::Sequence)).lt(Expr::col((Entity, Column::Sequence))))
        .and_where(Expr::col((EARLIER, Column::Sequence)).gte(Expr::from(beginning)))
        .and_where(Expr::col((EARLIER, Column::CreatedAt)).gte(kept_since))
        .limit(1)
        .take()
}

/// Deletes up to `limit` metrics from before `kept_since`.
pub async fn delete_metrics(db: &impl ConnectionTrait, kept_since: Timestamp, limit: u64) -> Result<u64, Error> {
    use performance_metrics::Column;

    delete::<performance_metrics::Entity>(db, Column::Id, Column::CreatedAt.lt(kept_since), limit).await
}

/// Deletes signing keys that were retired by `retired_before`, except for withdrawn keys.
pub async fn delete_signing_keys(db: &impl ConnectionTrait, retired_before: Timestamp) -> Result<u64, Error> {
    let delete = signing_keys::Entity::delete_many()
        .filter(signing_keys::Column::RetiredAt.lte(retired_before))
        .filter(signing_keys::Column::RetiredAt.gt(WITHDRAWN));
    Ok(delete.exec(db).await?.rows_affected)
}

async fn delete<E: EntityTrait>(
    db: &impl ConnectionTrait,
    id: E::Column,
    condition: impl IntoCondition,
    limit: u64,
) -> Result<u64, Error> {
    let ended = E::find().select_only().column(id).filter(condition).limit(limit).into_query();
    Ok(E::delete_many().filter(id.in_subquery(ended)).exec(db).await?.rows_affected)
}
